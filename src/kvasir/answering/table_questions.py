"""Read a question about one table: what is asked, which rows it selects, which columns it names.

A question is understood only if every word of it is accounted for: as the operation, a header, a
value that selects rows, the name of the file or section, or a function word. So a condition that
is not understood ("before May", "except Rome") leaves the question to the generator.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from kvasir.answering.table_conditions import comparison_in, period_in
from kvasir.answering.table_dates import day_in
from kvasir.answering.table_doubts import has_counts, has_rank, is_around
from kvasir.answering.table_rows import (
    WORD,
    NoAnswerError,
    data_rows,
    fold,
    has_numbers,
    is_distinct,
    measures_of,
    only_value,
    values_of,
)
from kvasir.answering.table_selection import SHORTEST_PART, WIDE, RowSelection
from kvasir.answering.table_vocabulary import (
    COUNTS,
    DIFFERENCES,
    EACH_OF_THE_FIRST,
    ENTITIES,
    HOW_MUCH,
    MORE,
    MOST_OFTEN,
    ROW_WORDS,
    TIED,
    TIMES,
    after_how_many,
    asks_an_interval,
    counts_a_row,
    groups_of,
    is_of_the_other_side,
    words_of,
)
from kvasir.answering.table_words import EACH, PER, QUANTITIES, RANKED, UNITS, Operation, TableWords
from kvasir.answering.tables import Table
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Hit
from kvasir.language.compounds import LONGEST_WORD

_PIECE = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+")
"""A run of characters of a script without spaces, or a word."""
_LONGEST_WIDE = 16
"""The same in characters, in a script without spaces."""
_NOT = "不没未非除免"
"""Characters before the opposite of a word."""
_PLURALS = ("s", "es", "e", "en", "n")
_IN_BRACKETS = re.compile(r"[(（\[][^()（）\[\]]*[)）\]]")
_FOLDERS = 3
"""Last parts of a document's path that say what its tables are about."""


