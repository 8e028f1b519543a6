"""Tells the titles and the header rows of a table from its body.

A sheet does not say which rows are its header, and a table that is split repeats one row only. So
titles above the header become text of their own, and a header of several rows becomes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

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
    while count < min(_MOST_HEADER_ROWS, len(rows) - 1) and _divides(rows[count - 1], rows[count]):
        count += 1
    return count


def _divides(above: Row, below: Row) -> bool:
    """Return True if each span of the upper row has different names below it in the lower row."""
    has_span = has_single = False
    start = 0
    for text, group in groupby(above):
        end = start + len(list(group))
        part = below[start:end]
        if text and end - start > 1:
            has_span = True
            if not all(part) or any(one == other for one, other in pairwise(part)):
                return False
        else:
            has_single = True
            if any(cell and cell != text for cell in part if text):
                return False
        start = end
    return has_span and (has_single or _repeats(above, below))


def _repeats(above: Row, below: Row) -> bool:
    """Return True if the names are the same below each span."""
    parts = []
    start = 0
    for _, group in groupby(above):
        end = start + len(list(group))
        parts.append(tuple(below[start:end]))
        start = end
    return len(parts) > 1 and len(set(parts)) == 1


def _joined(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return one header row; a name over several columns stands before the names below it."""
    columns = zip(*rows, strict=True)
    return tuple(_BETWEEN.join(dict.fromkeys(filter(None, column))) for column in columns)
