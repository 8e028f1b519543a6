"""The words of a text that match a question, by the terms of keyword search.

So inflected forms match as they do in a search. In scripts without spaces the words of the question
are found by trying its parts, because terms have no offsets.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from kvasir.core.text import SOUTHEAST_ASIAN

if TYPE_CHECKING:
    from kvasir.core.protocols import TextAnalyzer

_UNSPACED = rf"{SOUTHEAST_ASIAN}\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Letters of scripts without spaces between words."""
_RUN = re.compile(f"[{_UNSPACED}]+")
_INSIDE = (
    "\u00ad\u0300-\u036f\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u200b-\u200f\u2060\ufeff"
)
"""Marks on letters and invisible characters within words."""
_PART = rf"(?![{_UNSPACED}_])\w(?:(?![{_UNSPACED}_])\w|[{_INSIDE}])*"
_WORD = re.compile(rf"{_PART}(?:['’]{_PART})*")
_LONGEST_PART = 8
"""Most characters of a word of the question in a script without spaces."""

Span = tuple[int, int]


class MatchFinder:
    """Finds the words of one question in texts."""

    def __init__(self, analyzer: TextAnalyzer, question: str) -> None:
        """Analyze nothing yet."""
        self._analyzer = analyzer
        self._question = question
        self._wanted = lru_cache(maxsize=None)(self._terms_of_question)
        self._parts = lru_cache(maxsize=None)(self._parts_of_question)
        self._is_match = lru_cache(4096)(self._matches)

    def spans(self, text: str, language: str) -> list[Span]:
        """Return the spans of matching words, in order; the language is an ISO 639-1 code."""
        found = [
            match.span() for match in _WORD.finditer(text) if self._is_match(match[0], language)
        ]
        if _RUN.search(text) and (parts := self._parts(language)):
            spelled = {
                form for part in parts for form in (part, unicodedata.normalize("NFD", part))
            }
            pattern = "|".join(map(re.escape, sorted(spelled, key=len, reverse=True)))
            found += [match.span() for match in re.finditer(pattern, text)]
        return _without_overlaps(sorted(found))

    def _terms_of_question(self, language: str) -> frozenset[int]:
        [terms] = self._analyzer.query_terms([self._question], [language])
        return frozenset(terms.indices.tolist())

    def _terms(self, text: str, language: str) -> frozenset[int]:
        [terms] = self._analyzer.document_terms([text], [language])
        return frozenset(terms.indices.tolist())

    def _matches(self, word: str, language: str) -> bool:
        return bool(self._terms(word, language) & self._wanted(language))

    def _parts_of_question(self, language: str) -> frozenset[str]:
        """Return the parts of the question without spaces that are one word of it each."""
        parts = {
            run[0][start:end]
            for run in _RUN.finditer(unicodedata.normalize("NFC", self._question))
            for start in range(len(run[0]))
            for end in range(start + 1, min(start + _LONGEST_PART, len(run[0])) + 1)
        }
        return frozenset(
            part
            for part in parts
            if len(terms := self._terms(part, language)) == 1 and terms <= self._wanted(language)
        )


def _without_overlaps(spans: list[Span]) -> list[Span]:
    kept: list[Span] = []
    for start, end in spans:
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept
