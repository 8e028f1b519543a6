"""Gives every store the form in which a hybrid search asks: ids first, chunks at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from kvasir.core.filters import Filter
from kvasir.core.protocols import LexicalSearch, RankedSearch, Ranking, VectorStore
from kvasir.core.types import Chunk, Hit, Matrix


def ranked(store: VectorStore) -> RankedSearch:
    """Returns the store itself where it ranks ids, else a form of it for ONE search."""
    return store if isinstance(store, RankedSearch) else _FoundChunks(store)


class _FoundChunks:
    """Ranks through a store's plain searches and keeps the chunks that they brought along."""

    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._chunks: dict[str, Chunk] = {}

    def rank_dense(
        self, vectors: Matrix, top_k: int, filters: Filter | None = None
    ) -> list[Ranking]:
        """Returns what ``search_dense`` finds."""
        return [self._keep(hits) for hits in self._store.search_dense(vectors, top_k, filters)]

    def rank_lexical(
        self,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[Ranking]:
        """Returns what ``search_lexical`` finds; nothing where there is no keyword index."""
        if not isinstance(self._store, LexicalSearch):
            return [[] for _ in queries]
        found = self._store.search_lexical(queries, languages, top_k, filters)
        return [self._keep(hits) for hits in found]

    def score_dense(self, vector: Matrix, ids: Sequence[str]) -> dict[str, float]:
        """Returns the ``dense_score`` of chunks, from their vectors."""
        pairs = self._store.fetch(ids)
        if not pairs:
            return {}
        cosines = np.stack([other for _, other in pairs]) @ vector
        scores = (1.0 + np.clip(cosines, -1.0, 1.0).astype(np.float64)) / 2.0
        return {chunk.id: score for (chunk, _), score in zip(pairs, scores.tolist(), strict=True)}

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Returns chunks that a search found."""
        return [self._chunks[chunk_id] for chunk_id in ids if chunk_id in self._chunks]

    def _keep(self, hits: Iterable[Hit]) -> Ranking:
        ranking: Ranking = []
        for hit in hits:
            self._chunks[hit.chunk.id] = hit.chunk
            own = hit.dense_score if hit.lexical_score is None else hit.lexical_score
            ranking.append((hit.chunk.id, hit.score if own is None else own))
        return ranking
