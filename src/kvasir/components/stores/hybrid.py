"""Hybrid search: rank the keywords, wait for the query vectors, join the two legs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import numpy as np

from kvasir.components.stores.database_store import ClientStore, Scores
from kvasir.components.stores.keyword_index import IndexCache
from kvasir.core.filters import Filter
from kvasir.core.protocols import Candidate, PendingVectors, SearchTerms, TextAnalyzer
from kvasir.core.scoring import dense_scores
from kvasir.core.types import Matrix, SparseVector

_MOST_AT_ONCE = 2000

Ranking = Sequence[tuple[str, float]]
"""Chunk ids with BM25 scores, best first."""
Leg = tuple[Ranking, Callable[[Matrix, list[str]], Scores]]
"""The ranking for one query, and a function that scores chunks for its vector [dimension]."""


class TwoLegs(ClientStore):
    """Searches keywords and vectors with separate calls."""

    def search_hybrid(
        self,
        vectors: Matrix | PendingVectors,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Candidate]]:
        """Return for each query the chunks that either leg finds."""
        terms = search_terms(self._analyzer, queries, languages)
        words = self._rank(terms, top_k, filters)
        vectors = resolved(vectors)
        nearest = self._nearest(vectors, len(queries), top_k, filters)
        return [
            join_legs(near, ranking, top_k, partial(score, vector))
            for near, (ranking, score), vector in zip(nearest, words, vectors, strict=True)
        ]

    @abstractmethod
    def _rank(self, terms: Sequence[SparseVector], top_k: int, filters: Filter | None) -> list[Leg]:
        """Return the keyword leg for the terms of each query."""


class KeywordsInMemory(TwoLegs):
    """Ranks keywords in memory, for databases without a keyword index of their own."""

    _index: IndexCache

    def _rank(self, terms: Sequence[SparseVector], top_k: int, filters: Filter | None) -> list[Leg]:
        allowed = self._matching(filters) if filters else None
        index, score = self._index.current(), partial(self._scores, filters=filters)
        rankings = [index.rank(query) for query in terms]
        if allowed is not None:
            rankings = [[pair for pair in words if pair[0] in allowed] for words in rankings]
        return [(words, score) for words in rankings]

    def _matching(self, filters: Filter) -> Collection[str] | None:
        """Return the ids of the chunks that pass a filter; None if ``_scores`` applies it."""
        return None

    @abstractmethod
    def _scores(self, query: Matrix, ids: Sequence[str], filters: Filter | None) -> Scores:
        """Return the ``dense_score`` of the chunks that exist and pass the filter."""


def search_terms(
    analyzer: TextAnalyzer, queries: Sequence[str], languages: Sequence[str]
) -> list[SparseVector]:
    """Return the weighted terms of each query by which its keyword leg is ranked."""
    if isinstance(analyzer, SearchTerms):
        return analyzer.search_terms(queries, languages)
    return analyzer.query_terms(queries, languages)


def resolved(vectors: Matrix | PendingVectors) -> Matrix:
    """Return the query vectors; wait for them if necessary."""
    return vectors if isinstance(vectors, np.ndarray) else vectors.result()


def similarities(query: Matrix, vectors: Mapping[str, Matrix]) -> Scores:
    """Return the ``dense_score`` of vectors [dimension], of any length, by chunk id."""
    if not vectors:
        return {}
    rows = np.stack(list(vectors.values())).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1) * float(np.linalg.norm(query))
    scores = dense_scores((rows @ query) / np.maximum(lengths, 1e-12))
    return dict(zip(vectors, scores.tolist(), strict=True))


def join_legs(
    dense: Scores, words: Ranking, top_k: int, score: Callable[[list[str]], Scores]
) -> list[Candidate]:
    """Join the nearest chunks of one query with the best of its keyword ranking.

    Args:
        dense: The nearest chunks; those from the ranking are added to it.
        words: May be longer than ``top_k`` and hold deleted chunks or chunks that the filter
            excludes.
        top_k: Number of chunks to take from the keyword ranking.
        score: Scores given chunks, without the deleted and excluded ones.
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
