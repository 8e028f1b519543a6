"""The visible cells of an Excel sheet, as Excel shows them."""

from __future__ import annotations

import re
import zipfile
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from functools import cached_property
from typing import Any

from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.utils import range_boundaries
from openpyxl.worksheet.formula import ArrayFormula

from kvasir.components.extractors.archive import read_member
from kvasir.components.extractors.cell_formats import shown
from kvasir.components.extractors.document_builder import Grid
from kvasir.components.extractors.inline_marks import Position, Run, join_runs, link_suffix, struck
from kvasir.components.extractors.ooxml import unescaped, with_part
from kvasir.components.extractors.sheet_islands import Place, SheetFacts
from kvasir.components.extractors.symbol_fonts import as_unicode

_MAX_CELLS = 5_000_000
_FORMULA_CELL = re.compile(
    rb"<(?:\w+:)?c\s([^>]*)>\s*<(?:\w+:)?f\b[^>]*(?:/>|>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>([^<]*)</(?:\w+:)?v>)?"
)
_CALCULATED_ON_LOAD = re.compile(rb"<(?:\w+:)?calcPr[^>]*\bfullCalcOnLoad=\"(?:1|true)\"")
_LINK_FORMULA = re.compile(r'=\s*(?:_xlfn\.)?HYPERLINK\(\s*"([^"]+)"', re.IGNORECASE)
_THREAD = re.compile(r"\A\[[^\]]+\]\s*\n[^\n]+\n\s*\n[^\n:]+:\s*")
_STRINGS = "xl/sharedStrings.xml"
_MARKED_TEXT = re.compile(
    rb"<(?:\w+:)?(?:vertAlign|strike)\b|<(?:\w+:)?rFont val=\"(?:Symbol|(?:Wing|Web)dings)"
)
_WHITE = "FFFFFFFF"
_POSITIONS = {"superscript": Position.RAISED, "subscript": Position.LOWERED}


@dataclass(frozen=True, slots=True)
class BookFacts:
    """What a workbook's XML says before openpyxl reads it, so that it reads no more than needed."""

    without_values: bool = False
    """True if formulas have no stored value."""
    only_zero: bool = False
    """True if 0 stands for a value that is not computed yet."""
    with_links: bool = False
    """True if formulas link to addresses."""
    with_marked_text: bool = False
    """True if a part of a cell's text is raised, lowered, struck or set in a font of signs."""

    @property
    def needs_formulas(self) -> bool:
        """True if the formulas must be read beside the values."""
        return self.without_values or self.only_zero or self.with_links


def with_escapes(data: bytes, archive: zipfile.ZipFile) -> bytes:
    """Return a workbook whose escaped underscores outlive openpyxl, which removes ``x005F_``."""
    strings = read_member(archive, _STRINGS) if _STRINGS in archive.namelist() else b""
    if b"_x005F_" not in strings:
        return data
    return with_part(archive, _STRINGS, strings.replace(b"_x005F_", b"_x00x005F_5F_"))


def book_facts(archive: zipfile.ZipFile, workbook: str, sheets: list[str]) -> BookFacts:
    """Return what a workbook's parts hold.

    A program that cannot compute leaves a formula's value out, or writes 0 everywhere and has the
    workbook computed when it is opened.
    """
    missing = links = marked = False
    values: set[bytes] = set()
    names = set(archive.namelist())
    for part in (*sheets, *names & {_STRINGS}):
        xml = read_member(archive, part)
        marked = marked or _MARKED_TEXT.search(xml) is not None
        if b"<f" not in xml and b":f" not in xml:
            continue
        links = links or b"HYPERLINK(" in xml.upper()
        for match in _FORMULA_CELL.finditer(xml):
            value = match[2] or b""
            values.add(value)
            missing = missing or (not value and b't="str"' not in match[1])
    only_zero = values == {b"0"} and _CALCULATED_ON_LOAD.search(read_member(archive, workbook))
    return BookFacts(missing, bool(only_zero), links, marked)


@dataclass(frozen=True, slots=True)
class _Look:
    """What a cell's style says."""

    number_format: str = ""
    is_bold: bool = False
    is_white: bool = False
    """White letters on no ground."""
    is_struck: bool = False
    font: str = ""


