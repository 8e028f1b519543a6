"""Tells the titles and the header rows of a table from its body.

A sheet does not say which rows are its header, and a table that is split repeats one row only. So
titles above the header become text of their own, and a header of several rows becomes one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

Row = Sequence[str]

_MOST_TITLES = 5
_MOST_HEADER_ROWS = 4
_BETWEEN = " / "


@dataclass(frozen=True, slots=True)
class TableLayout:
    """Titles, and rows of which the first is the header."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def table_layout(rows: Sequence[Row], header_rows: int = 0) -> TableLayout:
    """Return the layout of a table whose merged cells are repeated in each cell they cover.

    ``header_rows`` is their number if the file marks them, else 0. Empty rows are left out.
    """
    width = max(map(len, rows), default=0)
    filled = [tuple(row) + ("",) * (width - len(row)) for row in rows if any(row)]
    titles: list[str] = []
    while len(titles) < _MOST_TITLES and _begins_with_title(filled):
        titles.append(next(filter(None, filled.pop(0))))
        header_rows -= 1
    count = header_rows if header_rows > 0 else _header_rows(filled)
    header = _joined(filled[:count])
    return TableLayout(tuple(titles), (header, *filled[count:]) if header else ())


def _begins_with_title(rows: Sequence[Row]) -> bool:
    """Return True if one text stands over a whole table that has several columns."""
    if len(rows) < 3 or len(set(filter(None, rows[0]))) != 1:
        return False
    wide = [row for row in rows[1:] if sum(map(bool, row)) > 1]
    return len(rows[0]) > 1 and len(wide) > (len(rows) - 1) // 2 and rows[1] != rows[0]


def _header_rows(rows: Sequence[Row]) -> int:
    """Return the number of header rows: cells that span columns have their parts below them."""
    count = 1
    while count < min(_MOST_HEADER_ROWS, len(rows) - 1) and _divides(rows, count):
        count += 1
    return count


def _divides(rows: Sequence[Row], number: int) -> bool:
    """Return True if a row names the parts of the columns that the row above spans.

    Names differ below a span and do not come again further down, as the values of a body do.
    """
    above, below, body = rows[number - 1], rows[number], rows[number + 1 :]
    parts: list[Row] = []
    has_single = False
    for start, end in _spans(above):
        part = below[start:end]
        if above[start] and end - start > 1:
            again = any(row[at] == below[at] for row in body for at in range(start, end))
            if not all(part) or len(set(part)) == 1 or again:
                return False
            parts.append(part)
        else:
            has_single = True
            if above[start] and any(cell and cell != above[start] for cell in part):
                return False
    return bool(parts) and (has_single or len(parts) > 1)


def _spans(row: Row) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of equal cells."""
    start = 0
    for _, group in groupby(row):
        end = start + len(list(group))
        yield start, end
        start = end


def _joined(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return one header row; a name over several columns stands before the names below it."""
    columns = zip(*rows, strict=True)
    return tuple(_BETWEEN.join(dict.fromkeys(filter(None, column))) for column in columns)
