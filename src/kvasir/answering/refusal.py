"""Decides whether the retrieved chunks hold an answer, before one is written.

A logistic model over a few features of a question and its hits. None of them depends on the
size of the collection, so that the shipped weights serve three documents as well as a
million: the cosine, and which share of the question's terms a chunk or a sentence covers,
each term weighted by how rare it is among the retrieved sentences. How the weights were
found, and what the decision costs: docs/decisions/0010-refusal.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from kvasir.answering.fusion import KNOWN_LANGUAGE, dense_share
from kvasir.core.errors import UserError
from kvasir.core.protocols import Embedder, TextAnalyzer
from kvasir.core.types import Hit
from kvasir.language.detect import detect
from kvasir.language.sentences import sentence_spans

Features = NDArray[np.float64]

_NO_TERMS = 0.5
"""Coverage of a question of stop words alone: says nothing either way."""
_NO_CONTRAST = 0.5
"""Contrast where there are too few hits to tell."""
_FEWEST_FOR_CONTRAST = 5
_REPORT = "report_"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for the documents holding the answer to a question.

    Attributes:
        similarity: Best cosine of question and chunk; 0 where the embedding model was not
            trained for the language.
        chunk_coverage: Share of the question's terms, by weight, that the best chunk holds.
        sentence_coverage: The same of the best single sentence.
        foreign: 1 where the embedding model was not trained for the question's language.
        contrast: There, how far the best chunk's BM25 score stands above the others': 1 minus
            their mean divided by it. 0 where the model knows the language.
    """

    similarity: float
    chunk_coverage: float
    sentence_coverage: float
    foreign: float
    contrast: float

    def vector(self) -> Features:
        """Returns the features as float64 [5], in the order of the attributes."""
        return np.array([getattr(self, name) for name in FEATURES], dtype=np.float64)


FEATURES = tuple(item.name for item in fields(Evidence))


class EvidenceReader:
    """Computes the features of questions and their hits."""

    def __init__(self, analyzer: TextAnalyzer, embedder: Embedder | None = None) -> None:
        """Keeps the tools.

        Args:
            analyzer: The collection's, so that words are compared as the index compares them.
            embedder: The collection's; says which languages it knows. None: all.
        """
        self._analyzer = analyzer
        self._embedder = embedder

    def read(self, question: str, hits: Sequence[Hit]) -> Evidence:
        """Returns the evidence; there must be at least one hit."""
        languages = list(dict.fromkeys(str(h.chunk.metadata.get("language", "")) for h in hits))
        language = detect(question, languages) if len(languages) > 1 else languages[0]
        foreign = self._is_foreign(language, hits)
        chunks, sentences = self._coverages(question, language, hits)
        cosines = [-1.0 if hit.dense_score is None else 2.0 * hit.dense_score - 1.0 for hit in hits]
        return Evidence(
            similarity=0.0 if foreign else max(0.0, *cosines),
            chunk_coverage=max(chunks),
            sentence_coverage=max(sentences),
            foreign=float(foreign),
            contrast=_contrast(hits) if foreign else 0.0,
        )

    def _is_foreign(self, language: str, hits: Sequence[Hit]) -> bool:
        if self._embedder is None:
            return False
        texts = [hit.chunk.text for hit in hits]
        return dense_share(self._embedder, language, texts) < KNOWN_LANGUAGE

    def _coverages(
        self, question: str, language: str, hits: Sequence[Hit]
    ) -> tuple[list[float], list[float]]:
        """Returns the covered share of the question by each chunk, and by each sentence."""
        passages: list[str] = []
        owners: list[int] = []
        tongues: list[str] = []
        for number, hit in enumerate(hits):
            tongue = str(hit.chunk.metadata.get("language", ""))
            text = hit.chunk.text
            found = [text[a:b] for a, b in sentence_spans(text, tongue or None)] or [text]
            # The heading path is part of what is searched, so it counts for the chunk.
            passages += [" ".join(hit.chunk.headings), *found]
            owners += [number] * (len(found) + 1)
            tongues += [tongue] * (len(found) + 1)
        wanted = set(self._analyzer.query_terms([question], [language])[0].indices.tolist())
        if not wanted:
            return [_NO_TERMS] * len(hits), [_NO_TERMS]
        held = [
            wanted.intersection(sparse.indices.tolist())
            for sparse in self._analyzer.document_terms(passages, tongues)
        ]
        weights = _rarity(wanted, held)
        total = sum(weights.values())
        of_chunk: list[set[int]] = [set() for _ in hits]
        for owner, terms in zip(owners, held, strict=True):
            of_chunk[owner] |= terms
        return (
            [sum(weights[term] for term in terms) / total for terms in of_chunk],
            [sum(weights[term] for term in terms) / total for terms in held],
        )


