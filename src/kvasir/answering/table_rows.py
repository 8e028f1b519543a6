"""The rows of a table that are data, their columns of numbers, and the values that select them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from kvasir.answering.table_words import IDENTIFIERS, TOTALS
from kvasir.answering.tables import REMEMBERED, Row, Table, is_gap, is_number

WORD = re.compile(r"[^\W_]+")
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
        if not is_total and any(row.cells):
            rows.append(row)
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


@lru_cache(REMEMBERED)
def measures_of(table: Table) -> frozenset[int]:
    """Return the columns of numbers, over all rows."""
    rows = data_rows(table)
    return frozenset(
        column
        for column, header in enumerate(table.header)
        if has_numbers(header, [row.cells[column] for row in rows])
    )


def has_numbers(header: str, cells: Sequence[str]) -> bool:
    """Return True if most of a column's values are numbers that are no names."""
    if IDENTIFIERS.search(header):
        return False
    filled = [cell for cell in cells if not is_gap(cell)]
    return bool(filled) and 2 * sum(map(is_number, filled)) > len(filled)


def _digits(words: set[str]) -> set[str]:
    return {word for word in words if word.isdigit() or re.fullmatch(r"[qt]\d", word)}


def _is_sum(rows: Sequence[Row]) -> bool:
    """Return True if the last row's numbers are the sums of those above it, in some column."""
    for column in range(len(rows[0].cells)):
        figures = [re.sub(r"[^\d-]", "", row.cells[column]) for row in rows]
        if all(re.fullmatch(r"-?\d{1,15}", figure) for figure in figures):
            values = [int(figure) for figure in figures]
            if values[-1] and values[-1] == sum(values[:-1]):
                return True
    return False


@lru_cache(REMEMBERED)
def is_distinct(rows: tuple[Row, ...], column: int) -> bool:
    """Return True if every row has a value of its own in a column."""
    values = [fold(row.cells[column]) for row in rows]
    return len(set(values)) == len(values) and all(values)


def fold(text: str) -> str:
    """Return a text in the form in which cells and words are compared."""
    return text.casefold().strip()