@dataclass
class SheetReader:
    """Reads one sheet; ``formulas`` is the same sheet with formulas instead of values, or None."""

    sheet: Any
    formulas: Any = None
    only_zero: bool = False
    unknown: int = 0
    """Formulas that are shown as they are, because their value is not stored."""
    _numbers: set[Place] = field(default_factory=set)
    _bold: set[Place] = field(default_factory=set)
    _looks: dict[bytes, _Look] = field(default_factory=dict)

    def cells(self) -> Grid:
        """Return the visible cells by visible row and column.

        A merged cell is repeated in each cell that it covers.
        """
        # Not iter_rows: one cell in the last corner of a sheet would make it visit billions.
        cells = {
            position: text
            for position, cell in self.sheet._cells.items()
            if self._is_visible(position) and (text := self._text(position, cell))
        }
        room = _MAX_CELLS
        for area in self.sheet.merged_cells.ranges:
            room -= area.size["rows"] * area.size["columns"]
            if room >= 0:
                places = [place for place in area.cells if self._is_visible(place)]
                value = self._merged((area.min_row, area.min_col), places, cells)
                cells.update(dict.fromkeys(places, value) if value else {})
        return {self.place(position): text for position, text in cells.items()}

    def _merged(self, first: Place, places: list[Place], cells: Mapping[Place, str]) -> str:
        """Return the text of a merged area, which its first cell holds, also if that is hidden."""
        if first in cells or self._is_visible(first) or not places:
            return cells.get(first, "")
        cell = self.sheet._cells.get(first)
        return self._text(first, cell) if cell is not None else ""

    def facts(self) -> SheetFacts:
        """Return which of the cells hold numbers and which are bold."""
        numbers, bold = (frozenset(map(self.place, each)) for each in (self._numbers, self._bold))
        return SheetFacts(numbers, bold)

    def comments(self) -> dict[Place, str]:
        """Return the comments by visible row and column, each with its label."""
        return {
            self.place(position): text
            for position, cell in self.sheet._cells.items()
            if cell.comment is not None and self._is_visible(position) and (text := _comment(cell))
        }

    def place(self, position: Place) -> Place:
        """Return row and column without counting hidden ones, as they are on the screen."""
        row, column = position
        return (
            row - bisect_left(self._hidden_rows, row),
            column - bisect_left(self._hidden_columns, column),
        )

    def _is_visible(self, position: Place) -> bool:
        row, column = position
        return row not in self._hidden_row_set and column not in self._hidden_column_set

    @cached_property
    def _hidden_rows(self) -> list[int]:
        rows = self.sheet.row_dimensions
        hidden = {number for number, row in rows.items() if row.hidden or row.height == 0}
        if self.sheet.sheet_format.zeroHeight:
            hidden |= {row for row, _ in self.sheet._cells if row not in rows}
        return sorted(hidden)

    @cached_property
    def _hidden_row_set(self) -> frozenset[int]:
        return frozenset(self._hidden_rows)

    @cached_property
    def _hidden_column_set(self) -> frozenset[int]:
        return frozenset(self._hidden_columns)

    @cached_property
    def _hidden_columns(self) -> list[int]:
        return sorted(
            number
            for column in self.sheet.column_dimensions.values()
            if column.hidden or column.width == 0
            for number in range(column.min or 0, (column.max or 0) + 1)
        )

    @cached_property
    def _tables(self) -> list[tuple[int, int, int, int]]:
        return [range_boundaries(table.ref) for table in self.sheet.tables.values()]

    def _text(self, position: Place, cell: Any) -> str:
        value = unescaped(cell.value) if isinstance(cell.value, str) else cell.value
        formula = self._formula(position)
        if formula and (value is None or (self.only_zero and value == 0)):
            self.unknown += 1
            return formula
        if value is None:
            return ""
        look = self._look(cell)
        if isinstance(value, CellRichText):
            text = join_runs(_run(piece, look) for piece in value)
        else:
            text = shown(value, look.number_format)
            text = as_unicode(text, look.font) if isinstance(value, str) else text
            text = struck(text) if look.is_struck else text
        if not text.strip() or (look.is_white and not self._is_in_table(position)):
            return ""
        if isinstance(value, (int, float, date, time, timedelta)):
            self._numbers.add(position)
        if look.is_bold:
            self._bold.add(position)
        return text + self._link(cell, text, formula)

    def _look(self, cell: Any) -> _Look:
        if not cell.has_style:
            return _Look()
        key = bytes(cell._style)
        if key not in self._looks:
            font = cell.font
            self._looks[key] = _Look(
                cell.number_format,
                bool(font.b),
                _is_white(cell),
                bool(font.strike),
                font.name or "",
            )
        return self._looks[key]

    def _is_in_table(self, position: Place) -> bool:
        """Return True inside a table, whose style may give white letters their ground."""
        row, column = position
        return any(
            left <= column <= right and top <= row <= bottom
            for left, top, right, bottom in self._tables
        )

    def _formula(self, position: Place) -> str:
        cell = self.formulas._cells.get(position) if self.formulas is not None else None
        value = cell.value if cell is not None else None
        if isinstance(value, ArrayFormula):
            value = value.text
        return value if isinstance(value, str) and value.startswith("=") else ""

    def _link(self, cell: Any, text: str, formula: str) -> str:
        if cell.hyperlink is not None and cell.hyperlink.target:
            place = cell.hyperlink.location
            address = cell.hyperlink.target + (f"#{place}" if place else "")
            return link_suffix(text, address)
        linked = _LINK_FORMULA.match(formula)
        return link_suffix(text, linked[1]) if linked else ""


def _is_white(cell: Any) -> bool:
    color = cell.font.color
    if color is None or cell.fill.fill_type is not None:
        return False
    if color.type == "theme":
        return bool(color.theme == 0 and not color.tint)
    return bool(color.type == "rgb" and color.rgb == _WHITE)


def _run(piece: Any, look: _Look) -> Run:
    """Return a piece of a cell's text; one without a font of its own has that of the cell."""
    if isinstance(piece, TextBlock):
        text = as_unicode(unescaped(piece.text), piece.font.rFont or "")
        position = _POSITIONS.get(piece.font.vertAlign, Position.BASELINE)
        return text, position.struck(bool(piece.font.strike))
    text = as_unicode(unescaped(str(piece)), look.font)
    return text, Position.BASELINE.struck(look.is_struck)


def _comment(cell: Any) -> str:
    author = unescaped(cell.comment.author or "")
    text = unescaped(cell.comment.text or "")
    if author.startswith("tc="):
        # The copy of a threaded comment for old programs: its text begins with advice.
        author, text = "", _THREAD.sub("", text)
    text = " ".join(text.removeprefix(f"{author}:").split())
    label = f"Comment ({author})" if author else "Comment"
    return f"{label} at {cell.coordinate}: {text}" if text else ""
