"""Bytes to text: byte order mark, declared label, UTF-8, then the statistics of chardet.

A label means what it means in a browser (``gb2312`` is GBK, ``iso-8859-1`` is Windows-1252), and
only encodings that browsers know are guessed. Source: the Encoding Standard of the WHATWG.
``docs/decisions/0035-text-formats.md`` has the measurements.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import chardet
import webencodings

from kvasir.core.media_types import utf16_without_mark

Warn = Callable[[str], None]
"""Takes a sentence for the report of an ingest."""

_MARKS = {
    "utf-8-sig": (codecs.BOM_UTF8,),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
"""Byte order marks by encoding; a UTF-32 mark may begin with a UTF-16 mark."""
_GUESSED = (
    "gb18030", "big5hkscs", "cp932", "euc_jis_2004", "cp949", "koi8-r", "koi8-u", "cp866", "cp874",
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
    "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8",
    "iso8859-10", "iso8859-13", "iso8859-14", "iso8859-15", "iso8859-16",
)  # fmt: skip
"""The encodings of the web, under the names of Python and chardet."""
_WESTERN = "cp1252"
_SHOWN = {
    "big5hkscs": "Big5", "cp932": "Shift-JIS", "euc_jis_2004": "EUC-JP", "cp949": "EUC-KR",
}  # fmt: skip
_OF_MAIL = re.compile(r"cp\d+|ibm\d+|iso2022_\w+|hz|johab|mac_\w+|kz1048|utf_7")
"""Python's names of declared encodings that browsers do not know."""
_WITHOUT_MEANING = frozenset({"x-user-defined", "replacement"})
_ASCII = frozenset({"us-ascii", "ascii", "ansi_x3.4-1968", "iso646-us", "us"})
"""Labels that say nothing about bytes above 127."""
_SAMPLE = 65536
_CLOSE = 0.95
"""Two encodings are equally likely if the lower score is at least this share of the higher one."""
_GOOD_LETTERS = 10
"""Letters beyond ASCII for each damaged one, at least, in a text that is damaged in places."""
_ISO_2022_JP = re.compile(rb"\x1b(?:\$[@B]|\([BIJ])")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_CONTROLS = re.compile("[\x80-\x84\x86-\x9f]")
_OTHER_SCRIPTS = "\u0370-\u06ff\u0e00-\u0e7f"
_MIXED = re.compile(f"[A-Za-z][{_OTHER_SCRIPTS}]|[{_OTHER_SCRIPTS}][A-Za-z]")
_NOT_LATIN = re.compile(f"[{_OTHER_SCRIPTS}]+")
_DAMAGED = "\ufffd"
_ADVICE = "if letters are wrong, save it as UTF-8"


def decode(data: bytes, declared: str | None = None, warn: Warn | None = None) -> str:
    """Decode text: by byte order mark, declared label, UTF-8, UTF-16, then by statistics.

    A label that the bytes contradict is ignored. Line ends are kept; a byte order mark is
    removed. ``warn`` gets a sentence if letters may be wrong.
    """
    warn = warn or _ignore
    for encoding, marks in _MARKS.items():
        if data.startswith(marks):
            return data.decode(encoding, "replace")
    codec = _codec(declared, data) if declared else None
    own = utf16_without_mark(data) or "utf-8"
    candidates = [name for name in (codec, own) if name]
    if codec is None and _ISO_2022_JP.search(data):
        candidates.insert(0, "iso2022_jp_2")
    for candidate in candidates:
        with suppress(UnicodeDecodeError):
            return data.decode(candidate)
    for candidate in candidates:
        if text := _damaged_in_places(data, candidate):
            warn(f"some of its bytes are not {_shown(candidate)} and are shown as {_DAMAGED}")
            return text
    return _guessed(data, warn)


def _ignore(sentence: str) -> None:
    pass


def _codec(label: str, data: bytes) -> str | None:
    """Return Python's codec of a label, or None if it is unknown or cannot be right."""
    label = label.strip().lower()
    if label in _ASCII:
        return None
    known = webencodings.lookup(label)
    if known is None:
        with suppress(LookupError):
            name = codecs.lookup(label).name.replace("-", "_")
            return name if _OF_MAIL.fullmatch(name) else None
        return None
    if known.name in _WITHOUT_MEANING:
        return None
    if known.name.startswith("utf-16") and b"\0" not in data:
        # A page that was found to declare UTF-16 was read as ASCII until there.
        return None
    return "gb18030" if known.name == "gbk" else known.codec_info.name


def _damaged_in_places(data: bytes, codec: str) -> str:
    """Return the text if few of its letters beyond ASCII are damaged, else empty text."""
    text = data.decode(codec, "replace")
    damaged = text.count(_DAMAGED)
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return text if beyond_ascii - damaged >= damaged * _GOOD_LETTERS else ""


class _Guess(NamedTuple):
    codec: str
    score: float
    text: str
    """The text of the sample."""


def _guessed(data: bytes, warn: Warn) -> str:
    """Decode by the likeliest encoding; Windows-1252 among equally likely ones."""
    guesses = _guesses(data)
    if not guesses:
        warn(f"its encoding is unknown; it was read as {_shown(_WESTERN)}: {_ADVICE}")
        return data.decode(_WESTERN, "replace")
    best = next((guess for guess in guesses if guess.codec == _WESTERN), guesses[0])
    if other := next((guess for guess in guesses if guess.text != best.text), None):
        warn(
            f"no encoding is declared; it was read as {_shown(best.codec)}, but "
            f"{_shown(other.codec)} is as likely: {_ADVICE}"
        )
    return data.decode(best.codec)


def _guesses(data: bytes) -> list[_Guess]:
    """Return the likeliest encodings in which all of the data can be read, the best first."""
    sample = _sample(data)
    guesses: list[_Guess] = []
    for found in chardet.detect_all(sample, include_encodings=_GUESSED, compat_names=False):
        codec, score = found["encoding"], found["confidence"]
        if codec is None or (guesses and score < guesses[0].score * _CLOSE):
            break
        text = sample.decode(codec, "replace")
        if _is_possible(text) and _can_decode(data, codec):
            guesses.append(_Guess(codec, score, text))
    return guesses


def _is_possible(text: str) -> bool:
    """Return False for C1 controls, and for Greek, Cyrillic, ... letters within Latin words."""
    mixed, other = len(_MIXED.findall(text)), len(_NOT_LATIN.findall(text))
    return not _CONTROLS.search(text) and (mixed == 0 or mixed * 2 < other)


def _can_decode(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def _sample(data: bytes) -> bytes:
    """Return lines with bytes beyond ASCII: the others say nothing about the encoding."""
    lines: list[bytes] = []
    size = end = 0
    while size < _SAMPLE and (found := _BEYOND_ASCII.search(data, end)):
        start = max(data.rfind(b"\n", end, found.start()) + 1, end)
        end = data.find(b"\n", found.end()) + 1 or len(data)
        # Of a long line, the part with the letters.
        start = max(start, found.start() - _SAMPLE // 2)
        lines.append(data[start : min(end, start + _SAMPLE)])
        size += len(lines[-1])
    return b"".join(lines)


def _shown(codec: str) -> str:
    """Return an encoding's usual name."""
    name = _SHOWN.get(codec, codec).replace("iso8859", "ISO-8859")
    return re.sub(r"^cp(?=125|874)", "windows-", name)
