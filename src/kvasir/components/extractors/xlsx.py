"""Excel workbooks by openpyxl: each sheet is a heading, each island of cells a table.

Formulas give the values that Excel last computed. openpyxl keeps only the formulas of charts,
so charts are read from their own XML.
"""

from __future__ import annotations

import datetime
import io
import itertools
import posixpath
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import openpyxl
from lxml import etree

from kvasir.components.extractors.archive import open_archive, parse_xml, read_member
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.drawing_chart import add_chart
from kvasir.components.extractors.markdown_table import grid_rows, markdown_table
from kvasir.core.types import BlockKind, Document, Source

_REFERENCE = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_MAX_CELLS = 5_000_000


class XlsxExtractor:
    """Reads XLSX and XLSM."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract one table for each island of cells; see ``Extractor``."""
        charts = _Charts(open_archive(data))
        workbook = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
        builder = DocumentBuilder(source)
        for number, sheet in enumerate(workbook.worksheets, 1):
            rows = _cells(sheet)
            if not rows:
                continue
            builder.add(BlockKind.HEADING, sheet.title, page=number, level=2)
            for island in _islands(rows):
                builder.add(BlockKind.TABLE, markdown_table(island), page=number)
            for chart in charts.of_sheet(sheet.title):
                add_chart(chart, builder, number)
        properties = workbook.properties
        builder.title = properties.title or ""
        builder.set_metadata({"author": properties.creator or ""})
        return builder.build()


def _cells(sheet: Any) -> dict[tuple[int, int], str]:
    """Return the sheet's filled cells; a merged cell is repeated in each cell that it covers."""
    # Not iter_rows: one cell in the last corner of a sheet would make it visit billions.
    cells = {
        position: _text(cell.value)
        for position, cell in sheet._cells.items()
        if cell.value is not None
    }
    room = _MAX_CELLS
    for area in sheet.merged_cells.ranges:
        value = cells.get((area.min_row, area.min_col))
        room -= area.size["rows"] * area.size["columns"]
        if value is None or room < 0:
            continue
        for row in range(area.min_row, area.max_row + 1):
            for column in range(area.min_col, area.max_col + 1):
                cells[row, column] = value
    return {position: text for position, text in cells.items() if text.strip()}


def _text(value: object) -> str:
    if isinstance(value, float):
        # As Excel shows it: 15 significant digits, no negative zero.
        return f"{value + 0.0:.15g}"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    return str(value)


def _islands(cells: dict[tuple[int, int], str]) -> Iterator[Sequence[Sequence[str]]]:
    """Yield the rectangles of cells that touch each other, from the top left."""
    rest = set(cells)
    for start in sorted(cells):
        if start not in rest:
            continue
        rest.discard(start)
        members, queue = [start], [start]
        while queue:
            row, column = queue.pop()
            for near in itertools.product(range(row - 1, row + 2), range(column - 1, column + 2)):
                if near in rest:
                    rest.discard(near)
                    members.append(near)
                    queue.append(near)
        yield grid_rows({member: cells[member] for member in members})


class _Charts:
    """Finds the charts of a sheet: workbook -> sheet -> drawing -> chart, by relationships."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = set(archive.namelist())
        self._sheets = self._sheet_parts()

    def of_sheet(self, title: str) -> Iterator[etree._Element]:
        """Yield the roots of the charts on a sheet."""
        part = self._sheets.get(title)
        for drawing in self._related(part, "drawing") if part else ():
            for chart in self._related(drawing, "chart"):
                yield parse_xml(read_member(self._archive, chart))

    def _sheet_parts(self) -> dict[str, str]:
        book = "xl/workbook.xml"
        if book not in self._names:
            return {}
        targets = self._relations(book)
        sheets = parse_xml(read_member(self._archive, book)).iter("{*}sheet")
        return {
            str(sheet.get("name")): targets[key][1]
            for sheet in sheets
            if (key := str(sheet.get(_REFERENCE))) in targets
        }

    def _related(self, part: str, kind: str) -> list[str]:
        relations = self._relations(part).values()
        return [target for name, target in relations if name == kind and target in self._names]

    def _relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Return kind and target of each relationship of a part, by id."""
        folder, name = posixpath.split(part)
        path = f"{folder}/_rels/{name}.rels"
        if path not in self._names:
            return {}
        return {
            str(item.get("Id")): (
                str(item.get("Type")).rpartition("/")[2],
                posixpath.normpath(posixpath.join("/", folder, str(item.get("Target"))))[1:],
            )
            for item in parse_xml(read_member(self._archive, path))
        }
