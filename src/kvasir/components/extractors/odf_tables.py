"""The cells of OpenDocument tables and sheets as they are shown.

Source: OpenDocument 1.3, part 3, chapter 9 and 19.385 (values).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product

from lxml import etree

from kvasir.components.extractors.document_builder import Grid
from kvasir.components.extractors.inline_marks import struck
from kvasir.components.extractors.list_numbers import number_text
from kvasir.components.extractors.odf_inline import InlineReader, comment
from kvasir.components.extractors.odf_xml import FO, OFFICE, TABLE, Styles, count
from kvasir.components.extractors.sheet_islands import Place, SheetFacts

_MAX_REPEATED = 1000
_MAX_CELLS = 1_000_000
"""Cells that spanning and repeated cells of one table may fill."""
_CELLS = frozenset({f"{TABLE}table-cell", f"{TABLE}covered-table-cell"})
_ROW_GROUPS = frozenset(
    f"{TABLE}{name}" for name in ("table-rows", "table-row-group", "table-header-rows")
)
_COLUMN_GROUPS = frozenset(
    f"{TABLE}{name}" for name in ("table-columns", "table-column-group", "table-header-columns")
)
_NUMBERS = frozenset({"float", "percentage", "currency", "date", "time"})
_HIDDEN = frozenset({"collapse", "filter"})
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?")
_REFERENCE = re.compile(r"\[\$?('[^']+'|[^\].]*)\.([^\]]*)\]")


@dataclass(slots=True)
class OdfTable:
    """The visible cells of a table; hidden rows and columns are not counted."""

    grid: Grid = field(default_factory=dict)
    numbers: set[Place] = field(default_factory=set)
    bold: set[Place] = field(default_factory=set)
    comments: dict[Place, str] = field(default_factory=dict)
    header_rows: int = 0
    unknown: int = 0
    """Formulas that are shown as they are, because their value is not stored."""

    @property
    def facts(self) -> SheetFacts:
        """Which cells hold numbers and which are bold."""
        return SheetFacts(frozenset(self.numbers), frozenset(self.bold))


def read_table(
    table: etree._Element,
    styles: Styles,
    inline: InlineReader,
    text_of: Callable[[etree._Element], str],
) -> OdfTable:
    """Return a table's cells; a spanning cell is repeated in each that it covers."""
    return _TableReader(table, styles, inline, text_of).read()


class _TableReader:
    def __init__(
        self,
        table: etree._Element,
        styles: Styles,
        inline: InlineReader,
        text_of: Callable[[etree._Element], str],
    ) -> None:
        self._table = table
        self._styles = styles
        self._inline = inline
        self._text_of = text_of
        self._found = OdfTable()
        self._hidden = _hidden_columns(table)
        self._hidden_lines = _hidden_lines(table)
        self._line = 0
        self._room = _MAX_CELLS

    def read(self) -> OdfTable:
        y = 0
        for row, is_header in rows(self._table):
            repeats = count(row, "number-rows-repeated", _MAX_REPEATED)
            self._line += 1
            if str(row.get(f"{TABLE}visibility")) in _HIDDEN:
                self._row(row, y, is_hidden=True)
                self._line += repeats - 1
                continue
            width = self._row(row, y)
            is_filled = any((y, x) in self._found.grid for x in range(width))
            if is_header and is_filled:
                self._found.header_rows += 1
            for extra in range(1, repeats if is_filled else 1):
                self._repeat(y, y + extra, width)
            y += repeats if is_filled else min(repeats, 2)
            self._line += repeats - 1
        return self._found

    def _repeat(self, y: int, other: int, width: int) -> None:
        for x in range(width):
            if (y, x) in self._found.grid:
                self._found.grid[other, x] = self._found.grid[y, x]
                if (y, x) in self._found.numbers:
                    self._found.numbers.add((other, x))

    def _row(self, row: etree._Element, y: int, *, is_hidden: bool = False) -> int:
        """Read a row's cells and return its number of columns.

        Of a hidden row, and of a hidden column, those cells are read that span visible ones.
        """
        x = column = 0
        for cell in row:
            if cell.tag not in _CELLS:
                continue
            repeated = count(cell, "number-columns-repeated", _MAX_REPEATED)
            visible = [
                number for number in range(column, column + repeated) if number not in self._hidden
            ]
            spans = count(cell, "number-columns-spanned", _MAX_REPEATED) > 1
            if visible or spans:
                self._cell(cell, y, x, max(len(visible), 1), column, is_hidden=is_hidden)
            x += len(visible)
            column += repeated
        return x

    def _cell(
        self, cell: etree._Element, y: int, x: int, repeated: int, column: int, *, is_hidden: bool
    ) -> None:
        found = self._found
        height, width = self._visible_span(cell, column)
        if not height or not width:
            return
        for annotation in () if is_hidden else cell.iterfind(f"{OFFICE}annotation"):
            place = f" at {number_text(column + 1, 'upperAlpha')}{self._line}"
            found.comments[y, x] = comment(annotation, self._inline.text(annotation), place)
        text = self._text_of(cell) or _value(cell)
        if not text and cell.get(f"{TABLE}formula") and cell.get(f"{OFFICE}value-type") is None:
            text = _formula(str(cell.get(f"{TABLE}formula")))
            found.unknown += 1
        style = cell.get(f"{TABLE}style-name")
        if not text or self._styles.is_white("table-cell", style):
            return
        if height * repeated * width > self._room:
            height = repeated = width = 1
        self._room -= height * repeated * width
        text = struck(text) if self._styles.is_struck("table-cell", style) else text
        is_number = cell.get(f"{OFFICE}value-type") in _NUMBERS
        is_bold = self._styles.value("table-cell", style, f"{FO}font-weight") == "bold"
        for dy, extra, dx in product(range(height), range(repeated), range(width)):
            place_ = y + dy, x + extra + dx
            found.grid.setdefault(place_, text)
            if is_number:
                found.numbers.add(place_)
            if is_bold:
                found.bold.add(place_)

    def _visible_span(self, cell: etree._Element, column: int) -> tuple[int, int]:
        """Return how many visible rows and columns a cell covers."""
        height = count(cell, "number-rows-spanned", _MAX_REPEATED)
        height -= sum(line in self._hidden_lines for line in range(self._line, self._line + height))
        width = count(cell, "number-columns-spanned", _MAX_REPEATED)
        width -= sum(number in self._hidden for number in range(column, column + width))
        return height, width