class TableQuestion(RowSelection):
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
        super().__init__()
        self.language, self.words, self.analyzer = language, words, analyzer
        self.question, self.text, self.table = question, text, table
        self.header_terms = [self._terms(self._with_synonyms(cell)) for cell in table.header]
        in_headers = set().union(*self.header_terms)
        self.tied_terms = [self._terms(words_of(TIED, cell)) for cell in table.header]
        self.entity_terms = self._terms(words_of(ENTITIES, " | ".join(table.header)))
        differs = re.compile(DIFFERENCES.get(language, "$^"), re.IGNORECASE)
        self.differs = differs.search(question) is not None
        self.how_much = re.search(HOW_MUCH[language], question, re.IGNORECASE) is not None
        is_often = re.search(TIMES[language], question, re.IGNORECASE) is not None
        if is_often and asks_an_interval(question, language, " | ".join(table.header)):
            raise NoAnswerError
        self.counts_rows = is_often and not any(map(COUNTS.search, table.header))
        self.is_per_row = False
        self.period, rest = None, differs.sub(" ", question)
        if not self.differs:
            self.period, rest = period_in(question, language)
        if self.period and self._terms(question) - self._terms(rest) <= in_headers:
            self.period, rest = None, question
        self.comparison, rest = comparison_in(rest, language)
        self.operation, rest, self.hinted = self._operation(rest, in_headers)
        self.names = names = self._names(hit)
        if is_of_the_other_side(question, f"{names} {' | '.join(table.header)}"):
            raise NoAnswerError
        known = in_headers | self._terms(names)
        self._beside_headers = self.entity_terms.union(*self.tied_terms) - known
        known = known | self._beside_headers
        day, without_day = (None, rest) if self.period else day_in(rest, language)
        if day and self._terms(day.written) <= in_headers:
            day, without_day = None, rest
        if day and is_around(self.question, self.language, day.written):
            raise NoAnswerError
        self._check_words(without_day, known, folded)
        self.rows = data_rows(table)
        self.document_language = str(hit.chunk.metadata.get("language", ""))
        if day and self._select_day(day, without_day):
            rest = without_day
        self.asked_terms = self._account(rest, known, names)
        if self.period:
            self._select_period(self.period)
        self._select_yes()
        for column, values in self.conditions.items():
            wanted = {*map(fold, values)}
            self.rows = tuple(r for r in self.rows if fold(r.cells[column]) in wanted)

    def _with_synonyms(self, header: str) -> str:
        folded = fold(header)
        found = [
            said
            for unit, said in UNITS.items()
            if re.search(rf"(?<!\w){re.escape(unit)}(?!\w)", folded)
        ]
        return " ".join([header, *self._said_of(header), *found])

    def _said_of(self, header: str) -> list[str]:
        """Return the synonyms of a header's words, without those of its unit."""
        folded = fold(header)
        return [said for word, said in self.words.synonyms if word in folded]

    @staticmethod
    def _names(hit: Hit) -> str:
        metadata = hit.chunk.metadata
        parts = str(metadata.get("source_uri", "")).replace("\\", "/").split("/")[-_FOLDERS:]
        return " ".join([str(metadata.get("title", "")), *parts, *hit.chunk.headings])

    def _operation(
        self, question: str, in_headers: set[str]
    ) -> tuple[Operation | None, str, set[str]]:
        """Return what is asked, the question without those words, and the headers they hint at."""
        found = [
            (match.start(), match.end(), operation)
            for operation, pattern in self.words.operations.items()
            for match in pattern.finditer(question)
        ]
        often = re.search(MOST_OFTEN[self.language], question, re.IGNORECASE)
        more = re.search(MORE.get(self.language, "$^"), question, re.IGNORECASE)
        found += [(each.start(), each.end(), Operation.MOST) for each in (often, more) if each]
        self.most_often = often is not None
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
        superlatives = [start for start, _, kind in found if kind in RANKED]
        if any(has_rank(question[:start], self.language) for start in superlatives):
            raise NoAnswerError
        ends = [end for _, end, operation in found if operation is Operation.COUNT]
        counted = question[max(ends) :] if ends else ""
        if self.language == "fr":
            counted = after_how_many(question)
        self._counted_noun = self._first_noun(counted)
        rest = question
        for start, end, _ in found:
            rest = f"{rest[:start]}{' ' * (end - start)}{rest[end:]}"
        hints = (said for pattern, said in self.words.hints if pattern.search(self.question))
        hinted = self._terms(" ".join(hints))
        kinds = {operation for _, _, operation in found}
        self.how_many = Operation.COUNT in kinds
        kinds = kinds - {Operation.COUNT} or kinds
        added = kinds & {Operation.SUM, Operation.AVERAGE}
        ranked = kinds & RANKED
        self.of_group = added.pop() if len(added) == len(ranked) == 1 and len(kinds) == 2 else None
        if len(kinds) > 1 and self.of_group is None:
            raise NoAnswerError
        if more and kinds == {Operation.MOST}:
            self.of_group = Operation.SUM
            return Operation.MOST, rest, hinted
        if self.of_group:
            return ranked.pop(), rest, hinted
        return (kinds.pop() if kinds else None), rest, hinted

    def _first_noun(self, text: str) -> str:
        """Return the first word of a text that is no function word, in the form compared."""
        if not self.words.is_spaced:
            return text.strip()
        words = map(fold, WORD.findall(text))
        return next((word for word in words if word not in self.words.function_words), "")

    def _check_words(self, rest: str, known: set[str], folded: str) -> None:
        """Raise NoAnswerError if a word stands nowhere: that is known before rows are read."""
        if not self.words.is_spaced and not WIDE.search(self.question):
            raise NoAnswerError
        for token in WORD.findall(rest) if self.words.is_spaced else ():
            word = fold(token)
            if WIDE.search(word) and word not in folded:
                # A question in Chinese is not read as one of words between spaces.
                raise NoAnswerError
            is_known = word in self.words.function_words or word in PER or word in folded
            is_known = is_known or word in self.words.joining or self._each(word)
            is_known = is_known or word in ROW_WORDS or self._opposite_of(word) in folded
            if not is_known and not self._explained(token, known) and not self._part(token, folded):
                raise NoAnswerError

    def _part(self, token: str, folded: str) -> bool:
        """Return True if a word may be another form of one in the table."""
        return len(token) >= SHORTEST_PART and fold(token)[:SHORTEST_PART] in folded

    def _explained(self, token: str, known: set[str]) -> set[str]:
        """Return the known stems of a word; of a German compound those of its parts."""
        stems = self._terms(token)
        word = fold(token)
        # Stemmers take "Kurs" for a plural itself: compare the word as it is written as well.
        stems |= {word.removesuffix(end) for end in _PLURALS if len(word) > SHORTEST_PART}
        if stems & known or self.language != "de" or len(word) > LONGEST_WORD:
            return stems if stems & known else set()
        for end in range(SHORTEST_PART, len(word) - SHORTEST_PART + 1):
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
                self._note_counted(token)
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
                self._note_counted(token)
                position += length
                continue
            if stems and fold(token) in PER and not self._is_per(token, following):
                raise NoAnswerError
            if stems:
                if not stems & (known - self._beside_headers):
                    self._check_no_value(stems)
                explained |= stems
                if fold(token) == self._counted_noun and not self._in_headers(stems):
                    self.counts_rows = self.counts_rows or bool(stems & self.entity_terms)
            elif fold(token) in self.words.joining and self._last_condition[1] == position:
                length = self._select(tokens, position + 1, values)
                if not length:
                    raise NoAnswerError
                position += length
            elif fold(token) in PER and self.operation is Operation.AVERAGE:
                of_rows = following & self.entity_terms or fold(tokens[-1]) in ROW_WORDS
                if of_rows:
                    position += 1
                elif not following & self.header_terms[0] or not is_distinct(self.rows, 0):
                    raise NoAnswerError
                position += 1
            elif fold(token) in ROW_WORDS and self.how_many:
                self.counts_rows = self.counts_rows or fold(token) == self._counted_noun
            elif self._select_opposite(token):
                pass
            elif fold(token) not in self.words.function_words:
                raise NoAnswerError
            position += 1
        return explained

    def _is_per(self, token: str, following: set[str]) -> bool:
        """Return True if a header says "per" of what a question says it of."""
        for header in self.table.header:
            words = WORD.findall(fold(header))
            for word, noun in pairwise(words):
                if word == fold(token) and self._terms(noun) & following:
                    return True
        return False

    def _check_no_value(self, stems: set[str]) -> None:
        """Raise NoAnswerError if a word for a column may mean one of its table's values.

        Where a column says "paid", what somebody "pays" may be these rows alone.
        """
        values = values_of(self.table).keys()
        for said in groups_of(" | ".join(self.table.header)):
            if values & {*said.split()} and stems & self._terms(said):
                raise NoAnswerError

    def _in_headers(self, stems: set[str]) -> bool:
        return any(stems & terms for terms in self.header_terms)

    def _note_counted(self, token: str) -> None:
        """Note that rows are counted if a value that several rows have is what is counted.

        Of a table that says how many of a thing there are, its rows are not counted.
        """
        if fold(token) != self._counted_noun or any(map(COUNTS.search, self.table.header)):
            return
        column = self._last_condition[0]
        if has_counts(self.table, measures_of(self.table)):
            return
        is_category = not is_distinct(self.rows, column)
        self.counts_rows = self.counts_rows or (is_category and is_distinct(self.rows, 0))

    def _each(self, token: str) -> bool:
        """Return True if a word such as "monthly" speaks of the first column."""
        word = fold(token)
        endings = ("", "e", "er", "es", "en", "em") if self.language == "de" else ("",)
        nouns = {EACH[stem] for end in endings if (stem := word.removesuffix(end)) in EACH}
        return any(self._terms(noun) & self.header_terms[0] for noun in nouns)

    def _account_unspaced(self, rest: str, names: str) -> set[str]:
        said = [words_of(TIED, cell) for cell in self.table.header]
        said.append(words_of(ENTITIES, " | ".join(self.table.header)))
        headers = " ".join([*map(self._with_synonyms, self.table.header), *said]).casefold()
        pool = f"{headers} {names.casefold()}"
        known = set(_PIECE.findall(pool))
        values = {key.replace(" ", ""): found for key, found in values_of(self.table).items()}
        if counts_a_row(self._counted_noun, " | ".join(self.table.header)):
            self.counts_rows = True
        pieces = _PIECE.findall(rest.casefold())
        explained: set[str] = set()
        for run in pieces:
            if not WIDE.search(run):
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
                if named and (named in _NOT or not re.search(f"(?<![{_NOT}]){named}", pool)):
                    # "Not", or the opposite of what a header says.
                    raise NoAnswerError
                word = next((p for p in parts if p in self.words.function_words), "")
                if each := self._each_unspaced(run[position:]):
                    self.is_per_row = True
                    position += len(each)
                    continue
                if value and len(value) >= len(named):
                    self._select([value], 0, values)
                    position += len(value)
                elif named:
                    explained |= self._terms(named)
                    position += len(named)
                elif word:
                    position += len(word)
                elif part := next((p for p in parts if len(p) > 1 and only_value(p, values)), ""):
                    self._select([only_value(part, values)], 0, values, is_part=True)
                    position += len(part)
                else:
                    raise NoAnswerError
        return explained

    def _each_unspaced(self, text: str) -> str:
        """Return the word for "per month" with which an average's text begins; else nothing."""
        if self.operation is not Operation.AVERAGE:
            return ""
        first = self.table.header[0]
        found = (
            word for word, noun in EACH_OF_THE_FIRST if text.startswith(word) and noun in first
        )
        return next(found, "")

    def is_measure(self, column: int) -> bool:
        """Return True if a column, and most of its values that are left, are numbers, no names."""
        is_left = has_numbers(self.table.header[column], [row.cells[column] for row in self.rows])
        return is_left and column in measures_of(self.table)

    def counts_another(self, column: int, labels: Iterable[int]) -> bool:
        """Return True if what is counted has a column of labels, and is not in this one.

        "How many days did it rain" is no sum of "Rain (mm)".
        """
        counted = self._terms(self._counted_noun) if self.words.is_spaced else set()
        is_value = counted & (self.header_terms[column] | self.tied_terms[column])
        return not is_value and any(counted & self.header_terms[c] for c in labels)

    def _own_terms(self, column: int) -> set[str]:
        """Return the stems of a header's own words and their synonyms, without its unit."""
        header = self.table.header[column]
        words = " ".join([_IN_BRACKETS.sub(" ", header), *self._said_of(header)])
        return self._terms(words)

    def column(self, measures: Sequence[int]) -> int | None:
        """Return the column of numbers that the question names; None if it names none.

        Raises:
            NoAnswerError: It names several.
        """
        tied = {c for c in measures if self.tied_terms[c] & self.asked_terms}
        for asked in (self.asked_terms, self.hinted):
            named = {c: found for c in measures if (found := self.header_terms[c] & asked)}
            if not named:
                continue
            if tied and asked is self.asked_terms:
                named = {c: found for c, found in named.items() if c in tied}
                if not named:
                    # The verb speaks of one column, and a noun of another.
                    raise NoAnswerError
            if len(named) > 1 and not any(f & self._own_terms(c) for c, f in named.items()):
                # A unit alone does not tell two columns apart.
                raise NoAnswerError
            share = {c: len(found) / len(self.header_terms[c]) for c, found in named.items()}
            best = max(named, key=lambda c: (len(named[c]), share[c]))
            for other, found in named.items():
                is_less = len(found) < len(named[best]) or share[other] < share[best]
                if other != best and not (found <= named[best] and is_less):
                    raise NoAnswerError
            return best
        tied = tied or {c for c in measures if self.tied_terms[c] & self.hinted}
        if len(tied) > 1:
            raise NoAnswerError
        return next(iter(tied), None)
