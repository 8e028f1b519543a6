"""Tables of a page: which are data, their header rows, and their cells by row and column."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product, takewhile

from lxml import etree

from kvasir.components.extractors.document_builder import (
    DocumentBuilder,
    Grid,
    grid_rows,
    markdown_table,
)
from kvasir.components.extractors.html_inline import InlineText, flat
from kvasir.core.types import BlockKind

_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_OF_LAYOUT = _HEADINGS | {"pre", "form"}
_MAX_SPAN = 100
_GROUP_ORDER = {"thead": 0, "tfoot": 2}
"""Where the rows of a group are shown, wherever they are written."""
_ROLES = {
    "table": "table", "grid": "table", "treegrid": "table", "rowgroup": "tbody", "row": "tr",
    "caption": "caption", "cell": "td", "gridcell": "td", "columnheader": "th", "rowheader": "th",
}  # fmt: skip
"""Elements by the role that makes another element one."""
_PARTS = {
    "table": frozenset({"tbody", "tr", "caption"}),
    "tbody": frozenset({"tbody", "tr"}),
    "tr": frozenset({"td", "th"}),
}
"""The parts of a table that the element of each role may have."""
_NEUTRAL = frozenset({"div", "span", "section", "p", "ul", "ol", "li"})


def outermost(element: etree._Element, tags: frozenset[str]) -> Iterator[etree._Element]:
    """Yield the elements of the given names inside an element, none inside another of them."""
    pending = list(reversed(element))
    while pending:
        child = pending.pop()
        if child.tag in tags:
            yield child
        else:
            pending.extend(reversed(child))


def name_by_roles(root: etree._Element) -> None:
    """Give the parts of tables that are made of other elements the names of their roles.

    A table that holds anything else keeps its elements: a table shows only captions and cells.
    """
    for table in [each for each in root.iter(etree.Element) if _role(each) == "table"]:
        parts = _parts_by_role(table)
        if "td" in parts.values() or "th" in parts.values():
            for part, name in parts.items():
                part.tag = name


def _parts_by_role(table: etree._Element) -> dict[etree._Element, str]:
    """Return a table and its parts with their names; nothing if it holds anything else."""
    parts = {table: "table"}
    pending = [(table, "table")]
    while pending:
        holder, name = pending.pop()
        for child in holder.iterchildren(etree.Element):
            role = _role(child)
            if role in _PARTS[name] and (role != "caption" or holder is table):
                parts[child] = role
                if role in _PARTS:
                    pending.append((child, role))
            elif name != "tr" and _only_groups(child):
                pending.append((child, name))
            else:
                return {}
    return parts


def _only_groups(element: etree._Element) -> bool:
    """Return True for an element without a role in a table, and without text of its own."""
    texts = (element.text, *(child.tail for child in element))
    is_group = element.tag in _NEUTRAL and not _role(element)
    return is_group and not any((text or "").strip() for text in texts)


def _role(element: etree._Element) -> str:
    is_neutral = element.tag in _NEUTRAL
    return _ROLES.get((element.get("role") or "").lower(), "") if is_neutral else ""


def is_data_table(table: etree._Element) -> bool:
    """Return False for a layout table, whose cells are read one after the other.

    A table with header cells is data unless tables in its cells hold tables themselves. One
    without is data if it has several rows and columns and no headings, code, forms or tables.
    """
    if table.get("role") in ("presentation", "none"):
        return False
    rows = own_rows(table)
    has_head = any(row.getparent().tag == "thead" for row in rows)
    if has_head or any(cell.tag == "th" for row in rows for cell in _cells(row)):
        inner = outermost(table, frozenset({"table"}))
        return not any(True for item in inner for _ in item.iterdescendants("table"))
    if any(item.tag in _OF_LAYOUT or item.tag == "table" for item in table.iterdescendants()):
        return False
    return len(rows) > 1 and max(len(_cells(row)) for row in rows) > 1


def framed(table: etree._Element) -> list[etree._Element]:
    """Return the cells of a box, such as a note with a sign beside it; empty for another table.

    A picture alone stands beside all rows, which have one cell each. DocBook writes notes so.
    """
    rows = [row for row in own_rows(table) if _cells(row)]
    first, *rest = _cells(rows[0]) if rows else [table]
    spans_all = _span(first, "rowspan") >= len(rows) > 1
    is_sign = not "".join(first.itertext()).strip() and len(list(first.iter("img", "svg"))) == 1
    beside = [rest, *map(_cells, rows[1:])]
    is_box = spans_all and is_sign and all(len(cells) == 1 for cells in beside)
    return [cell for (cell,) in beside] if is_box else []


def own_rows(table: etree._Element) -> list[etree._Element]:
    """Return the rows of a table as they are shown, without those of tables inside it."""
    rows = [row for row in outermost(table, frozenset({"table", "tr"})) if row.tag == "tr"]
    return sorted(rows, key=lambda row: _GROUP_ORDER.get(row.getparent().tag, 1))


def add_table(builder: DocumentBuilder, table: etree._Element, inline: InlineText) -> None:
    """Append a data table, after its caption, text outside its cells, and title rows."""
    for caption in table.iterchildren("caption"):
        builder.add(BlockKind.CAPTION, inline.line(caption))
    builder.add(BlockKind.PARAGRAPH, _text_outside_cells(table))
    rows = [row for row in own_rows(table) if _cells(row)]
    grid = _grid(rows, inline)
    header_rows = _header_rows(rows)
    if header_rows is None:
        builder.add(BlockKind.TABLE, markdown_table(grid_rows(grid), has_header=False))
    else:
        builder.add_grid(grid, header_rows=header_rows)


def _text_outside_cells(table: etree._Element) -> str:
    around = [table, *table.iterchildren("thead", "tbody", "tfoot"), *own_rows(table)]
    texts = [text for each in around for text in (each.text, *(inner.tail for inner in each))]
    return " ".join(filter(None, (" ".join(flat(text).split()) for text in texts)))


def _cells(row: etree._Element) -> list[etree._Element]:
    return list(row.iterchildren("td", "th"))


def _width(row: etree._Element) -> int:
    return sum(_span(cell, "colspan") for cell in _cells(row))


def _is_title(row: etree._Element, width: int) -> bool:
    """Return True for a row that is one cell over all columns of a table."""
    return len(_cells(row)) == 1 and _width(row) >= width > 1


def _header_rows(rows: list[etree._Element]) -> int | None:
    """Return the number of marked header rows, 0 if no cell is marked.

    None means that there are no header rows, because only the first column is marked.
    """
    in_head = sum(1 for _ in takewhile(lambda row: row.getparent().tag == "thead", rows))
    of_headers = sum(1 for _ in takewhile(_is_header, rows))
    if in_head or of_headers:
        return min(in_head or of_headers, max(len(rows) - 1, 1))
    return None if any(cell.tag == "th" for row in rows for cell in _cells(row)) else 0


def _is_header(row: etree._Element) -> bool:
    cells = _cells(row)
    return any(cell.tag == "th" for cell in cells) and all(
        cell.tag == "th" or not "".join(cell.itertext()).strip() for cell in cells
    )


def _cell_text(cell: etree._Element, inline: InlineText) -> str:
    """Return a cell's text; a table in it becomes "Water: 3 euros; Power: 7 euros"."""
    parts = [inline.line(cell, ("table",))]
    for table in cell.iterdescendants("table"):
        rows = ([inline.line(own) for own in _cells(row)] for row in own_rows(table))
        parts.append("; ".join(": ".join(filter(None, row)) for row in rows if any(row)))
    return " ".join(filter(None, parts))


