"""Answer questions about whole tables by code: least, most, sum, average, count, list, look-up.

Retrieval finds some rows of a table; the rest is read from the document's text. Rows are quoted
to the letter; what is computed says so and cites the rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from kvasir.answering import table_doubts as doubts
from kvasir.answering.citations import FindVersion, citation_of
from kvasir.answering.table_questions import TableQuestion
from kvasir.answering.table_rows import NoAnswerError, fold, is_distinct
from kvasir.answering.table_units import with_unit
from kvasir.answering.table_vocabulary import (
    ADDS_UP_NOT,
    ASKS_A_PRICE,
    OF_A_LABEL,
    OF_A_ROW,
    OF_SIZE,
)
from kvasir.answering.table_words import (
    BY_LANGUAGE,
    IDENTIFIERS,
    QUALIFYING_COLUMNS,
    RANKED,
    Operation,
)
from kvasir.answering.tables import (
    Numbers,
    Row,
    Table,
    UnreadableError,
    is_gap,
    is_number,
    read_numbers,
    tables_at,
)
from kvasir.core.ledger import DocumentVersion
from kvasir.core.markers import NUMBERS
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Citation, Hit
from kvasir.language.normalization import normalize

CONFIDENCE = 0.95
"""Confidence of an answer from a table, in which every word of the question was found."""
MOST_LISTED = 200
"""Most rows of a list; a longer one says how many there are."""
MOST_SHOWN = 20
"""Most rows that are quoted above their sum or number."""
MOST_TIED = 10
"""Most rows that share the lowest or highest value in an answer."""
MOST_QUOTED = 20_000
"""Most characters of the rows that one citation quotes."""
MOST_DOCUMENTS = 5
"""Documents with a table that are read, the best ones."""

_TWO = 2
_OF_ROWS = (None, Operation.LIST, Operation.COUNT)
"""Operations with which a comparison selects the rows that are asked for."""
_BRACKETED = re.compile(rf"([\[【])\s*({NUMBERS})\s*([\]】])")


@dataclass(frozen=True, slots=True)
class TableAnswer:
    """An answer from a table; ``refusal`` is the reason why there is none."""

    text: str = ""
    citations: tuple[Citation, ...] = ()
    refusal: str = ""


@dataclass
class TableReader:
    """Answers questions from the tables of retrieved chunks."""

    analyzer: TextAnalyzer
    find_version: FindVersion

    def answer(self, question: str, hits: Sequence[Hit]) -> TableAnswer | None:
        """Return the answer of the one table that accounts for every word of a question.

        None if there is no such table, or if two give different answers.
        """
        question = normalize(question)
        answers: dict[str, TableAnswer] = {}
        for number, hit, version, table in self._tables(hits):
            folded = fold(version.text[table.start : table.end])
            for language, words in BY_LANGUAGE.items():
                try:
                    asked = _Computation(
                        question, language, words, self.analyzer, hit, version.text, folded, table
                    )
                    text, rows = asked.answer()
                except UnreadableError as error:
                    answers[str(error)] = TableAnswer(refusal=str(error))
                except NoAnswerError:
                    continue
                else:
                    shown = _BRACKETED.sub(r"\1 \2 \4", text)
                    space = "\n" if text.endswith("|") else " "
                    cited = tuple(_citations(number, hit, version, rows))
                    answers.setdefault(text, TableAnswer(f"{shown}{space}[{number}]", cited))
                break
        return next(iter(answers.values())) if len(answers) == 1 else None

    def _tables(self, hits: Sequence[Hit]) -> Iterator[tuple[int, Hit, DocumentVersion, Table]]:
        versions: dict[str, DocumentVersion | None] = {}
        seen: set[tuple[str, int]] = set()
        for number, hit in enumerate(hits, 1):
            chunk = hit.chunk
            if not (chunk.text.startswith("|") or "\n|" in chunk.text):
                continue
            if chunk.document_id not in versions:
                if len(versions) == MOST_DOCUMENTS:
                    continue
                versions[chunk.document_id] = self.find_version(chunk.document_id)
            version = versions[chunk.document_id]
            if version is None or version.text[chunk.start : chunk.end] != chunk.text:
                continue
            for table in tables_at(version.text, chunk.start, chunk.end):
                if (chunk.document_id, table.start) not in seen:
                    seen.add((chunk.document_id, table.start))
                    yield number, hit, version, table


class _Computation(TableQuestion):
    """The answer to a question about one table."""

    def answer(self) -> tuple[str, Sequence[Row]]:
        """Return the text without its marker, and the rows to cite."""
        if not self.rows or not (self.asked_terms or self.hinted or self.counts_rows):
            raise NoAnswerError
        measures = [c for c in range(len(self.table.header)) if self.is_measure(c)]
        labels = [c for c in range(len(self.table.header)) if c not in measures]
        found = {c: self.header_terms[c] & self.asked_terms for c in labels}
        asked = [
            c
            for c in labels
            if c not in self.conditions
            and found[c]
            # Of "type" and "subtype" the question names the one of which it has more.
            and not any(found[c] < found[other] for other in labels)
        ]
        for where, values in self.conditions.items():
            header = self.table.header[where]
            if any(doubts.goes_the_other_way(header, v, self.question) for v in values):
                raise NoAnswerError
        if self.counts_rows and not self.comparison:
            return self._counted_rows(measures)
        column = self.column(measures)
        if column is not None and doubts.is_in_another_unit(self.question, self.table, column):
            raise NoAnswerError
        if self.differs:
            return self._difference(column)
        if self.comparison:
            return self._compared(column, asked)
        if column is not None and self.counts_another(column, labels):
            raise NoAnswerError
        match self.operation:
            case Operation.LIST:
                if not asked or column is not None:
                    raise NoAnswerError
                return self._list()
            case Operation.COUNT | Operation.SUM if column is None and self.how_many:
                if not asked or not all(is_distinct(self.rows, c) for c in asked):
                    raise NoAnswerError
                return self._said(Operation.COUNT), self.rows
            case Operation.COUNT | None:
                return self._looked_up(column, asked)
        ranked = self.operation in RANKED
        groups = [c for c in asked if not is_distinct(self.rows, c)]
        if self.is_per_row and not is_distinct(self.rows, 0):
            raise NoAnswerError
        if self.most_often and len(groups) == 1:
            return self._grouped(groups[0], None)
        is_grouped = column is not None if self.of_group else column is None
        if ranked and len(groups) == 1 and (is_grouped and (self.of_group or asked != groups)):
            return self._grouped(groups[0], column)
        if ranked and column is None and not groups and not self.of_group:
            if any(IDENTIFIERS.search(self.table.header[c]) for c in asked):
                raise NoAnswerError  # The highest number, not the most of a row.
            return self._agreed(measures)
        if column is None or self.of_group:
            raise NoAnswerError
        if not ranked and asked:
            # The sum or average for each of them, or for one that is not named?
            raise NoAnswerError
        self._check_units(column)
        if ranked and not all(is_distinct(self.rows, c) for c in {*asked, *labels[:1]}):
            raise NoAnswerError
        numbers = self._numbers(column)
        return self._ranked(column, numbers) if ranked else self._added(column, numbers)

    def _looked_up(self, column: int | None, asked: Sequence[int]) -> tuple[str, Sequence[Row]]:
        """Return the rows that the conditions select, and the value or the sum of a column."""
        if not self.conditions or len(self.rows) > MOST_SHOWN:
            raise NoAnswerError
        if column is None:
            if self.operation or not (asked or OF_A_ROW.search(self.question)):
                raise NoAnswerError
            return self._quoted(self.rows), self.rows
        if OF_A_LABEL.search(self.question) and not self.header_terms[column] & self.asked_terms:
            return self._quoted(self.rows), self.rows
        if len(self.rows) == 1:
            if is_gap(self.rows[0].cells[column]):
                raise NoAnswerError
            return f"{self._quoted(self.rows)}{self._read_out(column)}", self.rows
        verbs = self.tied_terms[column] | self.entity_terms
        is_total = verbs & self.asked_terms or self.is_of_months()
        if not is_total or ASKS_A_PRICE.search(self.question):
            raise NoAnswerError
        is_of_rows = all(is_distinct(self.rows, c) for c in asked)
        if not self.how_much or not is_of_rows or ADDS_UP_NOT.search(self.table.header[column]):
            raise NoAnswerError
        self._check_units(column)
        said, rows = self._added(column, self._numbers(column))
        return f"{self._quoted(rows)}\n\n{said}", rows

    def _counted_rows(self, measures: Sequence[int]) -> tuple[str, Sequence[Row]]:
        """Return how many rows the conditions select; no column of numbers may be named."""
        if self.operation is not Operation.COUNT:
            raise NoAnswerError
        if any(self.header_terms[c] & self.asked_terms for c in measures):
            raise NoAnswerError
        if doubts.repeated_things(self._counted_noun, self.table, self._distinct()):
            raise NoAnswerError
        said = self._said(Operation.COUNT)
        if len(self.rows) > MOST_SHOWN:
            return said, self.rows
        return f"{self._quoted(self.rows)}\n\n{said}", self.rows

    def _difference(self, column: int | None) -> tuple[str, Sequence[Row]]:
        """Return the difference between a column's values in two rows."""
        values = next(iter(self.conditions.values()), ())
        if column is None or len(self.rows) != len(values) or len(values) != _TWO:
            raise NoAnswerError
        self._check_units(column)
        numbers = self._numbers(column)
        one, other = numbers.values
        if one is None or other is None:
            raise NoAnswerError
        header = self.table.header[column]
        value = numbers.written(abs(one - other))
        said = self.words.phrases["difference"].format(column=header, value=value)
        return f"{self._quoted(self.rows)}\n\n{said}", self.rows

    def _distinct(self) -> list[bool]:
        """Return for each column whether every row that is left has a value of its own."""
        return [is_distinct(self.rows, column) for column in range(len(self.table.header))]

    def _numbers(self, column: int) -> Numbers:
        try:
            numbers = read_numbers(self.table, self.rows, column, self.document_language)
        except UnreadableError as error:
            message = f"nothing is computed over '{self.table.header[column]}': {error}"
            raise UnreadableError(message) from None
        values, header = numbers.values, self.table.header[column]
        is_added = self.operation not in RANKED
        cells = (cell for row in self.rows for cell in row.cells)
        if doubts.turns_around(self.question, values, is_added=is_added) or doubts.mixes_sides(
            self.question, header, values, cells
        ):
            raise NoAnswerError
        return numbers

    def _compared(self, column: int | None, asked: Sequence[int]) -> tuple[str, Sequence[Row]]:
        """Return the rows whose value compares as the question wants, or their number."""
        if column is None or self.comparison is None or self.operation not in _OF_ROWS:
            raise NoAnswerError
        if not (asked or self.counts_rows) or not all(is_distinct(self.rows, c) for c in asked):
            raise NoAnswerError
        self._check_units(column)
        pairs = zip(self.rows, self._numbers(column).values, strict=True)
        holds = self.comparison.holds
        self.rows = tuple(row for row, value in pairs if value is not None and holds(value))
        if not self.rows or len(self.rows) > MOST_LISTED:
            raise NoAnswerError
        compared = f"{self.table.header[column]} {self.comparison.sign} {self.comparison.written}"
        said = self._said(Operation.COUNT, further=[compared])
        return f"{self._quoted(self.rows)}\n\n{said}", self.rows

    def _grouped(self, label: int, column: int | None) -> tuple[str, Sequence[Row]]:
        """Return the rows of the value of which most or least rows, or the highest sum, are."""
        groups: dict[str, list[Row]] = {}
        names_of: dict[str, str] = {}
        for row in self.rows:
            if is_gap(row.cells[label]):
                raise NoAnswerError
            name = names_of.setdefault(fold(row.cells[label]), row.cells[label])
            groups.setdefault(name, []).append(row)
        figures = {name: Decimal(len(rows)) for name, rows in groups.items()}
        shown: Callable[[Decimal], str] = str
        if column is not None:
            self._check_units(column)
            if self.of_group is not Operation.AVERAGE and doubts.adds_up_not(self.table, column):
                raise NoAnswerError
            numbers = self._numbers(column)
            if None in numbers.values:
                raise NoAnswerError
            values = dict(zip(self.rows, numbers.values, strict=True))
            sums = {
                n: sum((values[r] or Decimal() for r in rows), Decimal())
                for n, rows in groups.items()
            }
            is_mean = self.of_group is Operation.AVERAGE
            figures = {n: total / len(groups[n]) if is_mean else total for n, total in sums.items()}
            places = numbers.places + 2 * is_mean
            shown = partial(numbers.written, places=places)
        best = (min if self.operation is Operation.LEAST else max)(figures.values())
        names = [name for name, figure in figures.items() if figure == best]
        rows = [row for name in names for row in groups[name]]
        if len(names) > MOST_TIED or len(rows) > MOST_LISTED:
            raise NoAnswerError
        phrases = self.words.phrases
        counted = (
            phrases["rows"].format(count=shown(figures[name]))
            if column is None
            else f"{shown(figures[name])} ({self.table.header[column]})"
            for name in names
        )
        text = phrases[f"group_{self.operation}"].format(
            label=self.table.header[label],
            rows=self._counted(),
            value=", ".join(map(": ".join, zip(names, counted, strict=True))),
        )
        return f"{self._quoted(rows)}\n\n{text}", rows

    def _check_units(self, column: int) -> None:
        for other, header in enumerate(self.table.header):
            if other != column and QUALIFYING_COLUMNS.search(header):
                units = {row.cells[other] for row in self.rows}
                if len(units) > 1 and not all(map(is_number, units)):
                    raise UnreadableError(
                        f"nothing is computed over '{self.table.header[column]}': its values have "
                        f"different units in '{header}'"
                    )

    def _ranked(self, column: int, numbers: Numbers) -> tuple[str, Sequence[Row]]:
        if doubts.repeated_persons(self.question, self.table, self._distinct()):
            raise NoAnswerError
        known = [value for value in numbers.values if value is not None]
        best = min(known) if self.operation is Operation.LEAST else max(known)
        pairs = zip(self.rows, numbers.values, strict=True)
        rows = [row for row, value in pairs if value == best]
        if len(rows) > MOST_TIED:
            raise NoAnswerError
        said = self._said(self.operation or Operation.MOST, column, numbers)
        return f"{self._quoted(rows)}\n\n{said}", rows

    def _agreed(self, measures: Sequence[int]) -> tuple[str, Sequence[Row]]:
        """Return the one row that has the highest or lowest value in every column of numbers.

        A "largest invoice" names no column: it is known if all of them say the same.
        """
        columns = [c for c in measures if not ADDS_UP_NOT.search(self.table.header[c])]
        if not columns or not OF_SIZE.search(self.question):
            raise NoAnswerError
        for column in columns:
            self._check_units(column)
        answers = [self._ranked(column, self._numbers(column)) for column in columns]
        (_, rows), *others = answers
        if len(rows) != 1 or any(list(rows) != list(each) for _, each in others):
            raise NoAnswerError
        return answers[0]

    def _added(self, column: int, numbers: Numbers) -> tuple[str, Sequence[Row]]:
        known = [value for value in numbers.values if value is not None]
        total = sum(known, Decimal())
        is_mean = self.operation is Operation.AVERAGE
        if not is_mean and doubts.adds_up_not(self.table, column):
            raise NoAnswerError
        if is_mean:
            value = numbers.written(total / len(known), numbers.places + 2)
            return self._said(Operation.AVERAGE, column, numbers, value), self.rows
        return self._said(Operation.SUM, column, numbers, numbers.written(total)), self.rows

    def _list(self) -> tuple[str, Sequence[Row]]:
        shown = self.rows[:MOST_LISTED]
        text = self._quoted(shown)
        if len(shown) < len(self.rows):
            count = self.words.phrases["list"].format(shown=len(shown), rows=self._counted())
            text += f"\n…\n\n{count}"
        return text, shown

    def _quoted(self, rows: Sequence[Row]) -> str:
        """Return rows under the table's header, as they stand in a document's text."""
        lines = [self.text[self.table.start : self.table.header_end]]
        lines += [self.text[row.start : row.end] for row in rows]
        return "\n".join(lines)

    def _read_out(self, column: int) -> str:
        """Return the one value that is asked for under its row, such as "July: 233 kWh"."""
        (row,) = self.rows
        value, label = row.cells[column], ", ".join(row.cells[c] for c in self.conditions)
        return f"\n\n{label}: {with_unit(value, self.table.header[column])}"

    def _counted(self, further: Sequence[str] = ()) -> str:
        phrases = self.words.phrases
        count = len(self.rows)
        text = phrases["row"] if count == 1 else phrases["rows"].format(count=count)
        chosen = [
            f"{self.table.header[column]} = {self.shown.get(column) or ' / '.join(values)}"
            for column, values in self.conditions.items()
        ]
        if chosen or further:
            text += phrases["where"].format(conditions=", ".join((*chosen, *further)))
        return text

    def _said(
        self,
        operation: Operation,
        column: int | None = None,
        numbers: Numbers | None = None,
        value: str = "",
        further: Sequence[str] = (),
    ) -> str:
        rows = self._counted(further)
        gaps = numbers.values.count(None) if numbers else 0
        if gaps:
            rows += self.words.phrases["gaps"].format(gaps=gaps)
        header = "" if column is None else self.table.header[column]
        return self.words.phrases[operation].format(column=header, rows=rows, value=value)


def _citations(
    number: int, hit: Hit, version: DocumentVersion, rows: Sequence[Row]
) -> Iterator[Citation]:
    """Yield one citation for each run of neighbouring rows, within ``MOST_QUOTED`` characters."""
    runs: list[list[Row]] = []
    for row in rows:
        is_next = runs and row.start - runs[-1][-1].end < 2
        if is_next and row.end - runs[-1][0].start <= MOST_QUOTED:
            runs[-1].append(row)
        else:
            runs.append([row])
    for run in runs[:MOST_TIED]:
        yield citation_of(number, hit.chunk, version, run[0].start, run[-1].end)
