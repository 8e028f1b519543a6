"""The order of one query's candidates: fusion of both legs, and what the query asks for literally.

Source: Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval",
arXiv 2210.11934. The figures behind it: docs/decisions/0009-fusion.md, 0051-what-a-search-ranks.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kvasir.answering.query_syntax import QuerySyntax
from kvasir.core.explanations import DESCRIBED_WEIGHT
from kvasir.core.protocols import Candidate
from kvasir.core.types import Chunk, Hit
from kvasir.language.question_sides import is_definition, is_entry, is_item_about
from kvasir.language.sentences import sentence_spans

FEWEST_OF_ONE = 3
"""Hits that one document may have in any case."""
_COMPARED = 4
"""Characters of a name that a passage must have, before its sentences are read."""
GOOD_SHARE = 0.5
"""A hit of another document takes a place if it has this share of the replaced one's score."""
_EQUAL_DENSE, _EQUAL_LEXICAL = 2e-3, 1e-3
"""Differences of the scores of one text in two documents: batches are rounded differently."""

Scored = tuple[float, Candidate]
"""A fused score, 0..1, and its candidate."""


def rank(
    candidates: Sequence[Candidate],
    threshold: float,
    alpha: float = 1.0,
    noise: float = 0.0,
    shifts: Mapping[str, float] = MappingProxyType({}),
) -> list[Scored]:
    """Return the candidates of one query that reach a ``dense_score``, best first, each once.

    With an alpha of 1 the score is the ``dense_score`` itself. ``shifts``, by chunk id, are added
    to the dense scores that are compared, not to those of the candidates.
    """
    # By id, for a stable order of equal scores; a chunk without BM25 scores as one with 0.
    candidates = sorted(candidates, key=lambda each: (each.chunk_id, -each.dense_score))
    scores = np.array(
        [candidate.dense_score + shifts.get(candidate.chunk_id, 0.0) for candidate in candidates]
    )
    if alpha != 1.0:
        lexical = np.array([candidate.lexical_score or 0.0 for candidate in candidates])
        scores = fuse(scores, lexical, alpha, noise)
    order = np.argsort(-scores, kind="stable").tolist()
    best: dict[str, Scored] = {}
    for i in order:
        if candidates[i].dense_score >= threshold:
            best.setdefault(candidates[i].chunk_id, (float(scores[i]), candidates[i]))
    return list(best.values())


def prefer_literal(
    ranked: Sequence[Scored], syntax: QuerySyntax, chunks: Mapping[str, Chunk]
) -> list[Scored]:
    """Return candidates without the excluded ones, those that hold the query's phrases first.

    Half of a score is then the share of the query's phrases and identifiers that the chunk holds;
    if no chunk holds any, the scores stay.
    """
    kept = [
        (score, candidate, syntax.share(chunks[candidate.chunk_id].passage))
        for score, candidate in ranked
        if candidate.chunk_id in chunks and not syntax.excludes(chunks[candidate.chunk_id].passage)
    ]
    if not any(share for _, _, share in kept):
        return [(score, candidate) for score, candidate, _ in kept]
    scored = [((score + share) / 2.0, candidate) for score, candidate, share in kept]
    return sorted(scored, key=lambda pair: -pair[0])


def prefer_described(
    ranked: Sequence[Scored], names: Sequence[str], chunks: Mapping[str, Chunk]
) -> list[Scored]:
    """Return candidates with those higher that have a line or sentence describing a name.

    A definition begins with its term, and options and entries of a glossary with their names. The
    scores are divided, so that they stay within 0..1; if no candidate describes one, they stay.
    """
    kept = [
        (score, candidate, describes_any(chunks[candidate.chunk_id], names))
        for score, candidate in ranked
        if candidate.chunk_id in chunks
    ]
    if not any(describes for _, _, describes in kept):
        return [(score, candidate) for score, candidate, _ in kept]
    scored = [
        ((score + DESCRIBED_WEIGHT * describes) / (1.0 + DESCRIBED_WEIGHT), candidate)
        for score, candidate, describes in kept
    ]
    return sorted(scored, key=lambda pair: -pair[0])


def describes_any(chunk: Chunk, names: Sequence[str]) -> bool:
    """Return True if a sentence or line of a chunk describes one of the names."""
    folded = chunk.text.casefold()
    if not any(name.casefold()[:_COMPARED] in folded for name in names):
        return False
    language = str(chunk.metadata.get("language", ""))
    sentences = (chunk.text[a:b] for a, b in sentence_spans(chunk.text, language or None))
    return any(
        is_definition(sentence, name, language)
        or is_entry(sentence, name)
        or is_item_about(sentence, name)
        for sentence in sentences
        for name in names
    )


