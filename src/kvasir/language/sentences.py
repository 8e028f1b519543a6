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
from itertools import pairwise

from sentencex import get_sentence_boundaries

LONG_SENTENCE = 500
"""Characters; a longer sentence may be an unbalanced quote."""

WINDOW = 4_000
"""Characters given to the library at once: at worst about 4 ms."""

_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*|\f\s*")
_SINGLE_LINES = re.compile(r"^[ \t]*(?:\||#{1,6} )[^\n]*", re.MULTILINE)
_QUOTES = dict.fromkeys(map(ord, "\"'“”„‟‘’‚«»‹›「」『』()[]{}（）【】《》〈〉"), " ")
_ABBREVIATIONS = {
    "en": ("approx.", "Approx.", "incl.", "resp."),
    "vi": ("TP.", "Tp.", "TS.", "ThS.", "Th.S.", "GS.", "PGS.", "BS.", "KS.", "LS.", "Q.", "P."),
}
"""Abbreviations that the library's lists lack."""
_LONGEST = 40
"""Characters at the end of a sentence that are searched for an abbreviation."""


def sentence_spans(text: str, language: str | None = None) -> list[tuple[int, int]]:
    """Return the sentences of a text as spans in characters, in order, trimmed, not overlapping.

    Together they hold every character that is not white space. Blank lines and form feeds end a
    sentence, a single newline only before a table row, a heading or a list item. ``language`` is
    an ISO 639-1 code (``en``, ``zh``, also ``pt-BR``); None applies general rules.
    """
    code = language.replace("_", "-").partition("-")[0].lower() if language else "en"
    # The same length: offsets stay valid.
    plain = text.replace("\r\n", " \n").replace("\r", "\n").replace("\x85", "\n")
    spans: list[tuple[int, int]] = []
    for start, end in paragraph_spans(plain):
        spans += (trim(text, first, last) for first, last in _pieces(plain, start, end, code))
    return [span for span in spans if span[0] < span[1]]


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
    """Yield single lines (table rows, headings) and the sentences between them."""
    for match in _SINGLE_LINES.finditer(text, start, end):
        yield from _segment(text, start, match.start(), language)
        yield match.span()
        start = match.end()
    yield from _segment(text, start, end, language)


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
