"""Read from a question and its hits how likely the documents hold the answer.

What an embedding model calls similar differs from model to model and from language to language: the
cosines of E5 are all above 0.7, those of unrelated texts too. So a cosine is compared with those of
questions and passages whose relation is known, in the question's language (``cosine_scale``).

Coverage is the share of the question's terms that a text holds, weighted by their IDF among the
retrieved sentences. No feature depends on the size of the collection.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from kvasir.answering.cosine_scale import cosine_scale
from kvasir.answering.dense_share import KNOWN_LANGUAGE, dense_share
from kvasir.answering.reference_pairs import REFERENCE_PAIRS
from kvasir.core.protocols import Embedder, TextAnalyzer
from kvasir.core.scoring import inverse_document_frequency
from kvasir.core.types import Hit
from kvasir.language.detect import detect
from kvasir.language.sentences import sentence_spans

Features = NDArray[np.float64]

_NO_TERMS = 0.5
"""Coverage of a question that has only stop words."""
_NO_CONTRAST = 0.5
"""Contrast where there are too few hits."""
_FEWEST_FOR_CONTRAST = 5
_WORD = re.compile(r"\w(?:[\w.'’-]*\w)?")
_STEM, _ENDING = 4, 2
"""Least characters by which names are compared, and most that are cut from their ends."""

FEATURES = (
    "relatedness",
    "chunk_coverage",
    "sentence_coverage",
    "first_coverage",
    "lead",
    "agreement",
    "missing_names",
)
"""The features of the shipped decision."""

FIRST_FEATURES = ("similarity", "chunk_coverage", "sentence_coverage", "foreign", "contrast")
"""The features of decisions stored by earlier versions."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Features that show whether the documents hold the answer to a question.

    Attributes:
        relatedness: A tenth of the logarithm of how much likelier the best cosine is of a question
            and its answer than of unrelated texts; 0 where the model does not know the language.
        chunk_coverage: Share of the question's terms, by weight, that the best chunk holds.
        sentence_coverage: The same for the best single sentence.
        first_coverage: The same for the first hit.
        lead: 1 minus the mean of the other chunks' BM25 scores divided by the best one.
        agreement: 1 if the hit nearest by vector is the best by words as well.
        missing_names: Share of the question's names and numbers that the best chunk for them lacks;
            0 without any.
        similarity: Best cosine of question and chunk; 0 for a foreign language.
        foreign: 1 if the embedding model was not trained for the question's language.
        contrast: ``lead`` for a foreign language, otherwise 0.
    """

    relatedness: float
    chunk_coverage: float
    sentence_coverage: float
    first_coverage: float
    lead: float
    agreement: float
    missing_names: float
    similarity: float
    foreign: float
    contrast: float

    def vector(self, names: Sequence[str] = FEATURES) -> Features:
        """Return features as float64 [n], in the order of their names."""
        return np.array([getattr(self, name) for name in names], dtype=np.float64)


ALL_FEATURES = tuple(item.name for item in fields(Evidence))


@dataclass(frozen=True, slots=True)
class EvidenceReader:
    """Computes the features of questions; without an embedder no language is foreign."""

    analyzer: TextAnalyzer
    embedder: Embedder | None = None

    def read(self, question: str, hits: Sequence[Hit]) -> Evidence:
        """Return the evidence; there must be at least one hit."""
        languages = list(dict.fromkeys(str(h.chunk.metadata.get("language", "")) for h in hits))
        language = detect(question, languages) if len(languages) > 1 else languages[0]
        foreign = self._is_foreign(language, hits)
        chunks, sentences = self._coverages(question, language, hits)
        cosines = [2.0 * hit.dense_score - 1.0 for hit in hits if hit.dense_score is not None]
        lead = _lead(hits)
        return Evidence(
            relatedness=self._relatedness(max(cosines, default=None), language, foreign=foreign),
            chunk_coverage=max(chunks),
            sentence_coverage=max(sentences),
            first_coverage=chunks[0],
            lead=lead,
            agreement=_agreement(hits),
            missing_names=_missing_names(question, language, hits),
            similarity=0.0 if foreign else max([0.0, *cosines]),
            foreign=float(foreign),
            contrast=lead if foreign else 0.0,
        )

    def _relatedness(self, cosine: float | None, language: str, *, foreign: bool) -> float:
        if cosine is None or self.embedder is None:
            return 0.0
        if foreign and language not in REFERENCE_PAIRS:
            return 0.0
        return cosine_scale(self.embedder, language).relatedness(cosine)

    def _is_foreign(self, language: str, hits: Sequence[Hit]) -> bool:
        if self.embedder is None:
            return False
        texts = [hit.chunk.text for hit in hits]
        return dense_share(self.embedder, language, texts) < KNOWN_LANGUAGE

    def _coverages(
        self, question: str, language: str, hits: Sequence[Hit]
    ) -> tuple[list[float], list[float]]:
        """Return the covered share of the question by each chunk, and by each sentence."""
        passages: list[str] = []
        owners: list[int] = []
        languages: list[str] = []
        for number, hit in enumerate(hits):
            chunk_language = str(hit.chunk.metadata.get("language", ""))
            text = hit.chunk.text
            found = [text[a:b] for a, b in sentence_spans(text, chunk_language or None)] or [text]
            # The index contains the heading path, so it counts for the chunk.
            passages += [" ".join(hit.chunk.headings), *found]
            owners += [number] * (len(found) + 1)
            languages += [chunk_language] * (len(found) + 1)
        wanted = set(self.analyzer.query_terms([question], [language])[0].indices.tolist())
        if not wanted:
            return [_NO_TERMS] * len(hits), [_NO_TERMS]
        held = [
            wanted.intersection(sparse.indices.tolist())
            for sparse in self.analyzer.document_terms(passages, languages)
        ]
        counts = Counter(term for terms in held for term in terms)
        weights = {t: inverse_document_frequency(len(held), counts[t]) for t in wanted}
        total = sum(weights.values())
        of_chunk: list[set[int]] = [set() for _ in hits]
        for owner, terms in zip(owners, held, strict=True):
            of_chunk[owner] |= terms
        return (
            [sum(weights[term] for term in terms) / total for terms in of_chunk],
            [sum(weights[term] for term in terms) / total for terms in held],
        )


def _lead(hits: Sequence[Hit]) -> float:
    scores = sorted((hit.lexical_score or 0.0 for hit in hits), reverse=True)
    if len(scores) < _FEWEST_FOR_CONTRAST or scores[0] <= 0.0:
        return _NO_CONTRAST
    return 1.0 - sum(scores[1:]) / (len(scores) - 1) / scores[0]


def _agreement(hits: Sequence[Hit]) -> float:
    """Return 1 if one hit is the best of both searches; stores without words have one search."""
    nearest = max(hits, key=lambda hit: hit.dense_score or 0.0)
    return float((nearest.lexical_score or 0.0) >= max(hit.lexical_score or 0.0 for hit in hits))


def _missing_names(question: str, language: str, hits: Sequence[Hit]) -> float:
    """Return the smallest share of the question's names and numbers that a chunk lacks.

    Names are words with a capital, but for the first word. In German, where all nouns have one,
    these are words with a further capital, such as abbreviations.
    """
    words = [match[0] for match in _WORD.finditer(question)]
    capitals = slice(1, None) if language == "de" else slice(0, 1)
    names = [
        _stem(word)
        for number, word in enumerate(words)
        if any(map(str.isdigit, word)) or (number and any(map(str.isupper, word[capitals])))
    ]
    if not names:
        return 0.0
    passages = [hit.chunk.passage.casefold() for hit in hits]
    return min(sum(name not in text for name in names) for text in passages) / len(names)


def _stem(name: str) -> str:
    plain = name.casefold().rstrip("'’s")
    return plain[: max(_STEM, len(plain) - _ENDING)] if plain.isalpha() else plain
