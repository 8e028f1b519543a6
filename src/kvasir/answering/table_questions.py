"""Read a question about one table: what is asked, which rows it selects, which columns it names.

A question is understood only if every word of it is accounted for: as the operation, a header, a
value that selects rows, the name of the file or section, or a function word. So a condition that
is not understood ("before May", "except Rome") leaves the question to the generator.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from kvasir.answering.table_words import (
    IDENTIFIERS,
    PER,
    TOTALS,
    UNITS,
    Operation,
    TableWords,
)
from kvasir.answering.tables import REMEMBERED, Row, Table, is_gap, is_number
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Hit

_WORD = re.compile(r"[^\W_]+")
_PIECE = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+")
"""A run of characters of a script without spaces, or a word."""
_WIDE = re.compile(r"[\u3400-\u9fff]")
_LONGEST_VALUE = 8
"""Most words of a value that selects rows."""
_LONGEST_WIDE = 16
"""The same in characters, in a script without spaces."""
_FEWEST_FOR_A_TOTAL = 3
"""Rows before a last one that is taken for their sum if it is equal."""


class NoAnswerError(Exception):
    """The table does not answer the question, as far as it is understood."""


class TableQuestion:
    """A question, read in one language, about one table."""

    def __init__(
        self,
        question: str,
        language: str,
        words: TableWords,
        analyzer: TextAnalyzer,
        hit: Hit,
        text: str,
        folded: str,
        table: Table,
    ) -> None:
        self.language, self.words, self.analyzer = language, words, analyzer
        self.question, self.text, self.table = question, text, table
        self.header_terms = [self._terms(self._with_synonyms(cell)) for cell in table.header]
        in_headers = set().union(*self.header_terms)
        self.operation, rest, self.hinted = self._operation(question, in_headers)
        names = self._names(hit)
        known = in_headers | self._terms(names)
        self._check_words(rest, known, folded)
        self.rows = data_rows(table)
        self.document_language = str(hit.chunk.metadata.get("language", ""))
        self.conditions: dict[int, str] = {}
        self.asked_terms = self._account(rest, known, names)
        for column, value in self.conditions.items():
            self.rows = tuple(r for r in self.rows if _folded(r.cells[column]) == _folded(value))

    def _with_synonyms(self, header: str) -> str:
        folded = _folded(header)
        found = [said for word, said in self.words.synonyms if word in folded]
        found += [
            said
            for unit, said in UNITS.items()
            if re.search(rf"(?<!\w){re.escape(unit)}(?!\w)", folded)
        ]
        return " ".join([header, *found])

    @staticmethod
    def _names(hit: Hit) -> str:
        metadata = hit.chunk.metadata
        uri = str(metadata.get("source_uri", "")).replace("\\", "/")
        return " ".join(
            [str(metadata.get("title", "")), uri.rsplit("/", 1)[-1], *hit.chunk.headings]
        )

    def _terms(self, text: str) -> set[str]:
        """Return the stems of a text's words; pairs of characters in a script without spaces."""
        if not self.words.is_spaced:
            runs = _WORD.findall(text.casefold())
            wide = [run for run in runs if _WIDE.search(run)]
            pairs = {run[i : i + 2] for run in wide for i in range(max(1, len(run) - 1))}
            return pairs | {run for run in runs if not _WIDE.search(run)}
        words = _WORD.findall(text)
        found = self.analyzer.document_terms(words, [self.language] * len(words))
        stems = {
            stem
            for word, vector in zip(words, found, strict=True)
            for stem in map(str, vector.indices.tolist())
            if word
        }
        return stems | {word.casefold() for word in words}

    def _operation(
        self, question: str, in_headers: set[str]
    ) -> tuple[Operation | None, str, set[str]]:
        """Return what is asked, the question without those words, and the headers they hint at."""
        found = [
            (match.start(), match.end(), operation)
            for operation, pattern in self.words.operations.items()
            for match in pattern.finditer(question)
        ]
        found = [
            each
            for each in found
            if not any(
                other[0] <= each[0] and each[1] <= other[1] and other[:2] != each[:2]
                for other in found
            )
        ]
        named = [each for each in found if self._terms(question[each[0] : each[1]]) <= in_headers]
        if named and len(named) == len(found):
            raise NoAnswerError
        found = [each for each in found if each not in named]
        rest = question
        for start, end, _ in found:
            rest = f"{rest[:start]}{' ' * (end - start)}{rest[end:]}"
        hints = (said for pattern, said in self.words.hints if pattern.search(question))
        hinted = self._terms(" ".join(hints))
        kinds = {operation for _, _, operation in found}
        self.how_many = Operation.COUNT in kinds
        kinds = kinds - {Operation.COUNT} or kinds
        if len(kinds) > 1:
            raise NoAnswerError
        return (kinds.pop() if kinds else None), rest, hinted

    def _check_words(self, rest: str, known: set[str], folded: str) -> None:
        """Raise NoAnswerError if a word stands nowhere: that is known before rows are read."""
        if not self.words.is_spaced and not _WIDE.search(self.question):
            raise NoAnswerError
        for token in _WORD.findall(rest) if self.words.is_spaced else ():
            word = _folded(token)
            is_known = word in self.words.function_words or word in PER or word in folded
            if not is_known and not self._terms(token) & known:
                raise NoAnswerError

    def _account(self, rest: str, known: set[str], names: str) -> set[str]:
        """Return the stems of the words that headers or names explain; fill the conditions.

        Raises:
            NoAnswerError: A word is not explained.
        """
        if not self.words.is_spaced:
            return self._account_unspaced(rest, names)
        tokens = _WORD.findall(rest)
        values = values_of(self.table)
        explained: set[str] = set()
        position = 0
        while position < len(tokens):
            token = tokens[position]
            length = self._select(tokens, position, values)
            if length:
                position += length
                continue
            stems = self._terms(token)
            following = self._terms(tokens[position + 1]) if position + 1 < len(tokens) else set()
            if stems & known:
                explained |= stems
            elif _folded(token) in PER and self.operation is Operation.AVERAGE:
                if not following & self.header_terms[0] or not is_distinct(self.rows, 0):
                    raise NoAnswerError
                position += 1
            elif _folded(token) not in self.words.function_words:
                raise NoAnswerError
            position += 1
        return explained

    def _select(
        self, tokens: Sequence[str], position: int, values: dict[str, set[tuple[int, str]]]
    ) -> int:
        """Take the longest value that stands here as a condition; return its number of words."""
        for length in range(min(_LONGEST_VALUE, len(tokens) - position), 0, -1):
            words = tokens[position : position + length]
            found = values.get(" ".join(map(_folded, words)))
            if not found:
                continue
            columns = {column for column, _ in found}
            column = min(columns)
            is_function_word = length == 1 and _folded(words[0]) in self.words.function_words
            written = {cell for _, cell in found}
            if is_function_word and words[0] not in written:
                raise NoAnswerError
            if len(columns) > 1 or column in self.conditions:
                raise NoAnswerError
            self.conditions[column] = min(written)
            return length
        return 0

    def _account_unspaced(self, rest: str, names: str) -> set[str]:
        headers = " ".join(map(self._with_synonyms, self.table.header)).casefold()
        pool = f"{headers} {names.casefold()}"
        known = set(_PIECE.findall(pool))
        values = {key.replace(" ", ""): found for key, found in values_of(self.table).items()}
        pieces = _PIECE.findall(rest.casefold())
        explained: set[str] = set()
        for run in pieces:
            if not _WIDE.search(run):
                if not self._select([run], 0, values):
                    if run not in known:
                        raise NoAnswerError
                    explained.add(run)
                continue
            position = 0
            while position < len(run):
                ends = range(min(len(run), position + _LONGEST_WIDE), position, -1)
                parts = [run[position:end] for end in ends]
                value = next((p for p in parts if len(p) > 1 and p in values), "")
                named = next((p for p in parts if p in (pool if len(p) > 1 else headers)), "")
                word = next((p for p in parts if p in self.words.function_words), "")
                if value and len(value) >= len(named):
                    self._select([value], 0, values)
                    position += len(value)
                elif named:
                    explained |= self._terms(named)
                    position += len(named)
                elif word:
                    position += len(word)
                else:
                    raise NoAnswerError
        return explained

    def is_measure(self, column: int) -> bool:
        """Return True if most values of a column are numbers that are no names."""
        if len(self.rows) == len(data_rows(self.table)):
            return column in _measures(self.table)
        return _has_numbers(self.table.header[column], [row.cells[column] for row in self.rows])

    def column(self, measures: Sequence[int]) -> int | None:
        """Return the column of numbers that the question names; None if it names none.

        Raises:
            NoAnswerError: It names several.
        """
        for asked in (self.asked_terms, self.hinted):
            named = {c: found for c in measures if (found := self.header_terms[c] & asked)}
            if not named:
                continue
            share = {c: len(found) / len(self.header_terms[c]) for c, found in named.items()}
            best = max(named, key=lambda c: (len(named[c]), share[c]))
            for other, found in named.items():
                is_less = len(found) < len(named[best]) or share[other] < share[best]
                if other != best and not (found <= named[best] and is_less):
                    raise NoAnswerError
            return best
        return None


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
        label = set(_WORD.findall(_folded(next(filter(None, row.cells), ""))))
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
    measures = _measures(table)
    columns = [c for c in range(len(table.header)) if c not in measures]
    for row in data_rows(table):
        for column in columns:
            cell = row.cells[column]
            values.setdefault(" ".join(_WORD.findall(_folded(cell))), set()).add((column, cell))
    values.pop("", None)
    return values


@lru_cache(REMEMBERED)
def _measures(table: Table) -> frozenset[int]:
    """Return the columns of numbers, over all rows."""
    rows = data_rows(table)
    return frozenset(
        column
        for column, header in enumerate(table.header)
        if _has_numbers(header, [row.cells[column] for row in rows])
    )


def _has_numbers(header: str, cells: Sequence[str]) -> bool:
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
    values = [_folded(row.cells[column]) for row in rows]
    return len(set(values)) == len(values) and all(values)


def _folded(text: str) -> str:
    return text.casefold().strip()
