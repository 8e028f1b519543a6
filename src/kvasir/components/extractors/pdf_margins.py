"""Page numbers and running heads in the margins of pages, which are no part of the text.

They are left out only if several pages show them in whole printed rows: a number in a margin may be
the end of a table.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from kvasir.components.extractors.pdf_glyphs import Line

_MARGIN = 0.1
"""Share of the page's height, at top and bottom, that holds running heads."""
_FEWEST_REPEATS = 3
_FEWEST_NUMBERS = 2
"""Pages on which page numbers count on."""
_DIGITS = re.compile(r"\d+")
_COUNTED = re.compile(
    r"(?:^|\t|[|•·–—-]\s+|\b(?:pages?|pg|p|seite|página|trang)\b\.?\s*|第\s*)"
    r"(0|[1-9]\d{0,3})(?=\s|$|[|/页頁])",
    re.I,
)
"""A number that may be the page's: apart from other words, and not filled with zeros as on a stamp.
In "Invoice 17" it belongs to the word before it."""
_PAGE_NUMBER = re.compile(
    r"[\s\-–—|]*(?:page|seite|página|trang|第)?\s*(\d{1,4})[\s\-–—|页頁]*", re.I
)
_LARGER = 1.12
"""Smallest font size of a heading, relative to the body's; "Lesson 2" is no running head."""

Reading = tuple[str, tuple[str, ...], int | None]
"""A row's words, its numbers, and the distance from the page's index to those that count on."""


@dataclass(slots=True)
class _Row:
    """A printed row in a margin of a page."""

    page: int
    lines: list[Line]
    text: str
    size: float
    is_top: bool

    @property
    def words(self) -> str:
        """The text without its numbers."""
        return " ".join(_DIGITS.sub("0", self.text).split())

    def readings(self) -> Iterator[Reading]:
        """Yield what the row may have in common with those of other pages."""
        numbers = [(found.start(), found[0]) for found in _DIGITS.finditer(self.text)]
        yield self.words, tuple(number for _, number in numbers), None
        ahead = {
            found.start(1): int(found[1]) - self.page for found in _COUNTED.finditer(self.text)
        }
        for first in set(ahead.values()):
            others = tuple("" if ahead.get(at) == first else number for at, number in numbers)
            yield self.words, others, first


def in_margin(lines: Sequence[Line], height: float) -> bool:
    """Return True if lines of a page of a height are all at its top, or all at its bottom."""
    top, bottom = height * (1 - _MARGIN), height * _MARGIN
    return all(line.y0 > top for line in lines) or all(line.y1 < bottom for line in lines)


def without_running_heads(
    pages: Sequence[Sequence[Line]], heights: Sequence[float], body: float
) -> list[list[Line]]:
    """Remove page numbers, and all but the first of the rows that many pages' margins repeat.

    Args:
        pages: The lines of each page.
        heights: The height of each page, in points.
        body: The font size of most characters.
    """
    margins = [
        _margin_rows(page, lines, height)
        for page, (lines, height) in enumerate(zip(pages, heights, strict=True))
    ]
    often = max(_FEWEST_REPEATS, len(pages) // 3)
    repeated = _repeated(margins, body, often)
    known = {id(row) for rows in repeated.values() for row in rows}
    dropped = [(row.page, row.lines) for rows in repeated.values() for row in rows[1:]]
    dropped += _page_numbers(margins, known, often)
    gone = {id(line) for page, lines in dropped if len(pages[page]) > len(lines) for line in lines}
    return [[line for line in lines if id(line) not in gone] for lines in pages]


def _margin_rows(page: int, lines: Sequence[Line], height: float) -> list[_Row]:
    """Return the rows in the margins of a page, from its top."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda each: -(each.y0 + each.y1)):
        if line.is_vertical:
            continue
        if rows and _is_beside(rows[-1][0], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [_row(page, row, height) for row in rows if in_margin(row, height)]


def _row(page: int, lines: list[Line], height: float) -> _Row:
    lines.sort(key=lambda line: line.x0)
    text = "\t".join(line.text for line in lines)
    size = max(line.size for line in lines)
    return _Row(page, lines, text, size, is_top=lines[0].y0 > height / 2)


def _is_beside(line: Line, other: Line) -> bool:
    apart = abs((line.y0 + line.y1) - (other.y0 + other.y1)) / 2
    return apart < min(line.y1 - line.y0, other.y1 - other.y0) / 2


def _repeated(
    margins: Sequence[Sequence[_Row]], body: float, often: int
) -> dict[Reading, list[_Row]]:
    """Return the rows that many pages have, equal or with numbers that count the pages."""
    rows = [row for page in margins for row in page if not _PAGE_NUMBER.fullmatch(row.text)]
    words = Counter(of_page for page in margins for of_page in {row.words for row in page})
    common: defaultdict[Reading, set[int]] = defaultdict(set)
    for row in rows:
        for reading in row.readings():
            common[reading].add(row.page)
    repeated: defaultdict[Reading, list[_Row]] = defaultdict(list)
    for row in rows:
        is_large = row.size >= body * _LARGER
        shared = max(
            (reading for reading in row.readings() if reading[-1] is None or not is_large),
            key=lambda reading: len(common[reading]),
        )
        if words[row.words] >= often and len(common[shared]) >= _FEWEST_REPEATS:
            repeated[shared].append(row)
    return repeated


def _page_numbers(
    margins: Sequence[Sequence[_Row]], repeated: set[int], often: int
) -> Iterator[tuple[int, list[Line]]]:
    """Yield the page and the lines of page numbers: those that count the pages in outermost rows.

    Repeated rows are not taken for outermost. A number beside other text must count on many
    pages, because it may be a cell of a table.
    """
    found: list[tuple[int, list[Line], tuple[bool, int], int]] = []
    counted: defaultdict[tuple[bool, int], set[int]] = defaultdict(set)
    for row in chain.from_iterable(_outermost(rows, repeated) for rows in margins):
        is_alone = _PAGE_NUMBER.fullmatch(row.text)
        for lines in [row.lines] if is_alone else [row.lines[:1], row.lines[-1:]]:
            number = _PAGE_NUMBER.fullmatch("\t".join(line.text for line in lines))
            if number:
                place = row.is_top, int(number[1]) - row.page
                counted[place].add(row.page)
                found.append((row.page, lines, place, _FEWEST_NUMBERS if is_alone else often))
    for page, lines, place, fewest in found:
        if len(counted[place]) >= fewest:
            yield page, lines


def _outermost(rows: Sequence[_Row], repeated: set[int]) -> Iterator[_Row]:
    """Yield the highest row of the upper margin and the lowest of the lower one."""
    own = [row for row in rows if id(row) not in repeated]
    yield from [row for row in own if row.is_top][:1]
    yield from [row for row in own if not row.is_top][-1:]
