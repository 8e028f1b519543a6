"""Which of a question's terms texts hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from kvasir.core.protocols import TextAnalyzer


@dataclass(frozen=True, slots=True)
class TermReader:
    """Reads terms by the collection's analyzer; languages are ISO 639-1 codes."""

    analyzer: TextAnalyzer

    def weights(self, texts: Sequence[str], languages: Sequence[str]) -> list[dict[int, float]]:
        """Return the weights of the terms of each text."""
        return [
            dict(zip(v.indices.tolist(), v.values.tolist(), strict=True))
            for v in self.analyzer.document_terms(texts, languages)
        ]

    def asked(self, question: str, languages: Sequence[str]) -> dict[str, set[int]]:
        """Return the terms of a question, read in each of the languages."""
        return {
            language: {*self.analyzer.query_terms([question], [language])[0].indices.tolist()}
            for language in dict.fromkeys(languages)
        }


def restricted(
    weights: Sequence[dict[int, float]], wanted: Mapping[str, Set[int]], languages: Sequence[str]
) -> list[dict[int, float]]:
    """Keep the terms of each text that are wanted in its language."""
    return [
        {term: weight for term, weight in terms.items() if term in wanted[language]}
        for terms, language in zip(weights, languages, strict=True)
    ]
