"""Sentences in any language, as spans of the text, without a download at run time.

The rules are those of sentencex (https://github.com/wikimedia/sentencex, MIT): terminators of
some 300 languages, lists of abbreviations, quotes, numbered references, list items. It gives
offsets in characters and segments a paragraph of 800 characters in about 0.04 ms. This module
adds what documents need besides: lines of tables and headings stand alone, an unclosed quote
does not swallow a page, and the library sees a few thousand characters at a time: a run of
backticks or quotes takes it time that grows with the square of the run.
``docs/decisions/0003-splitting.md`` compares the libraries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sentencex import get_sentence_boundaries

LONG_SENTENCE = 500
"""Characters above which a sentence is suspected to be an unbalanced quote or a list."""

WINDOW = 4_000
"""Most characters that are given to the library at once: at worst about 4 ms."""

_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*|\f\s*")
_SINGLE_LINES = re.compile(r"^[ \t]*(?:\||#{1,6} )[^\n]*", re.MULTILINE)
_QUOTES = dict.fromkeys(map(ord, "\"'“”„‟‘’‚«»‹›「」『』()[]{}（）【】《》〈〉"), " ")
_ABBREVIATIONS = {
    "en": ("approx.", "Approx.", "incl.", "resp."),
    "vi": ("TP.", "Tp.", "TS.", "ThS.", "Th.S.", "GS.", "PGS.", "BS.", "KS.", "LS.", "Q.", "P."),
}
"""Abbreviations that the library's lists lack."""
_LONGEST = 40
"""Characters at the end of a sentence among which such an abbreviation stands."""


def sentence_spans(text: str, language: str | None = None) -> list[tuple[int, int]]:
    """Find the sentences of a text.

    Args:
        text: Any text; blank lines and form feeds end a sentence, a single newline does not
            unless a table row, a heading or a list item begins there.
        language: ISO 639-1 code (``en``, ``zh``, also ``pt-BR``); None for rules that fit most.

    Returns:
        Spans ``(start, end)`` in characters, in order, not overlapping, without white space at
        their edges; together they hold every character that is not white space.
    """
    code = language.replace("_", "-").partition("-")[0].lower() if language else "en"
    # The same length: offsets stay valid.
    plain = text.replace("\r\n", " \n").replace("\r", "\n").replace("\x85", "\n")
    spans: list[tuple[int, int]] = []
    for start, end in _paragraphs(plain):
        for first, last in _pieces(plain, start, end, code):
            trimmed = trim(text, first, last)
            if trimmed[0] < trimmed[1]:
                spans.append(trimmed)
    return spans


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the span without the white space at its edges; empty at ``start`` if all is."""
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    if left == len(piece):
        return start, start
    return start + left, start + len(piece.rstrip())


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _PARAGRAPH_BREAK.finditer(text):
        if match.start() > start:
            yield start, match.start()
        start = match.end()
    if start < len(text):
        yield start, len(text)


def _pieces(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    """Set lines that stand alone apart and segments what is between them."""
    position = start
    for match in _SINGLE_LINES.finditer(text, start, end):
        if match.start() > position:
            yield from _segment(text, position, match.start(), language)
        yield match.span()
        position = match.end()
    if position < end:
        yield from _segment(text, position, end, language)


def _segment(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    for first, last in _joined(piece, _boundaries(piece, language), language):
        if last - first > LONG_SENTENCE:
            for inner in _without_quotes(piece, first, last, language):
                yield start + inner[0], start + inner[1]
        else:
            yield start + first, start + last


def _boundaries(piece: str, language: str) -> Iterator[tuple[int, int]]:
    """Yield spans that cover the piece; white space that the library leaves out included."""
    start = 0
    while len(piece) - start > WINDOW:
        starts = _starts(piece[start : start + WINDOW], language)
        # The window's last sentence may go on behind it: the next window begins with it.
        end = starts.pop()
        if end < WINDOW // 2:
            starts.append(end)
            end = _safe_cut(piece, start + WINDOW // 2, start + WINDOW) - start
        for first, last in zip(starts, [*starts[1:], end], strict=True):
            yield start + first, start + last
        start += end
    starts = _starts(piece[start:], language)
    for first, last in zip(starts, [*starts[1:], len(piece) - start], strict=True):
        yield start + first, start + last


def _starts(window: str, language: str) -> list[int]:
    """Return where the sentences of a window begin, the first at 0."""
    found = get_sentence_boundaries(language, window)
    return [0, *(boundary["start_index"] for boundary in found[1:])]


def _safe_cut(text: str, start: int, end: int) -> int:
    """Return where a sentence without an end is cut: after the last white space, if any."""
    return next((i + 1 for i in range(end - 1, start, -1) if text[i].isspace()), end)


def _joined(
    piece: str, spans: Iterable[tuple[int, int]], language: str
) -> Iterator[tuple[int, int]]:
    """Join a sentence that ends in an abbreviation with the one after it."""
    abbreviations = _ABBREVIATIONS.get(language)
    if abbreviations is None:
        yield from spans
        return
    begin: int | None = None
    for start, end in spans:
        begin = start if begin is None else begin
        words = piece[max(begin, end - _LONGEST) : end].split()
        if words and words[-1] in abbreviations and end < len(piece):
            continue
        yield begin, end
        begin = None


def _without_quotes(piece: str, start: int, end: int, language: str) -> list[tuple[int, int]]:
    """Segments a suspiciously long sentence again as if it had no quotes and brackets."""
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
