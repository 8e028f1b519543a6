"""The dialect of delimited text, found by trial, and its rows.

Programs differ in the delimiter, the quote sign and the way to write a quote sign inside quotes.
Some do not quote at all, so that a quote sign may open a cell that nothing closes.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _csv import Reader

Row = list[str]

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 50
_SAMPLE_LINES = 2_000
_LARGEST_CELL = 1 << 27
_READ_AGAIN = 10
"""Times the lines of a file that may be read again after a quote sign that nothing closes."""
_SEPARATOR_LINE = re.compile(r'\A\s*"?sep=([^"]|\\t)"?[^\S\t\n]*\r?\n', re.IGNORECASE)
_ESCAPED = re.compile(r'\\([\\"])')
_QUOTE_MARK = "\ufdd0"
"""Stands for an escaped quote sign; no text has this noncharacter."""
_TEXT_FORMULA = re.compile(r'="([^"]*)"')
"""How Excel is made to keep the zeros of a number such as a postal code."""


@dataclass(frozen=True, slots=True)
class _Dialect:
    delimiter: str
    quote: str = '"'
    has_escapes: bool = False
    """True if a backslash before a quote sign, not a second one, makes it a part of the cell."""

    def reader(self, lines: Iterator[str] | Sequence[str], *, is_strict: bool = False) -> Reader:
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            # A space before a quote sign; cells are stripped in any case.
            skipinitialspace=self.delimiter != " ",
            strict=is_strict,
        )

    def unquoted(self, line: str) -> Row:
        """Return the cells of a line whose quote signs are part of the cells."""
        return next(csv.reader([line], delimiter=self.delimiter, quoting=csv.QUOTE_NONE), [])

    def escaped(self, lines: Sequence[str]) -> list[str]:
        """Return the lines with a mark for each escaped quote sign."""
        if not self.has_escapes:
            return list(lines)
        return [_ESCAPED.sub(_unescaped, line) if "\\" in line else line for line in lines]

    def rows(self, lines: Sequence[str]) -> Iterator[Row]:
        """Yield the rows of a file; a quote sign that nothing closes is a part of its cell."""
        lines = self.escaped(lines)
        usual = self._usual_width(lines)
        source = _Lines(lines)
        reader = self.reader(source)
        left = _READ_AGAIN * len(lines) + 1
        while (start := source.at) < len(lines):
            row = self.unquoted(lines[start]) if left <= 0 else next(reader, [])
            source.at = max(source.at, start + 1)
            if source.at - start > 1 or source.at == len(lines):
                left -= source.at - start
                if self._is_open(lines, start, source.at, len(row), usual):
                    row = self.unquoted(lines[start])
                    source.at = start + 1
            yield [cell.replace(_QUOTE_MARK, '"') for cell in row] if self.has_escapes else row

    def _usual_width(self, lines: Sequence[str]) -> int:
        """Return the most frequent number of cells in a row of one line."""
        source = _Lines(lines[:_SAMPLE_LINES])
        reader = self.reader(source)
        widths: Counter[int] = Counter()
        begun = 0
        for row in islice(reader, _SAMPLE_ROWS):
            if source.at - begun == 1 and len(row) > 1:
                widths[len(row)] += 1
            begun = source.at
        return max(widths, key=lambda width: (widths[width], width), default=0)

    def _is_open(self, lines: Sequence[str], start: int, end: int, width: int, usual: int) -> bool:
        """Return True if a quote sign in the first of some lines opens a cell by mistake.

        Nothing closes it, or most of its lines have the usual number of cells, but their row has
        not, or a quote sign within a cell.
        """
        if end == len(lines) and self._reaches_beyond(lines[start:end]):
            return True
        if end - start == 1 or self._width_alone(lines[start]) != usual:
            return False
        if width == usual and self._is_clean(lines[start:end]):
            return False
        alone = sum(1 for line in lines[start:end] if self._width_alone(line) == usual)
        return alone * 2 > end - start

    def _is_clean(self, lines: Sequence[str]) -> bool:
        """Return True if what closes a cell is followed by a delimiter or the end of a line."""
        try:
            list(self.reader(lines, is_strict=True))
        except csv.Error:
            return False
        return True

    def clean_lines(self, lines: Sequence[str]) -> int:
        """Return the number of lines that are rows without a quote sign inside a quoted cell."""
        return sum(self._is_clean([line]) for line in self.escaped(lines))

    def _reaches_beyond(self, lines: Sequence[str]) -> bool:
        reader = self.reader([*lines, "x"])
        next(reader, None)
        return reader.line_num > len(lines)

    def _width_alone(self, line: str) -> int:
        if self._reaches_beyond([line]):
            return len(self.unquoted(line))
        return len(next(self.reader([line]), []))


class _Lines:
    """Lines whose reader can be set back."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self.at = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.at >= len(self._lines):
            raise StopIteration
        self.at += 1
        return self._lines[self.at - 1]


def read_rows(text: str) -> list[Row]:
    """Return the rows of delimited text, their cells without white space around them."""
    csv.field_size_limit(_LARGEST_CELL)
    named = _SEPARATOR_LINE.match(text)
    if named:
        text = text[named.end() :]
    lines = list(io.StringIO(text, newline=""))
    plain = _Dialect(named[1].replace("\\t", "\t") if named else _delimiter(lines))
    return [[_cell(cell) for cell in row] for row in _quoting(lines, plain).rows(lines)]


def _delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that gives the most rows of equal width above 1, else a comma."""
    sample = lines[:_SAMPLE_LINES]
    return max(_DELIMITERS, key=lambda sign: _agreement(_Dialect(sign), sample, _SAMPLE_ROWS))


def _quoting(lines: Sequence[str], plain: _Dialect) -> _Dialect:
    """Return the way of quoting that gives the most rows of equal width, in doubt the usual one."""
    best = plain
    if escaped := [line for line in lines if '\\"' in line]:

        def score(dialect: _Dialect) -> tuple[int, int]:
            return _agreement(dialect, lines)[0], dialect.clean_lines(escaped)

        best = max(plain, replace(plain, has_escapes=True), key=score)
    quoted = re.compile(rf"(?:^|{re.escape(plain.delimiter)}) *'")
    if plain.delimiter != "'" and any("'" in line and quoted.search(line) for line in lines):
        single = replace(plain, quote="'")
        best = max(best, single, key=lambda dialect: _agreement(dialect, lines)[0])
    return best


def _agreement(
    dialect: _Dialect, lines: Sequence[str], limit: int | None = None
) -> tuple[int, int]:
    """Return the largest number of rows that have one width above 1, and that width."""
    widths = Counter(len(row) for row in islice(dialect.rows(lines), limit))
    return max(((count, width) for width, count in widths.items() if width > 1), default=(0, 0))


def _unescaped(found: re.Match[str]) -> str:
    return _QUOTE_MARK if found[1] == '"' else found[1]


def _cell(text: str) -> str:
    text = text.strip()
    if not text.startswith("="):
        return text
    formula = _TEXT_FORMULA.fullmatch(text)
    return formula[1] if formula else text
