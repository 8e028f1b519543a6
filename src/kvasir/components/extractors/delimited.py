"""CSV and TSV: the tables of a file, each with its real header, and the lines around them.

Programs export more than rows: a ``sep=`` line, titles and dates above the header, a header of
several rows, blank rows between parts of a table or between tables, remarks below.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from kvasir.components.extractors.csv_dialect import Row, read_rows
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.encodings import decode
from kvasir.components.extractors.table_layout import table_layout
from kvasir.core.text import clean_text
from kvasir.core.types import BlockKind, Document, Source

_SAMPLE_ROWS = 50
_NUMBER = re.compile(r"[^\w\s]*\d[\d\s.,:/'-]*(?:%|[A-Za-z°€£¥$]{1,3})?")
_NO_VALUE = frozenset({"-", "–", "—", "?", "n/a", "na", "nan", "null", "none", "nil"})
_MOST_HEADER_ROWS = 3


class CsvExtractor:
    """Reads delimited text."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the tables, whose delimiter is found by trial; see ``Extractor``."""
        builder = DocumentBuilder(source)
        text = clean_text(decode(data, source.charset, builder.warn))
        _Reader(builder).read(read_rows(text))
        return builder.build()


class _Reader:
    """Appends the tables of a file, and the lines between them, to a document."""

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._table: list[Row] = []

    def read(self, rows: list[Row]) -> None:
        width = _usual_width(rows)
        for filled, part in groupby(rows, key=any):
            if filled:
                self._read_part(list(part), width)
        self._end_table()

    def _read_part(self, rows: list[Row], width: int) -> None:
        """Read the rows between two blank ones."""
        lines = _lines_above(rows, width)
        body = rows[lines:]
        if not lines and self._continues(body):
            self._table += body[1:] if body[0] == self._table[0] else body
            return
        self._end_table()
        for row in rows[:lines]:
            text = ": ".join(filter(None, row))
            self._builder.add(BlockKind.CAPTION, text)
        self._table = body

    def _continues(self, rows: list[Row]) -> bool:
        """Return True if rows below a blank one belong to the table above it."""
        if not self._table or max(map(_extent, rows)) > max(map(_extent, self._table)):
            return False
        if rows[0] == self._table[0]:
            return True
        return not _is_header(rows[0], _number_columns(self._table[1:]))

    def _end_table(self) -> None:
        if self._table:
            rows = _spread(self._table, count := _header_rows(self._table))
            # Without numbers to tell, the layout decides.
            layout = table_layout(rows, count if count > 1 else 0)
            for title in layout.titles:
                self._builder.add(BlockKind.CAPTION, title)
            self._builder.add_table(layout.rows)
        self._table = []


def _extent(row: Row) -> int:
    """Return the number of cells up to the last that is not empty."""
    return next((at for at in range(len(row), 0, -1) if row[at - 1]), 0)


def _usual_width(rows: Sequence[Row]) -> int:
    widths = Counter(_extent(row) for row in rows if sum(map(bool, row)) > 1)
    return max(widths, key=lambda width: (widths[width], width), default=1)


def _lines_above(rows: Sequence[Row], width: int) -> int:
    """Return the number of rows above the header: titles, or names with a value."""
    if width == 1:
        return 0
    count = 0
    while count < len(rows) and _extent(rows[count]) <= max(1, min(2, width // 2)):
        count += 1
    return count


def _number_columns(body: Sequence[Row]) -> set[int]:
    """Return the columns that hold numbers, dates or times only, by the first rows."""
    columns: dict[int, bool] = {}
    for row in body[:_SAMPLE_ROWS]:
        for column, cell in enumerate(row):
            if cell and columns.get(column, True) and cell.casefold() not in _NO_VALUE:
                columns[column] = _NUMBER.fullmatch(cell) is not None
    return {column for column, is_number in columns.items() if is_number}


def _is_header(row: Row, numbers: set[int]) -> bool:
    """Return True if a row has words in the columns of numbers."""
    cells = [row[column] for column in numbers if column < len(row) and row[column]]
    return bool(cells) and not any(
        _NUMBER.fullmatch(cell) or cell.casefold() in _NO_VALUE for cell in cells
    )


def _header_rows(rows: Sequence[Row]) -> int:
    """Return the number of header rows, by the numbers below them.

    A further row names parts of the names above it, or has units, and nothing in columns of words.
    """
    for count in range(min(_MOST_HEADER_ROWS, len(rows) - 1), 1, -1):
        numbers = _number_columns(rows[count:])
        if all(_goes_on(above, row, numbers) for above, row in pairwise(rows[:count])):
            return count
    return 1


def _goes_on(above: Row, row: Row, numbers: set[int]) -> bool:
    """Return True if a row belongs to the header that the row above it is of."""
    named = {column for column, cell in enumerate(row) if cell}
    has_parts = any(column in numbers for column in _gaps(above, row))
    has_units = len(named) > 1 and named <= numbers
    return (has_parts or has_units) and _is_header(row, numbers)


def _gaps(row: Row, below: Row) -> Iterator[int]:
    """Yield the empty cells right of a name that have a name below them."""
    begun = False
    for column, cell in enumerate(row):
        begun = begun or bool(cell)
        if begun and not cell and column < len(below) and below[column]:
            yield column


def _spread(rows: list[Row], header_rows: int) -> list[Row]:
    """Repeat the names of all but the last header row in the gaps right of them."""
    spread = [list(row) for row in rows[:header_rows]]
    for row, below in pairwise(spread):
        for column in list(_gaps(row, below)):
            row[column] = row[column - 1]
    return [*spread, *rows[header_rows:]]
