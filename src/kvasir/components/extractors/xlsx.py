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
from collections.abc import Iterator
from typing import Any

import openpyxl
from lxml import etree

from kvasir.components.extractors.archive import open_archive, parse_xml, read_member
from kvasir.components.extractors.document_builder import DocumentBuilder, Grid
from kvasir.components.extractors.drawing_chart import add_chart
from kvasir.core.types import BlockKind, Document, Source

_REFERENCE = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_WORKBOOK = "xl/workbook.xml"
_MAX_CELLS = 5_000_000


class XlsxExtractor:
    """Reads XLSX and XLSM."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract one table for each island of cells; see ``Extractor``."""
        charts = _Charts(open_archive(data))
        workbook = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
        builder = DocumentBuilder(source)
        for number, sheet in enumerate(workbook.worksheets, 1):
            cells = _cells(sheet)
            if not cells:
                continue
            builder.add(BlockKind.HEADING, sheet.title, page=number, level=2)
            for island in _islands(cells):
                builder.add_grid(island, number)
            for chart in charts.of_sheet(sheet.title):
                add_chart(chart, builder, number)
        builder.title = workbook.properties.title or ""
        builder.set_metadata(author=workbook.properties.creator)
        return builder.build()


def _cells(sheet: Any) -> Grid:
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
        if value is not None and room >= 0:
            cells.update(dict.fromkeys(area.cells, value))
    return {position: text for position, text in cells.items() if text.strip()}


def _text(value: object) -> str:
    if isinstance(value, float):
        # As Excel shows it: 15 significant digits, no negative zero.
        return f"{value + 0.0:.15g}"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    return str(value)


def _islands(cells: Grid) -> Iterator[Grid]:
    """Yield the groups of cells that touch each other, from the top left."""
    rest = dict(cells)
    for start in sorted(cells):
        if start not in rest:
            continue
        island, queue = {start: rest.pop(start)}, [start]
        while queue:
            row, column = queue.pop()
            for near in itertools.product(range(row - 1, row + 2), range(column - 1, column + 2)):
                if near in rest:
                    island[near] = rest.pop(near)
                    queue.append(near)
        yield island


class _Charts:
    """Finds the charts of a sheet: workbook -> sheet -> drawing -> chart, by relationships."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = set(archive.namelist())
        self._sheets: dict[str, str] = {}
        if _WORKBOOK in self._names:
            targets = self._relations(_WORKBOOK)
            for sheet in parse_xml(read_member(archive, _WORKBOOK)).iter("{*}sheet"):
                if (key := str(sheet.get(_REFERENCE))) in targets:
                    self._sheets[str(sheet.get("name"))] = targets[key][1]

    def of_sheet(self, title: str) -> Iterator[etree._Element]:
        """Yield the roots of the charts on a sheet."""
        part = self._sheets.get(title)
        for drawing in self._related(part, "drawing") if part else ():
            for chart in self._related(drawing, "chart"):
                yield parse_xml(read_member(self._archive, chart))

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
