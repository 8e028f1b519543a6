"""Read a question about one table: what is asked, which rows it selects, which columns it names.

A question is understood only if every word of it is accounted for: as the operation, a header, a
value that selects rows, the name of the file or section, or a function word. So a condition that
is not understood ("before May", "except Rome") leaves the question to the generator.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kvasir.answering.table_conditions import (
    Period,
    comparison_in,
    month_of,
    period_in,
    yes_of,
)
from kvasir.answering.table_rows import (
    WORD,
    NoAnswerError,
    data_rows,
    fold,
    has_numbers,
    is_distinct,
    measures_of,
    values_of,
)
from kvasir.answering.table_words import EACH, PER, QUANTITIES, UNITS, Operation, TableWords
from kvasir.answering.tables import Table
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Hit

_PIECE = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+")
"""A run of characters of a script without spaces, or a word."""
_WIDE = re.compile(r"[\u3400-\u9fff]")
_LONGEST_VALUE = 8
"""Most words of a value that selects rows."""
_LONGEST_WIDE = 16
"""The same in characters, in a script without spaces."""
_SHORTEST_PART = 4
"""Fewest letters of a word in a compound, and of a part that names a whole value."""
_FOLDERS = 3
"""Last parts of a document's path that say what its tables are about."""


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
        self.period, rest = period_in(question, language)
        if self.period and self._terms(question) - self._terms(rest) <= in_headers:
            self.period, rest = None, question
        self.comparison, rest = comparison_in(rest, language)
        self.operation, rest, self.hinted = self._operation(rest, in_headers)
        names = self._names(hit)
        known = in_headers | self._terms(names)
        self._check_words(rest, known, folded)
        self.rows = data_rows(table)
        self.document_language = str(hit.chunk.metadata.get("language", ""))
        self.conditions: dict[int, tuple[str, ...]] = {}
        self._last_condition = (-1, -1)
        self.asked_terms = self._account(rest, known, names)
        if self.period:
            self._select_period(self.period)
        self._select_yes()
        for column, values in self.conditions.items():
            wanted = {*map(fold, values)}
            self.rows = tuple(r for r in self.rows if fold(r.cells[column]) in wanted)

    def _with_synonyms(self, header: str) -> str:
        folded = fold(header)
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
        parts = str(metadata.get("source_uri", "")).replace("\\", "/").split("/")[-_FOLDERS:]
        return " ".join([str(metadata.get("title", "")), *parts, *hit.chunk.headings])

    def _terms(self, text: str) -> set[str]:
        """Return the stems of a text's words; pairs of characters in a script without spaces."""
        if not self.words.is_spaced:
            runs = WORD.findall(text.casefold())
            wide = [run for run in runs if _WIDE.search(run)]
            pairs = {run[i : i + 2] for run in wide for i in range(max(1, len(run) - 1))}
            return pairs | {run for run in runs if not _WIDE.search(run)}
        words = WORD.findall(text)
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
        hints = (said for pattern, said in self.words.hints if pattern.search(self.question))
        hinted = self._terms(" ".join(hints))
        kinds = {operation for _, _, operation in found}
        self.how_many = Operation.COUNT in kinds
        kinds = kinds - {Operation.COUNT} or kinds
        added = kinds & {Operation.SUM, Operation.AVERAGE}
        ranked = kinds & {Operation.LEAST, Operation.MOST}
        self.of_group = added.pop() if len(added) == len(ranked) == 1 and len(kinds) == 2 else None
        if len(kinds) > 1 and self.of_group is None:
            raise NoAnswerError
        if self.of_group:
            return ranked.pop(), rest, hinted
        return (kinds.pop() if kinds else None), rest, hinted

    def _check_words(self, rest: str, known: set[str], folded: str) -> None:
        """Raise NoAnswerError if a word stands nowhere: that is known before rows are read."""
        if not self.words.is_spaced and not _WIDE.search(self.question):
            raise NoAnswerError
        for token in WORD.findall(rest) if self.words.is_spaced else ():
            word = fold(token)
            is_known = word in self.words.function_words or word in PER or word in folded
            is_known = is_known or word in self.words.joining or self._each(word)
            if not is_known and not self._explained(token, known) and not self._part(token, folded):
                raise NoAnswerError

    def _part(self, token: str, folded: str) -> bool:
        """Return True if a word may be another form of one in the table."""
        return len(token) >= _SHORTEST_PART and fold(token)[:_SHORTEST_PART] in folded

    def _explained(self, token: str, known: set[str]) -> set[str]:
        """Return the known stems of a word; of a German compound those of its parts."""
        stems = self._terms(token)
        if stems & known or self.language != "de":
            return stems if stems & known else set()
        word = fold(token)
        for end in range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1):
            first, second = self._terms(word[:end].rstrip("s")), self._terms(word[end:])
            first |= self._terms(word[:end])
            if first & known and (second & known or word[end:] in QUANTITIES):
                return (first | second) & known
        return set()

    def _account(self, rest: str, known: set[str], names: str) -> set[str]:
        """Return the stems of the words that headers or names explain; fill the conditions.

        Raises:
            NoAnswerError: A word is not explained.
        """
        if not self.words.is_spaced:
            return self._account_unspaced(rest, names)
        tokens = WORD.findall(rest)
        values = values_of(self.table)
        explained: set[str] = set()
        position = 0
        while position < len(tokens):
            token = tokens[position]
            length = self._select(tokens, position, values)
            if length:
                position += length
                continue
            if self.operation is Operation.AVERAGE and self._each(token):
                if not is_distinct(self.rows, 0):
                    raise NoAnswerError
                position += 1
                continue
            stems = self._explained(token, known)
            following = self._terms(tokens[position + 1]) if position + 1 < len(tokens) else set()
            if not stems and (length := self._select_part(tokens, position)):
                position += length
                continue
            if stems:
                explained |= stems
            elif fold(token) in self.words.joining and self._last_condition[1] == position:
                length = self._select(tokens, position + 1, values)
                if not length:
                    raise NoAnswerError
                position += length
            elif fold(token) in PER and self.operation is Operation.AVERAGE:
                if not following & self.header_terms[0] or not is_distinct(self.rows, 0):
                    raise NoAnswerError
                position += 1
            elif fold(token) not in self.words.function_words:
                raise NoAnswerError
            position += 1
        return explained

    def _each(self, token: str) -> bool:
        """Return True if a word such as "monthly" speaks of the first column."""
        word = fold(token)
        endings = ("", "e", "er", "es", "en", "em") if self.language == "de" else ("",)
        nouns = {EACH[stem] for end in endings if (stem := word.removesuffix(end)) in EACH}
        return any(self._terms(noun) & self.header_terms[0] for noun in nouns)

    def _select(
        self, tokens: Sequence[str], position: int, values: dict[str, set[tuple[int, str]]]
    ) -> int:
        """Take the longest value that stands here as a condition; return its number of words."""
        for length in range(min(_LONGEST_VALUE, len(tokens) - position), 0, -1):
            words = tokens[position : position + length]
            found = values.get(" ".join(map(fold, words)))
            if not found:
                continue
            columns = {column for column, _ in found}
            column = min(columns)
            is_function_word = length == 1 and fold(words[0]) in self.words.function_words
            written = {cell for _, cell in found}
            if is_function_word and words[0] not in written:
                raise NoAnswerError
            if len(columns) > 1:
                raise NoAnswerError
            self._add_condition(column, min(written), tokens, position, length)
            return length
        return 0

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
        if len(first) < _SHORTEST_PART or first.isdigit() or first in self.words.function_words:
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
        begins = fold(token)[:_SHORTEST_PART]
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
                elif part := next((p for p in parts if len(p) > 1 and _only(p, values)), ""):
                    self._select([_only(part, values)], 0, values)
                    position += len(part)
                else:
                    raise NoAnswerError
        return explained

    def is_measure(self, column: int) -> bool:
        """Return True if most values of a column are numbers that are no names."""
        if len(self.rows) == len(data_rows(self.table)):
            return column in measures_of(self.table)
        return has_numbers(self.table.header[column], [row.cells[column] for row in self.rows])

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


def _only(part: str, values: Iterable[str]) -> str:
    """Return the one value that has a part, in a script without spaces; empty if several do."""
    found = [value for value in values if part in value]
    return found[0] if len(found) == 1 else ""
