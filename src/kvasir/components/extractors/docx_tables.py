"""The rows of a Word table. Source: ECMA-376 part 1, 17.4."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lxml import etree

from kvasir.components.extractors.docx_xml import W, find, is_on, value_at

_MOST_SPANNED = 100
_LARGEST_NESTED = 8
"""Rows of a table that is written inside a cell; with a larger one the table is a page layout."""


def is_frame(table: etree._Element) -> bool:
    """Return True for a table that only places things: one cell, or large tables in its cells."""
    if len(list(own_cells(table))) == 1:
        return True
    nested = (inner for inner in table.iter(f"{W}tbl") if inner is not table)
    return any(len(inner.findall(f"{W}tr")) > _LARGEST_NESTED for inner in nested)


def table_rows(
    table: etree._Element, text_of: Callable[[etree._Element], str]
) -> tuple[list[list[str]], int]:
    """Return the cells' texts and how many of the first rows are marked as header.

    A merged cell is repeated in each cell that it covers; hidden and deleted rows are left out.
    """
    rows: list[list[str]] = []
    headers = 0
    for row in _own(table, "tr"):
        if is_on(row, "trPr/hidden") or find(row, "trPr/del") is not None:
            continue
        cells = [""] * _number(row, "trPr/gridBefore", 0)
        for cell in _own(row, "tc"):
            merge = find(cell, "tcPr/vMerge")
            column = len(cells)
            if merge is not None and merge.get(f"{W}val") != "restart" and rows:
                text = rows[-1][column] if column < len(rows[-1]) else ""
            else:
                text = text_of(cell)
            cells += [text] * _number(cell, "tcPr/gridSpan", 1)
        if headers == len(rows) and is_on(row, "trPr/tblHeader"):
            headers += 1
        rows.append(cells)
    return rows, headers


def own_cells(table: etree._Element) -> Iterator[etree._Element]:
    """Yield the cells of a table, row by row, without those of inner tables."""
    for row in _own(table, "tr"):
        yield from _own(row, "tc")


def nested_text(rows: Sequence[Sequence[str]]) -> str:
    """Return a table inside a cell as one line: ``Room: Oak, Seats: 12; Room: Elm, Seats: 40``.

    A table of one row or one column has no header: ``Oak, Elm``.
    """
    rows = [row for row in rows if any(row)]
    if len(rows) < 2 or max(map(len, rows)) < 2:
        return "; ".join(", ".join(filter(None, row)) for row in rows)
    header, *body = rows
    lines = (
        ", ".join(
            f"{name}: {cell}" if name else cell
            for name, cell in zip(header, row, strict=False)
            if cell
        )
        for row in body
    )
    return "; ".join(lines)


def _own(parent: etree._Element, name: str) -> Iterator[etree._Element]:
    """Yield rows or cells, also inside content controls, but not those of inner tables."""
    outer = "tbl" if name == "tr" else "tr"
    for element in parent.iter(f"{W}{name}"):
        if next(element.iterancestors(f"{W}{outer}")) is parent:
            yield element


def _number(element: etree._Element, path: str, default: int) -> int:
    text = value_at(element, path)
    return min(int(text), _MOST_SPANNED) if text.isdigit() else default
