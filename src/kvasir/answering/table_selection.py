"""Select a table's rows by the values, parts of values, days and months of a question."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvasir.answering.table_conditions import Period, is_no, month_of, yes_of
from kvasir.answering.table_dates import Day, dates_of
from kvasir.answering.table_rows import WORD, NoAnswerError, fold, values_of
from kvasir.answering.table_signs import has_sign, written_value
from kvasir.answering.table_vocabulary import OPPOSITES, STILL_TO_COME
from kvasir.answering.table_words import TableWords
from kvasir.answering.tables import Row, Table
from kvasir.core.protocols import TextAnalyzer

WIDE = re.compile(r"[\u3400-\u9fff]")
"""A character of a script without spaces."""
SHORTEST_PART = 4
"""Fewest letters of a word in a compound, and of a part that names a whole value."""
_LONGEST_VALUE = 8
"""Most words of a value that selects rows."""
_BOTH_VALUES = "yes", "no"


class RowSelection:
    """The rows of a table that are left after the conditions of a question.

    Attributes:
        conditions: For each column that selects rows, the values that are meant.
        shown: How a condition is written in an answer, where that is not its values.
    """

    language: str
    words: TableWords
    analyzer: TextAnalyzer
    table: Table
    rows: tuple[Row, ...]
    header_terms: list[set[str]]
    asked_terms: set[str]
    document_language: str
    question: str
    names: str

    def __init__(self) -> None:
        self.conditions: dict[int, tuple[str, ...]] = {}
        self.shown: dict[int, str] = {}
        self._last_condition = (-1, -1)

    def _terms(self, text: str) -> set[str]:
        """Return the stems of a text's words; pairs of characters in a script without spaces."""
        if not self.words.is_spaced:
            runs = WORD.findall(text.casefold())
            wide = [run for run in runs if WIDE.search(run)]
            pairs = {run[i : i + 2] for run in wide for i in range(max(1, len(run) - 1))}
            return pairs | {run for run in runs if not WIDE.search(run)}
        words = WORD.findall(text)
        found = self.analyzer.document_terms(words, [self.language] * len(words))
        stems = {
            stem
            for word, vector in zip(words, found, strict=True)
            for stem in map(str, vector.indices.tolist())
            if word
        }
        return stems | {word.casefold() for word in words}

    def _select(
        self,
        tokens: Sequence[str],
        position: int,
        values: dict[str, set[tuple[int, str]]],
        *,
        is_part: bool = False,
    ) -> int:
        """Take the longest value that stands here as a condition; return its number of words.

        With ``is_part`` the question has a part of the value alone.
        """
        for length in range(min(_LONGEST_VALUE, len(tokens) - position), 0, -1):
            words = tokens[position : position + length]
            found = values.get(" ".join(map(fold, words)))
            if not found:
                continue
            columns = {column for column, _ in found}
            column = min(columns)
            is_function_word = length == 1 and fold(words[0]) in self.words.function_words
            written = {cell for _, cell in found}
            is_bare = not all(map(has_sign, written))
            if is_function_word and is_bare and words[0] not in written:
                raise NoAnswerError
            if len(columns) > 1 or (is_part and len(written) > 1):
                raise NoAnswerError
            if (
                length == 1
                and is_no(words[0])
                and not self._is_next(column, tokens[position + 1 :])
            ):
                raise NoAnswerError  # No tenant, where a column of pets says no.
            value = next(iter(written)) if is_part else self._meant(written)
            self._add_condition(column, value, tokens, position, length)
            return length
        return 0

    def _meant(self, written: set[str]) -> str:
        """Return which of the values with the same words stands in the question.

        Raises:
            NoAnswerError: None does, such as "O-" where the question says "O+".
        """
        forms = {fold(cell): cell for cell in sorted(written, reverse=True)}
        form = written_value(fold(self.question), [*forms])
        if not form:
            raise NoAnswerError
        return forms[form]

    def _is_next(self, column: int, tokens: Sequence[str]) -> bool:
        """Return True if the next word that is no function word is one of a header."""
        words = (token for token in tokens if fold(token) not in self.words.function_words)
        return bool(self._terms(next(words, "")) & self.header_terms[column])

    def _add_condition(
        self, column: int, value: str, tokens: Sequence[str], position: int, length: int
    ) -> None:
        """Select the rows with a value, or with this one as well where a word joins the two."""
        before, end = self._last_condition
        if column in self.conditions:
            between = [fold(token) for token in tokens[end:position]]
            is_joined = len(between) == 1 and between[0] in self.words.joining
            if before != column or not is_joined:
                raise NoAnswerError
        self.conditions[column] = (*self.conditions.get(column, ()), value)
        self._last_condition = (column, position + length)

    def _select_part(self, tokens: Sequence[str], position: int) -> int:
        """Take words that stand in one value alone as a condition; return their number."""
        first = fold(tokens[position])
        if len(first) < SHORTEST_PART or first.isdigit() or first in self.words.function_words:
            return 0
        found: set[tuple[int, str]] = set()
        length = 0
        for token in tokens[position : position + _LONGEST_VALUE]:
            if fold(token) in self.words.function_words:
                break
            held = self._values_with(token)
            if length and not found & held:
                break
            found = found & held if length else held
            length += 1
        if len({fold(value) for _, value in found}) != 1 or len({c for c, _ in found}) != 1:
            return 0
        column, value = next(iter(found))
        self._add_condition(column, value, tokens, position, length)
        return length

    def _values_with(self, token: str) -> set[tuple[int, str]]:
        """Return the values, with their columns, that have a word in one of its forms."""
        wanted = self._terms(token)
        begins = fold(token)[:SHORTEST_PART]
        return {
            pair
            for words, pairs in values_of(self.table).items()
            if begins in words and wanted & self._terms(words)
            for pair in pairs
        }

    def _select_period(self, period: Period) -> None:
        """Select the rows of the months that are asked for, in the one column of months."""
        columns = [
            column
            for column in range(len(self.table.header))
            if column not in self.conditions
            and any(month_of(row.cells[column]) for row in self.rows)
        ]
        rows = period.rows(self.rows, columns[0]) if len(columns) == 1 else None
        if rows is None:
            raise NoAnswerError
        self.conditions[columns[0]] = tuple(row.cells[columns[0]] for row in rows)

    def _select_yes(self) -> None:
        """Select the rows with a yes in a column of yes and no that the question names."""
        for column, terms in enumerate(self.header_terms):
            is_named = 2 * len(terms & self.asked_terms) >= len(terms)
            if column in self.conditions or not is_named:
                continue
            if yes := yes_of([row.cells[column] for row in self.rows]):
                self.conditions[column] = tuple(sorted(yes))

    def _select_day(self, day: Day, rest: str) -> bool:
        """Select the rows of a day or month in the column of dates; False if there is none.

        Raises:
            NoAnswerError: Several columns have dates, no row is of the day, rows of the month are
                of several years, or a value of another column begins with its name.
        """
        columns = {}
        for column in range(len(self.table.header)):
            if dates := dates_of([row.cells[column] for row in self.rows], self.document_language):
                columns[column] = dates
        if len(columns) > 1:
            named = self._terms(rest)
            columns = {c: d for c, d in columns.items() if self.header_terms[c] & named}
        elif not columns:
            return False
        if len(columns) != 1:
            raise NoAnswerError
        ((column, dates),) = columns.items()
        others = (cell for row in self.rows for c, cell in enumerate(row.cells) if c != column)
        name = fold(day.written)
        if any(f"{fold(cell)} ".startswith(f"{name} ") for cell in others):
            raise NoAnswerError  # Jan may be a person.
        pairs = [(row, date) for row, date in zip(self.rows, dates, strict=True) if date]
        chosen = [(row, date) for row, date in pairs if day.holds(date)]
        if not chosen or (day.year is None and len({date.year for _, date in chosen}) > 1):
            raise NoAnswerError
        if day.year and str(day.year) not in self.names and any(not d.year for _, d in chosen):
            raise NoAnswerError  # Of which year the days are is not known.
        self.conditions[column] = tuple(dict.fromkeys(row.cells[column] for row, _ in chosen))
        self.shown[column] = day.written
        return True

    def _select_opposite(self, token: str) -> bool:
        """Select the rows without a value, of which a word says the opposite; one of two values."""
        opposite = self._opposite_of(fold(token))
        for column in range(len(self.table.header)):
            values = {fold(row.cells[column]): row.cells[column] for row in self.rows}
            if opposite in values and len(values) == len(_BOTH_VALUES):
                if column in self.conditions:
                    raise NoAnswerError
                other = next(value for key, value in values.items() if key != opposite)
                if fold(other) not in STILL_TO_COME:
                    raise NoAnswerError
                self.conditions[column] = (other,)
                return True
        return False

    def _opposite_of(self, word: str) -> str:
        """Return what a word such as "unpaid" is the opposite of; else a text in no table."""
        beginnings = OPPOSITES.get(self.language, ())
        found = next((each for each in beginnings if word.startswith(each)), "")
        rest = word.removeprefix(found) if found else ""
        return rest if len(rest) >= SHORTEST_PART else "\n"

    def is_of_months(self) -> bool:
        """Return True if a day or month is a condition."""
        return bool(self.shown) or any(
            month_of(value) for values in self.conditions.values() for value in values
        )
