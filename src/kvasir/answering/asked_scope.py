"""Whether a quoted answer keeps to what its question excludes, denies or limits in time.

Sentences and rows are quoted for the words that they share with a question. "Except", "not" and
"before" are no such words, so what is quoted may be the opposite of what is asked for. Words alone
decide, so an answer is doubted, not refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvasir.answering.asked_time import limit_of
from kvasir.core.protocols import TextAnalyzer
from kvasir.language.polarity import asks_what_may, excludes, is_opposite

ROWS_OF_EXCLUSION = "rows are quoted, and which of them the question excludes is not checked"
OTHER_POLARITY = "what is quoted denies what is asked for, or the reverse"
ROWS_OF_TIME = "rows are quoted, and their time is not checked"
OTHER_TIME = "what is quoted is of another time"

_SENTENCE_END = re.compile(r"(?<!\b\d[.])(?<!\b\d\d[.])(?<=[.!?])\s+|(?<=[。！？])|\n")
_RULE = re.compile(r"\|[\s:|-]+")


def find_disregard(question: str, text: str, language: str, analyzer: TextAnalyzer) -> str:
    """Return what a quoted answer disregards of its question; empty if nothing is known.

    Args:
        question: The question as it was answered.
        text: The answer, without markers.
        language: ISO 639-1 code of the question.
        analyzer: Compares words in all their forms.
    """
    header, rows = _table_of(text)
    is_outside = limit_of(question)
    if rows and excludes(question, "\n".join([header, *rows])):
        return ROWS_OF_EXCLUSION
    if rows and is_outside:
        return ROWS_OF_TIME
    sentences = [each for each in _SENTENCE_END.split(text) if each and each.strip()]
    if is_outside and any(
        is_outside(sentence) and not limit_of(sentence, is_sure=False) for sentence in sentences
    ):
        return OTHER_TIME
    if _has_other_polarity(question, sentences, _Terms(language, analyzer)):
        return OTHER_POLARITY
    return ""


class _Terms:
    """The words of texts in one language, in all their forms."""

    def __init__(self, language: str, analyzer: TextAnalyzer) -> None:
        self._language, self._analyzer = language, analyzer

    def of_question(self, question: str) -> set[int]:
        (found,) = self._analyzer.query_terms([question], [self._language])
        return {*found.indices.tolist()}

    def of_texts(self, texts: Sequence[str]) -> list[set[int]]:
        found = self._analyzer.document_terms(texts, [self._language] * len(texts))
        return [{*vector.indices.tolist()} for vector in found]


def _table_of(text: str) -> tuple[str, list[str]]:
    """Return the header and the rows of the tables in a text."""
    header, rows = "", list[str]()
    for line in map(str.strip, text.split("\n")):
        if not line.startswith("|"):
            continue
        if _RULE.fullmatch(line):
            header = rows.pop() if rows else ""
        else:
            rows.append(line)
    return header, rows


def _has_other_polarity(question: str, sentences: Sequence[str], terms: _Terms) -> bool:
    """Return True if the sentences next to a question deny what it asks for, or the reverse.

    Only of a question for the thing that may or must do something, or must not: "why" and "how" are
    answered in either way.
    """
    if not sentences or not asks_what_may(question):
        return False
    wanted = terms.of_question(question)
    shares = [len(wanted & each) for each in terms.of_texts(sentences)]
    nearest = [
        sentence
        for sentence, share in zip(sentences, shares, strict=True)
        if share == max(shares) and share
    ]
    return bool(nearest) and all(is_opposite(each, question) for each in nearest)