@dataclass(frozen=True, slots=True)
class Fusion:
    """The scales by which dense and BM25 scores of one query's candidates become one score.

    Attributes:
        alpha: The dense share, 0..1; 1 if no candidate shares a term.
        best_dense: The dense score that is scaled to 1.
        dense_range: That score minus the one that is scaled to 0; 0 if all are equal.
        best_lexical: The BM25 score that is scaled to 1; 0 if no candidate shares a term.
    """

    alpha: float
    best_dense: float
    dense_range: float
    best_lexical: float

    @classmethod
    def of(
        cls,
        dense: NDArray[np.float64],
        lexical: NDArray[np.float64],
        alpha: float,
        noise: float = 0.0,
    ) -> Self:
        """Return the scales of at least one candidate; arguments as of ``fuse``."""
        high, best = float(dense.max()), float(lexical.max())
        spread = max(high - float(dense.min()), noise)
        return cls(alpha if best > 0.0 else 1.0, high, spread, best)

    def scaled_dense(self, dense: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scaled dense scores [n]."""
        if self.dense_range <= 0.0:
            return np.ones_like(dense)
        return 1.0 - (self.best_dense - dense) / self.dense_range

    def scaled_lexical(self, lexical: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scaled BM25 scores [n]."""
        return lexical / self.best_lexical if self.best_lexical > 0.0 else np.zeros_like(lexical)

    def scores(
        self, dense: NDArray[np.float64], lexical: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the fused scores [n]."""
        similar = self.scaled_dense(dense)
        if self.best_lexical <= 0.0:
            return similar
        return self.alpha * similar + (1.0 - self.alpha) * self.scaled_lexical(lexical)


def fuse(
    dense: NDArray[np.float64], lexical: NDArray[np.float64], alpha: float, noise: float = 0.0
) -> NDArray[np.float64]:
    """Return the fused scores [n], 0..1, of one query's candidates.

    Dense scores are scaled so that the best has 1 and the worst 0, or more if they all lie within
    ``noise``: few candidates may differ by chance alone. BM25 is 0 for a text that shares no term,
    so it is only divided by the best.

    Args:
        dense: Dense score of every candidate [n], including those of the keyword search.
        lexical: BM25 score of every candidate [n], 0 where no term is shared.
        alpha: The dense share, 0..1; 1 is used if no candidate shares a term.
        noise: The range of dense scores, 0..1, in which a difference says nothing.
    """
    return Fusion.of(dense, lexical, alpha, noise).scores(dense, lexical) if dense.size else dense


def scoring_alike(ranked: Sequence[Scored], read: int) -> list[Scored]:
    """Return the candidates behind the first ``read`` that score like one of these.

    Others are no copies of them, because copies have the same words. One that the keyword search
    did not give has at most the lowest score that it gave.
    """
    dense = np.array([candidate.dense_score for _, candidate in ranked])
    given = [candidate.lexical_score for _, candidate in ranked]
    lowest = min((score for score in given if score is not None), default=0.0)
    lexical = np.array([lowest if score is None else score for score in given])
    one, other = lexical[:read, None], lexical[None, read:]
    alike = np.abs(dense[:read, None] - dense[None, read:]) <= _EQUAL_DENSE
    alike &= np.abs(one - other) <= _EQUAL_LEXICAL * np.maximum(one, other)
    return [ranked[read + i] for i in np.flatnonzero(alike.any(axis=0)).tolist()]


def merge_copies(hits: Sequence[Hit]) -> list[Hit]:
    """Return hits with each passage once, at its best place, and the sources of its copies."""
    first: dict[str, Hit] = {}
    sources: dict[str, set[str]] = {}
    for hit in hits:
        passage = passage_of(hit.chunk)
        first.setdefault(passage, hit)
        sources.setdefault(passage, set()).add(str(hit.chunk.metadata.get("source_uri", "")))
    merged = []
    for passage, hit in first.items():
        others = sources[passage] - {"", hit.chunk.metadata.get("source_uri", "")}
        merged.append(replace(hit, copies=tuple(sorted(others))) if others else hit)
    return merged


def passage_of(chunk: Chunk) -> str:
    """Return the text by which copies of a passage are found: its white space does not count."""
    return " ".join(chunk.passage.split())


def most_of_one(top_k: int) -> int:
    """Return how many of ``top_k`` hits one document may have while others are good."""
    return max(FEWEST_OF_ONE, top_k // 2)


def crowds_out(hits: Sequence[Hit], top_k: int) -> bool:
    """Return True if one document has more than its share of the first hits."""
    counts = Counter(hit.chunk.document_id for hit in hits[:top_k])
    return max(counts.values(), default=0) > most_of_one(top_k)


def limit_documents(hits: Sequence[Hit], top_k: int) -> list[Hit]:
    """Return the best ``top_k`` hits, best first, in which no document crowds out the others.

    Hits of a document beyond its share give their places, the last one first, to the best hits of
    documents that have room, if these have at least half of their score.
    """
    counts: Counter[str] = Counter()
    within: list[bool] = []
    for hit in hits:
        counts[hit.chunk.document_id] += 1
        within.append(counts[hit.chunk.document_id] <= most_of_one(top_k))
    chosen = list(range(min(top_k, len(hits))))
    waiting = [place for place in range(top_k, len(hits)) if within[place]]
    for place in [place for place in reversed(chosen) if not within[place]]:
        if not waiting or hits[waiting[0]].score < GOOD_SHARE * hits[place].score:
            break
        chosen.remove(place)
        chosen.append(waiting.pop(0))
    return [hits[place] for place in sorted(chosen)]
