"""Excel workbooks by openpyxl: each sheet is a heading, each island of cells a table.

Hidden sheets, rows and columns are left out. Formulas give the values that Excel last computed;
where no value is stored, the formula itself is shown.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import openpyxl
from openpyxl.utils import column_index_from_string

from kvasir.components.extractors import ooxml
from kvasir.components.extractors.document_builder import DocumentBuilder, Grid
from kvasir.components.extractors.sheet_islands import islands, missing_values
from kvasir.components.extractors.xlsx_cells import SheetReader, book_facts, with_escapes
from kvasir.components.extractors.xlsx_package import WORKBOOK, Drawing, Package
from kvasir.core.types import BlockKind, Document, Source

_CELL = re.compile(r"\$?([A-Z]{1,3})\$?(\d{1,7})")
_GENERAL = "General"
_PAGE_CODE = re.compile(r"&[PN]\b")
_FORMAT_CODE = re.compile(r'&(?:"[^"]*"|K[0-9A-F+-]{6}|\d+|[A-Z])', re.IGNORECASE)


class XlsxExtractor:
    """Reads XLSX and XLSM."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract one table for each island of visible cells; see ``Extractor``."""
        archive = ooxml.open_package(data)
        package = Package(archive)
        facts = book_facts(archive, WORKBOOK, package.sheets)
        data = with_escapes(data, archive)
        book = openpyxl.load_workbook(
            io.BytesIO(data), data_only=True, rich_text=facts.with_marked_text
        )
        formulas = None
        if facts.needs_formulas:
            formulas = openpyxl.load_workbook(io.BytesIO(data))
        formats = partial(_format_of, book)
        builder = DocumentBuilder(source)
        margins: list[str] = []
        unknown = 0
        for number, name in enumerate(book.sheetnames, 1):
            sheet = book[name]
            if sheet.sheet_state != "visible":
                continue
            drawings = package.drawings(name)
            if hasattr(sheet, "_cells"):
                same = formulas[name] if formulas is not None else None
                reader = SheetReader(sheet, same, facts.only_zero)
                _add_sheet(builder, reader, number, drawings, formats)
                unknown += reader.unknown
                margins += _margins(sheet)
            elif drawings:
                _add_title(builder, name, number)
                for drawing in drawings:
                    drawing.add(builder, number, formats)
        for margin in dict.fromkeys(margins):
            builder.add(BlockKind.PARAGRAPH, margin)
        if unknown:
            builder.warn(missing_values(unknown))
        builder.title = ooxml.set_properties(builder, archive)
        return builder.build()


def _format_of(book: openpyxl.Workbook, formula: str) -> str:
    """Return the number format of the first cell that a chart's formula refers to."""
    sheet, _, cells = formula.rpartition("!")
    name = sheet.strip("'").replace("''", "'")
    first = _CELL.match(cells)
    if first is None or name not in book.sheetnames:
        return _GENERAL
    place = int(first[2]), column_index_from_string(first[1])
    cell = getattr(book[name], "_cells", {}).get(place)
    return str(cell.number_format) if cell is not None else _GENERAL


def _add_title(builder: DocumentBuilder, name: str, number: int) -> None:
    builder.add(BlockKind.HEADING, name, page=number, level=2)


def _add_sheet(
    builder: DocumentBuilder,
    reader: SheetReader,
    number: int,
    drawings: list[Drawing],
    format_of: Callable[[str], str],
) -> None:
    """Append tables, drawings and comments, each where it begins on the sheet."""
    cells = reader.cells()
    comments = reader.comments()
    if not (cells or drawings or comments):
        return
    _add_title(builder, reader.sheet.title, number)
    parts: list[tuple[tuple[int, int], Grid | Drawing]] = [
        (min(island), island) for island in islands(cells, reader.facts())
    ]
    parts += [(reader.place((drawing.row, drawing.column)), drawing) for drawing in drawings]
    for _, part in sorted(parts, key=lambda each: each[0]):
        if isinstance(part, Drawing):
            part.add(builder, number, format_of)
            continue
        builder.add_grid(part, number)
        for place in sorted(comments.keys() & part.keys()):
            builder.add(BlockKind.PARAGRAPH, comments.pop(place), page=number)
    for place in sorted(comments):
        builder.add(BlockKind.PARAGRAPH, comments[place], page=number)


def _margins(sheet: Any) -> list[str]:
    """Return header and footer of the printed sheet, without page numbers and codes."""
    found = []
    for label, margin in (("Header", sheet.oddHeader), ("Footer", sheet.oddFooter)):
        parts = (part.text or "" for part in (margin.left, margin.center, margin.right))
        texts = (
            " ".join(_FORMAT_CODE.sub("", ooxml.unescaped(part)).split())
            for part in parts
            if not _PAGE_CODE.search(part)
        )
        if text := " | ".join(filter(None, texts)):
            found.append(f"{label}: {text}")
    return found