def _grid(rows: list[etree._Element], inline: InlineText) -> Grid:
    """Return the cells by row and column; a spanning cell is repeated in each that it covers.

    A cell over a whole row of a table, a title of its parts, is written once.
    """
    grid: Grid = {}
    width = max((_width(row) for row in rows), default=0)
    for y, row in enumerate(rows):
        x = 0
        is_title = _is_title(row, width)
        for cell in _cells(row):
            while (y, x) in grid:
                x += 1
            bottom, right = _bottom(rows, y, cell), x + _span(cell, "colspan")
            area = product(range(y, min(bottom, len(rows))), range(x, right))
            text = _cell_text(cell, inline)
            grid.update(dict.fromkeys(area, "" if is_title else text))
            grid[y, x] = text
            x = right
    return grid


def _bottom(rows: list[etree._Element], y: int, cell: etree._Element) -> int:
    """Return the row below a cell; a span of 0 reaches to the end of its group of rows."""
    if (cell.get("rowspan") or "").strip() != "0":
        return y + _span(cell, "rowspan")
    group = rows[y].getparent()
    return y + sum(1 for _ in takewhile(lambda row: row.getparent() is group, rows[y:]))


def _span(cell: etree._Element, name: str) -> int:
    value = (cell.get(name) or "1").strip()
    return min(max(int(value), 1), _MAX_SPAN) if value.isdecimal() else 1
