"""The rows of a table that are data, their columns of numbers, and the values that select them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from kvasir.answering.table_doubts import figures_of, is_of_groups
from kvasir.answering.table_words import EXTREMES, IDENTIFIERS, KEYS, PARTS, TOTALS
from kvasir.answering.tables import REMEMBERED, Row, Table, is_gap, is_number
from kvasir.language.normalization import normalize

WORD = re.compile(r"[^\W_]+")
_WHOLE = re.compile(r"[1-9]\d{0,14}")
_FEWEST_KEYS = 2
_LEAST_KEY = 100
"""Least number of an order or invoice that is taken for its name."""
_FEWEST_FOR_A_TOTAL = 3
"""Rows before a last one that is taken for their sum if it is equal."""


class NoAnswerError(Exception):
    """The table does not answer the question, as far as it is understood."""


def data_rows(table: Table) -> tuple[Row, ...]:
    """Return the rows without those that are themselves computed.

    Raises:
        NoAnswerError: Whether a row is computed is not clear.
    """
    rows = _clear_rows(table)
    if rows is None:
        raise NoAnswerError
    return rows


@lru_cache(REMEMBERED)
def _clear_rows(table: Table) -> tuple[Row, ...] | None:
    rows: list[Row] = []
    for row in table.rows:
        label = set(WORD.findall(fold(next(filter(None, row.cells), ""))))
        is_total = bool(label & TOTALS) and label <= TOTALS | _digits(label)
        if label & TOTALS and not is_total:
            return None
        if not is_total and any(map(is_number, row.cells)) and any(map(_is_part, row.cells)):
            return None
        if not is_total and any(row.cells):
            rows.append(row)
    if rows and fold(rows[-1].cells[0]).strip(" .:") in EXTREMES:
        return None
    if len(rows) > 1 and not rows[-1].cells[0] and rows[-2].cells[0]:
        return None
    if len(rows) > _FEWEST_FOR_A_TOTAL and _is_sum(rows):
        return None
    return tuple(rows)


@lru_cache(REMEMBERED)
def values_of(table: Table) -> dict[str, set[tuple[int, str]]]:
    """Return the values by which rows can be selected, each with its columns and as written."""
    values: dict[str, set[tuple[int, str]]] = {}
    measures = measures_of(table)
    columns = [c for c in range(len(table.header)) if c not in measures]
    for row in data_rows(table):
        for column in columns:
            cell = row.cells[column]
            values.setdefault(" ".join(WORD.findall(fold(cell))), set()).add((column, cell))
    values.pop("", None)
    return values


def only_value(part: str, values: Iterable[str]) -> str:
    """Return the one value that has a part, in a script without spaces; empty if several do."""
    found = [value for value in values if part in value]
    return found[0] if len(found) == 1 else ""


@lru_cache(REMEMBERED)
def measures_of(table: Table) -> frozenset[int]:
    """Return the columns of numbers, over all rows."""
    rows = data_rows(table)
    return frozenset(
        column
        for column, header in enumerate(table.header)
        if has_numbers(header, cells := [row.cells[column] for row in rows])
        and not _are_keys(header, cells, is_first=not column)
    )


def _are_keys(header: str, cells: Sequence[str], *, is_first: bool) -> bool:
    """Return True if whole numbers are names: 1, 2, 3, or those of orders, each there once."""
    if len(cells) < _FEWEST_KEYS or not all(map(_WHOLE.fullmatch, cells)):
        return False
    numbers = [int(cell) for cell in cells]
    if is_first and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        return len(numbers) >= _FEWEST_FOR_A_TOTAL
    is_long = min(numbers) >= _LEAST_KEY
    return is_long and len({*numbers}) == len(numbers) and KEYS.search(header) is not None


def has_numbers(header: str, cells: Sequence[str]) -> bool:
    """Return True if most of a column's values are numbers that are no names."""
    if IDENTIFIERS.search(header):
        return False
    filled = [cell for cell in cells if not is_gap(cell)]
    return bool(filled) and 2 * sum(map(is_number, filled)) > len(filled)


def _is_part(cell: str) -> bool:
    """Return True if a cell beside a row's label says that the row is a sum: "all", "Total"."""
    words = set(WORD.findall(fold(cell)))
    return bool(words) and words <= PARTS


def _digits(words: set[str]) -> set[str]:
    return {word for word in words if word.isdigit() or re.fullmatch(r"[qt]\d", word)}


def _is_sum(rows: Sequence[Row]) -> bool:
    """Return True if, in some column, the last number or one of each group is a sum of others."""
    for column in range(len(rows[0].cells)):
        values = figures_of([row.cells[column] for row in rows])
        if values and ((values[-1] and values[-1] == sum(values[:-1])) or is_of_groups(values)):
            return True
    return False


@lru_cache(REMEMBERED)
def is_distinct(rows: tuple[Row, ...], column: int) -> bool:
    """Return True if every row has a value of its own in a column."""
    values = [fold(row.cells[column]) for row in rows]
    return len(set(values)) == len(values) and all(values)


def fold(text: str) -> str:
    """Return a text in the form in which cells and words are compared."""
    return normalize(text).casefold().strip()
