"""Tables in XML prose: those of HTML (JATS, TEI's rows and cells) and CALS (DocBook)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lxml import etree

from kvasir.components.extractors.document_builder import Grid

_TABLES = frozenset({"table", "informaltable", "tgroup"})
_ROWS = frozenset({"tr", "row"})
_CELLS = frozenset({"td", "th", "entry", "cell"})
_HEADS = frozenset({"thead"})
_MOST_SPANNED = 100


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
    for y, row in enumerate(_rows(table)):
        header_rows += any(_name(above) in _HEADS for above in row.iterancestors())
        x = 0
        for cell in _cells(row):
            while (y, x) in grid:
                x += 1
            width = _count(cell.get("colspan") or cell.get("cols"))
            height = _count(cell.get("rowspan") or cell.get("rows"))
            height = max(height, _count(cell.get("morerows"), 0) + 1)
            text = text_of(cell)
            grid |= {(y + dy, x + dx): text for dy in range(height) for dx in range(width)}
            x += width
    return grid, header_rows


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
    return min(int(text), _MOST_SPANNED) if text and text.isdigit() and int(text) else default
