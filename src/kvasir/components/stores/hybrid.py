"""Common parts of hybrid search: wait for the query vectors, join the two legs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kvasir.core.protocols import Candidate, PendingVectors
from kvasir.core.scoring import dense_scores
from kvasir.core.types import Matrix

_MOST_AT_ONCE = 2000


def resolved(vectors: Matrix | PendingVectors) -> Matrix:
    """Return the query vectors; wait for them if necessary."""
    return vectors if isinstance(vectors, np.ndarray) else vectors.result()


def similarities(query: Matrix, vectors: Mapping[str, Matrix]) -> dict[str, float]:
    """Return the ``dense_score`` of vectors [dimension], of any length, by chunk id."""
    if not vectors:
        return {}
    rows = np.stack(list(vectors.values())).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1) * float(np.linalg.norm(query))
    scores = dense_scores((rows @ query) / np.maximum(lengths, 1e-12))
    return dict(zip(vectors, scores.tolist(), strict=True))


def scores_of(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Return the ``dense_score`` of candidates by chunk id."""
    return {candidate.chunk_id: candidate.dense_score for candidate in candidates}


def join_legs(
    dense: dict[str, float],
    words: Sequence[tuple[str, float]],
    top_k: int,
    score: Callable[[list[str]], Mapping[str, float]],
) -> list[Candidate]:
    """Join the nearest chunks of one query with the best of its keyword ranking.

    Args:
        dense: The ``dense_score`` of the nearest chunks; those from the ranking are added to it.
        words: Chunk ids with BM25 scores, best first. It may be longer than ``top_k`` and hold
            deleted chunks or chunks that the filter excludes.
        top_k: Number of chunks to take from the keyword ranking.
        score: Returns the ``dense_score`` of given chunks, without the deleted and excluded ones.
    """
    lexical: dict[str, float] = {}
    size = top_k
    while words and len(lexical) < top_k:
        batch, words = words[:size], words[size:]
        size = min(4 * size, _MOST_AT_ONCE)
        unknown = [chunk_id for chunk_id, _ in batch if chunk_id not in dense]
        found = score(unknown) if unknown else {}
        for chunk_id, weight in batch:
            if len(lexical) < top_k and (chunk_id in dense or chunk_id in found):
                lexical[chunk_id] = weight
                dense.setdefault(chunk_id, found.get(chunk_id, 0.0))
    return [Candidate(chunk_id, value, lexical.get(chunk_id)) for chunk_id, value in dense.items()]
