"""Tables in XML prose: those of HTML (JATS, TEI's rows and cells) and CALS (DocBook)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

from kvasir.components.extractors.document_builder import Grid

_TABLES = frozenset({"table", "informaltable", "tgroup"})
_ROWS = frozenset({"tr", "row"})
_CELLS = frozenset({"td", "th", "entry", "cell"})
_HEADS = frozenset({"thead"})
_GROUPS = ("tgroup", "table", "informaltable")
_MOST_SPANNED = 100
_MOST_DIGITS = 9


@dataclass(frozen=True, slots=True)
class _Columns:
    """The names that CALS gives to columns, from 0, and to spans of them."""

    numbers: Mapping[str, int]
    spans: Mapping[str, tuple[str, str]]

    def place(self, cell: etree._Element) -> tuple[int, int]:
        """Return the first column that a cell names, 0 for none, and the number of columns."""
        given = str(cell.get("namest") or cell.get("colname") or ""), str(cell.get("nameend") or "")
        begin, end = self.spans.get(str(cell.get("spanname") or ""), given)
        first = self.numbers.get(begin, 0)
        last = self.numbers.get(end, first) if begin in self.numbers else first
        return first, min(max(last - first, 0) + 1, _MOST_SPANNED)


def is_table(element: etree._Element) -> bool:
    """Return True for a table of rows and cells."""
    return _name(element) in _TABLES and any(True for row in _rows(element) for _ in _cells(row))


def holds_table(element: etree._Element) -> bool:
    """Return True if there is a table in an element."""
    return any(_name(each) in _TABLES and is_table(each) for each in element.iter("*"))


def titles(table: etree._Element) -> Iterator[etree._Element]:
    """Yield the elements of a table in front of its rows that have words: title, caption, head."""
    for child in table:
        if isinstance(child.tag, str) and _name(child) in ("title", "caption", "head", "label"):
            yield child


def read_table(table: etree._Element, text_of: Callable[[etree._Element], str]) -> tuple[Grid, int]:
    """Return the cells and the number of header rows; a spanning cell is repeated."""
    grid: Grid = {}
    header_rows = 0
    columns: dict[etree._Element, _Columns] = {}
    for y, row in enumerate(_rows(table)):
        header_rows += any(_name(above) in _HEADS for above in row.iterancestors())
        group = next(each for each in (*row.iterancestors(), table) if _name(each) in _GROUPS)
        if group not in columns:
            columns[group] = _columns(group)
        x = 0
        for cell in _cells(row):
            first, width = columns[group].place(cell)
            x = max(x, first)
            while (y, x) in grid:
                x += 1
            width = max(width, _count(cell.get("colspan") or cell.get("cols")))
            height = _count(cell.get("rowspan") or cell.get("rows"))
            height = max(height, _count(cell.get("morerows"), 0) + 1)
            text = text_of(cell)
            grid |= {(y + dy, x + dx): text for dy in range(height) for dx in range(width)}
            x += width
    return grid, header_rows


def _columns(group: etree._Element) -> _Columns:
    numbers: dict[str, int] = {}
    spans: dict[str, tuple[str, str]] = {}
    at = 0
    for child in group.iterchildren("*"):
        if _name(child) == "colspec":
            at = _count(child.get("colnum"), at + 1)
            numbers[str(child.get("colname") or f"\n{at}")] = at - 1
        elif _name(child) == "spanspec":
            begin, end = str(child.get("namest") or ""), str(child.get("nameend") or "")
            spans[str(child.get("spanname") or "")] = begin, end
    spans.pop("", None)
    return _Columns(numbers, spans)


def _name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()


def _rows(table: etree._Element) -> Iterator[etree._Element]:
    """Yield the rows of a table, without those of tables in its cells."""
    for row in table.iter("*"):
        if _name(row) in _ROWS:
            above = (_name(each) for each in row.iterancestors())
            if sum(name in _CELLS for name in above) == sum(
                _name(each) in _CELLS for each in table.iterancestors()
            ):
                yield row


def _cells(row: etree._Element) -> Iterator[etree._Element]:
    return (cell for cell in row.iterchildren("*") if _name(cell) in _CELLS)


def _count(text: str | None, default: int = 1) -> int:
    is_number = text and text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return min(int(text), _MOST_SPANNED) if text and is_number and int(text) else default
