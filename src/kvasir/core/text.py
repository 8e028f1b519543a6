"""Functions for text with lone surrogates, control characters, passwords or CJK characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff66-\uff9f"
"""Japanese, Chinese and Korean characters, for use within a character class."""
SOUTHEAST_ASIAN = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Thai, Lao, Burmese and Khmer: scripts without spaces between words, as ``CJK``."""

_SURROGATES = r"\ud800-\udfff"
_SURROGATE = re.compile(f"[{_SURROGATES}]")
_FORBIDDEN = re.compile(rf"[\x00-\x08\x0b\x0e-\x1f{_SURROGATES}\ufffe\uffff]")
_TERMINAL_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\r\n]*(?:\x07|\x1b\\)|[()][0-9A-B]|[78=>])"
)
"""A control sequence, a command, or a change of signs or of mode. Source: ECMA-48, xterm."""
_REORDERING = r"\u202a-\u202e\u2066-\u2069"
"""Embeddings, overrides and isolates of the bidirectional algorithm: they reorder other text."""
_UNPRINTABLE = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_REORDERING}{_SURROGATES}]")
_LINE_BREAKING = re.compile(rf"[\x00-\x1f\x7f-\x9f\u2028\u2029{_REORDERING}]")
ACTIVE = re.compile(rf"[\x7f-\x9f\u2028\u2029{_REORDERING}]")
"""Characters that JSON does not escape, although a terminal may act on them."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WHITE = re.compile(r"\s+")
_LINE_BREAK = re.compile(r"\s*\n\s*")
_ADDRESS_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]+@")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W_]+)*|\d[\d.,]*")


def has_scheme(text: str) -> bool:
    """Return True if a text begins with a URL scheme, such as ``https://``."""
    return bool(_SCHEME.match(text))


def is_bucket(text: str) -> bool:
    """Return True for the address of a bucket's folder or object, ``s3://``."""
    return text.lower().startswith("s3://")


def name_key(name: str) -> str:
    """Return the form in which user names and e-mail addresses are compared: without case.

    Any text may be asked for; characters that a database refuses become question marks.
    """
    plain = name[:1000].strip().encode(errors="replace").decode().replace("\0", "?")
    return unicodedata.normalize("NFKC", plain).casefold()


def replace_surrogates(text: str, replacement: str = "?") -> str:
    """Replace each lone surrogate, which UTF-8 cannot encode; offsets do not change.

    They come from bytes that are not UTF-8 and from broken surrogate pairs in files.
    """
    return text if text.isascii() else _SURROGATE.sub(replacement, text)


def spellings(text: str) -> tuple[str, ...]:
    """Return a text, and its composed and decomposed forms (NFC, NFD) if they differ."""
    if text.isascii():
        return (text,)
    forms = (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    return tuple(dict.fromkeys((text, *forms)))


def has_surrogates(text: str) -> bool:
    """Return True if a text cannot be written as UTF-8."""
    return _SURROGATE.search(text) is not None


def replace_control_characters(text: str) -> str:
    """Replace each character that stores reject by U+FFFD; offsets do not change."""
    return _FORBIDDEN.sub("\ufffd", text)


def clean_text(text: str) -> str:
    """Return a file's text without the colours of a terminal and without control characters."""
    if "\x1b" in text:
        text = _TERMINAL_ESCAPE.sub("", text)
    return replace_control_characters(text)


def printable(text: str) -> str:
    """Remove control characters, except tabs and line feeds, and those that reorder text.

    Text from documents and models could otherwise control the terminal, or be shown reversed.
    """
    return _UNPRINTABLE.sub("", text)


def shown(text: str) -> str:
    """Return a text in one line, with line breaks and control characters escaped."""
    return _LINE_BREAKING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str, width: int = 0) -> str:
    """Return a text in one line, white space collapsed, cut behind a word if a width is given."""
    flat = printable(_WHITE.sub(" ", text)).strip()
    if not width or len(flat) <= width:
        return flat
    cut = flat[:width]
    # A word that is longer than half of the width is cut, and so are scripts without spaces.
    words = cut.rpartition(" ")[0] if cut.rfind(" ") > width // 2 else cut[:-1]
    return words.rstrip() + "…"


def one_paragraph(text: str) -> str:
    """Return a text without blank lines and without white space around lines."""
    return _LINE_BREAK.sub("\n", text.strip())


def hide_passwords(text: str) -> str:
    """Hide the password of every ``scheme://user:password@host`` in a text."""
    return _ADDRESS_PASSWORD.sub(r"\1:**********@", text)


def has_cjk(text: str) -> bool:
    """Return True if a text has a Chinese, Japanese or Korean character."""
    return _wide().search(text) is not None


def count_words(text: str) -> int:
    """Return the number of words; two Chinese, Japanese or Korean characters count as one."""
    wide = len(_wide().findall(text))
    return (wide + 1) // 2 + len(_WORD.findall(_wide().sub(" ", text)))


def heading_path(headings: Sequence[str]) -> str:
    """Return headings as one line, outermost first."""
    return " > ".join(headings)


def passage(headings: Sequence[str], text: str) -> str:
    """Return the text that is embedded and indexed for a chunk: its heading path and its text."""
    return f"{heading_path(headings)}\n{text}" if headings else text


@cache
def _wide() -> re.Pattern[str]:
    """Compiled when it is first needed: a class of thousands of characters takes milliseconds."""
    return re.compile(f"[{CJK}]")