def rows(parent: etree._Element, is_header: bool = False) -> Iterator[tuple[etree._Element, bool]]:
    """Yield a table's own rows, and whether they are marked as header."""
    for child in parent:
        if child.tag == f"{TABLE}table-row":
            yield child, is_header
        elif child.tag in _ROW_GROUPS and child.get(f"{TABLE}display") != "false":
            yield from rows(child, is_header or child.tag == f"{TABLE}table-header-rows")


def _hidden_lines(table: etree._Element) -> frozenset[int]:
    """Return the numbers of the hidden rows, from 1."""
    hidden: set[int] = set()
    line = 1
    for row, _ in rows(table):
        repeats = count(row, "number-rows-repeated", _MAX_REPEATED)
        if str(row.get(f"{TABLE}visibility")) in _HIDDEN:
            hidden.update(range(line, line + repeats))
        line += repeats
    return frozenset(hidden)


def _hidden_columns(table: etree._Element) -> frozenset[int]:
    hidden: set[int] = set()
    number = 0

    def visit(parent: etree._Element) -> None:
        nonlocal number
        for child in parent:
            if child.tag == f"{TABLE}table-column":
                repeated = count(child, "number-columns-repeated", 1 << 14)
                if str(child.get(f"{TABLE}visibility")) in _HIDDEN:
                    hidden.update(range(number, number + repeated))
                number += repeated
            elif child.tag in _COLUMN_GROUPS:
                visit(child)

    visit(table)
    return frozenset(hidden)


def _value(cell: etree._Element) -> str:
    """Return the stored value of a cell without text."""
    kind = cell.get(f"{OFFICE}value-type")
    value = str(cell.get(f"{OFFICE}value") or "")
    if kind == "percentage":
        return f"{float(value) * 100:.15g}%" if value else ""
    if kind == "currency":
        return f"{value} {cell.get(f'{OFFICE}currency') or ''}".strip()
    if kind == "date":
        return str(cell.get(f"{OFFICE}date-value") or "").removesuffix("T00:00:00")
    if kind == "time":
        return _time(str(cell.get(f"{OFFICE}time-value") or ""))
    if kind == "boolean":
        return str(cell.get(f"{OFFICE}boolean-value") or "").upper()
    return str(cell.get(f"{OFFICE}string-value") or "") if kind == "string" else value


def _time(text: str) -> str:
    """Return a duration such as ``PT26H30M00S`` as hours and minutes, with seconds if any."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return text
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    tail = f":{seconds:02.0f}" if seconds else ""
    return f"{hours:02.0f}:{minutes:02.0f}{tail}"


def _formula(text: str) -> str:
    """Return a formula as spreadsheet programs show it: ``=B2*C2``."""
    text = text.partition("=")[2]

    def plain(match: re.Match[str]) -> str:
        sheet = f"{match[1]}!" if match[1] else ""
        return sheet + match[2].replace(":.", ":")

    return "=" + _REFERENCE.sub(plain, text)