def _contrast(hits: Sequence[Hit]) -> float:
    scores = sorted((hit.lexical_score or 0.0 for hit in hits), reverse=True)
    if len(scores) < _FEWEST_FOR_CONTRAST or scores[0] <= 0.0:
        return _NO_CONTRAST
    return 1.0 - sum(scores[1:]) / (len(scores) - 1) / scores[0]


def _rarity(wanted: set[int], held: Sequence[set[int]]) -> Mapping[int, float]:
    """Returns each term's inverse frequency among the retrieved sentences, as BM25's IDF."""
    counts = Counter(term for terms in held for term in terms)
    total = len(held)
    return {
        term: math.log(1.0 + (total - counts[term] + 0.5) / (counts[term] + 0.5)) for term in wanted
    }


@dataclass(frozen=True, slots=True)
class Calibration:
    """The decision to refuse: a logistic model and its threshold.

    Attributes:
        weights: One a feature, in the order of ``FEATURES``.
        bias: The constant term.
        threshold: Refuse below this probability.
        report: What was measured when it was fitted, for people to read.
    """

    weights: tuple[float, ...]
    bias: float
    threshold: float = 0.5
    report: Mapping[str, float] = field(default_factory=dict)

    def confidence(self, evidence: Evidence) -> float:
        """Returns the probability, 0..1, that the documents hold the answer."""
        return float(self.probabilities(evidence.vector()[None, :])[0])

    def probabilities(self, features: Features) -> Features:
        """Returns the probability of each row of features [n, 5] as float64 [n]."""
        logits = features @ np.asarray(self.weights) + self.bias
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500))), dtype=np.float64)

    def refuses(self, confidence: float) -> bool:
        """Says whether a question of this confidence is refused."""
        return confidence < self.threshold

    def to_json(self) -> dict[str, float]:
        """Returns it as a flat mapping that JSON can hold."""
        named = dict(zip(FEATURES, self.weights, strict=True))
        report = {f"{_REPORT}{name}": value for name, value in self.report.items()}
        return {**named, "bias": self.bias, "threshold": self.threshold, **report}

    @classmethod
    def from_json(cls, stored: Mapping[str, float]) -> Calibration:
        """Reads what ``to_json`` wrote.

        Raises:
            UserError: It was written by another version; says to calibrate again.
        """
        try:
            return cls(
                tuple(float(stored[name]) for name in FEATURES),
                float(stored["bias"]),
                float(stored["threshold"]),
                {
                    name.removeprefix(_REPORT): float(value)
                    for name, value in stored.items()
                    if name.startswith(_REPORT)
                },
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"the stored calibration cannot be read ({error!r}): run 'kvasir calibrate' again"
            ) from error


DEFAULT_CALIBRATION = Calibration(
    weights=(13.64, 4.85, 6.99, 1.79, 7.79),
    bias=-10.59,
    threshold=0.2,
    report={"refused_on_topic": 0.018, "refused_off_topic": 0.975},
)
"""Fitted on XQuAD in four languages; the report is of English, five-fold cross-validated."""
