"""Sentences in any language, as spans of the text, without a download at run time.

sentencex (https://github.com/wikimedia/sentencex, MIT) has the rules: terminators of some 300
languages, abbreviations, quotes, numbered references and list items. A paragraph of 800
characters takes about 0.04 ms. This module adds rules for documents: lines of tables and
headings are separate, an unclosed quote does not swallow a page, and the library gets a few
thousand characters at a time, because runs of backticks or quotes take it quadratic time.
``docs/decisions/0003-splitting.md`` compares the libraries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise

from sentencex import get_sentence_boundaries

from kvasir.core.text import CJK, SOUTHEAST_ASIAN
from kvasir.language.abbreviations import continues

LONG_SENTENCE = 500
"""Characters; a longer sentence may be an unbalanced quote."""

WINDOW = 4_000
"""Characters given to the library at once: at worst about 4 ms."""

_UNSPACED = CJK + SOUTHEAST_ASIAN
_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*|\f\s*")
_ALONE = re.compile(r"^[ \t]*(?:\||#{1,6} )[^\n]*|[!-~]{250,}", re.MULTILINE)
"""Table rows, headings, and data without white space, such as a checksum."""
_FOOTNOTE_MARK = re.compile(r"\[\^[^\]\s]{1,12}\]")
_LETTER = re.compile(r"[^\W\d_]")
_LINE = re.compile(r"[^\n]+")
_FIRST_WORD = re.compile(rf"\s*([{_UNSPACED}]|\S+)")
_QUOTES = dict.fromkeys(map(ord, "\"'“”„‟‘’‚«»‹›「」『』()[]{}（）【】《》〈〉"), " ")
_NEXT_WORD = 40
"""Characters before and after the end of a sentence that tell whether it is one."""
_NARROWEST = 50
"""Characters; text is not wrapped to fewer, so that shorter lines are broken on purpose."""
_REMEMBERED, _LONGEST_REMEMBERED = 256, 8_000
"""Texts whose sentences are remembered, and the most characters of one.

An answer needs the sentences of its chunks three times.
"""


def sentence_spans(text: str, language: str | None = None) -> list[tuple[int, int]]:
    """Return the sentences of a text as spans in characters, in order, trimmed, not overlapping.

    Together they hold every character that is not white space. Blank lines and form feeds end a
    sentence. A single newline ends one before a table row, a heading or a list item, and where
    the line was not full, so that it was not wrapped there. ``language`` is an ISO 639-1 code
    (``en``, ``zh``, also ``pt-BR``); None applies general rules.
    """
    if len(text) <= _LONGEST_REMEMBERED:
        return list(_recent_spans(text, language))
    return list(_spans(text, language))


def _spans(text: str, language: str | None) -> tuple[tuple[int, int], ...]:
    code = language.replace("_", "-").partition("-")[0].lower() if language else "en"
    # The same length: offsets stay valid.
    plain = text.replace("\r\n", " \n").replace("\r", "\n").replace("\x85", "\n")
    plain = _FOOTNOTE_MARK.sub(_as_reference, plain)
    spans: list[tuple[int, int]] = []
    for start, end in paragraph_spans(plain):
        spans += (trim(text, first, last) for first, last in _pieces(plain, start, end, code))
    return tuple(span for span in spans if span[0] < span[1])


_recent_spans = lru_cache(_REMEMBERED)(_spans)


def _as_reference(mark: re.Match[str]) -> str:
    """Return a mark as a numbered reference, which the library keeps with the sentence before."""
    return f"[{'0' * (len(mark[0]) - 2)}]"


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span without white space at its edges; empty at ``start`` if blank."""
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    if left == len(piece):
        return start, start
    return start + left, start + len(piece.rstrip())


def paragraph_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the parts of a text between blank lines and form feeds."""
    start = 0
    for match in _PARAGRAPH_BREAK.finditer(text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def _pieces(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    """Yield what stands alone (table rows, headings, data) and the sentences between."""
    for first, last in _unwrapped(text, start, end):
        for match in _ALONE.finditer(text, first, last):
            yield from _segment(text, first, match.start(), language)
            yield match.span()
            first = match.end()
        yield from _segment(text, first, last, language)


def _unwrapped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a paragraph between line breaks that nothing but the author made.

    Wrapping breaks a line only where the next word has no room. After a line that had room for
    it, a new sentence begins, unless that word begins with a small letter.
    """
    lines = [match.span() for match in _LINE.finditer(text, start, end)]
    width = max((last - first for first, last in lines), default=0)
    begin = start
    for (first, last), (following, _) in pairwise(lines):
        word = _FIRST_WORD.match(text, following)
        if word is None or word[1][0].islower():
            continue
        # Scripts without spaces are wrapped at any character, in narrower columns.
        room = max(width, _NARROWEST) if word[1].isascii() or len(word[1]) > 1 else width
        if last - first + 1 + len(word[1]) <= room:
            yield begin, last
            begin = following
    yield begin, end


def _segment(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    for first, last in _joined(piece, _boundaries(piece, language), language):
        is_long = last - first > LONG_SENTENCE
        spans = _without_quotes(piece, first, last, language) if is_long else [(first, last)]
        for span_start, span_end in spans:
            yield start + span_start, start + span_end


def _boundaries(piece: str, language: str) -> Iterator[tuple[int, int]]:
    """Yield spans that cover the piece, including white space that the library leaves out."""
    start = 0
    while start < len(piece):
        window = piece[start : start + WINDOW]
        found = get_sentence_boundaries(language, window)
        edges = [0, *(boundary["start_index"] for boundary in found[1:])]
        if start + len(window) == len(piece):
            edges.append(len(window))
        elif edges[-1] < WINDOW // 2:
            # Cut an overlong sentence after its last white space, if any.
            spaces = (i + 1 for i in range(WINDOW - 1, WINDOW // 2, -1) if window[i].isspace())
            edges.append(next(spaces, WINDOW))
        # Else the last sentence may continue after the window: the next window begins with it.
        for first, last in pairwise(edges):
            yield start + first, start + last
        start += edges[-1]


def _joined(
    piece: str, spans: Iterable[tuple[int, int]], language: str
) -> Iterator[tuple[int, int]]:
    """Join sentences that an abbreviation or an ordinal has cut."""
    begin: int | None = None
    letter: re.Match[str] | None = None
    for start, end in spans:
        if begin is None:
            begin, letter = start, None
        before, after = piece[max(begin, end - _NEXT_WORD) : end], piece[end : end + _NEXT_WORD]
        letter = letter or _LETTER.search(piece, start, end)
        if continues(before, after, language, bool(letter and letter[0].isupper())):
            continue
        yield begin, end
        begin = None


def _without_quotes(piece: str, start: int, end: int, language: str) -> list[tuple[int, int]]:
    """Segment a suspiciously long sentence again without its quotes and brackets."""
    bare = piece[start:end].translate(_QUOTES)
    spans: list[tuple[int, int]] = []
    for first, last in _boundaries(bare, language):
        first = spans[-1][1] - start if spans else first
        last = max(first, last)
        # A closing quote belongs to the sentence that it closes.
        while last < len(bare) and not piece[start + last].isspace() and bare[last] == " ":
            last += 1
        if first < last:
            spans.append((start + first, start + last))
    return spans
