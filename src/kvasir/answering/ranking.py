"""The order of one query's candidates: fusion of both legs, and what the query asks for literally.

Source: Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval",
arXiv 2210.11934. The figures behind it: docs/decisions/0009-fusion.md, 0051-what-a-search-ranks.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kvasir.answering.query_syntax import QuerySyntax
from kvasir.core.protocols import Candidate
from kvasir.core.types import Chunk

Scored = tuple[float, Candidate]
"""A fused score, 0..1, and its candidate."""


def rank(
    candidates: Sequence[Candidate],
    threshold: float,
    alpha: float = 1.0,
    noise: float = 0.0,
) -> list[Scored]:
    """Return the candidates of one query that reach a ``dense_score``, best first.

    With an alpha of 1 the score is the ``dense_score`` itself.
    """
    candidates = sorted(candidates)  # by unique id, for a stable order of equal scores
    scores = np.array([candidate.dense_score for candidate in candidates])
    if alpha != 1.0:
        lexical = np.array([candidate.lexical_score or 0.0 for candidate in candidates])
        scores = fuse(scores, lexical, alpha, noise)
    order = np.argsort(-scores, kind="stable").tolist()
    ranked = ((float(scores[i]), candidates[i]) for i in order)
    return [(score, each) for score, each in ranked if each.dense_score >= threshold]


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
    if not dense.size:
        return dense
    high = float(dense.max())
    spread = max(high - float(dense.min()), noise)
    similar = 1.0 - (high - dense) / spread if spread > 0.0 else np.ones_like(dense)
    best = float(lexical.max())
    return alpha * similar + (1.0 - alpha) * (lexical / best) if best > 0.0 else similar
