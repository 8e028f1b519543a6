"""The contract of stores that rank ids before they read chunks: ``StoreContract`` and more."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kvasir.core.filters import Comparison
from kvasir.core.protocols import LexicalSearch, RankedSearch, Ranking, VectorStore
from kvasir.core.types import Hit
from kvasir.testing.store_cases import fifty_chunks, make_chunk
from kvasir.testing.stores import StoreContract


class RankedStoreContract(StoreContract):
    """What must hold for a store that is a ``RankedSearch`` as well."""

    def test_ranked_ids_are_those_of_the_hits(self, store: VectorStore) -> None:
        assert isinstance(store, RankedSearch)
        assert isinstance(store, LexicalSearch)
        chunks, vectors, queries = fifty_chunks()
        store.upsert(chunks, vectors)
        only = Comparison("number", "<", 30)
        near = store.search_dense(queries, 7, only)
        _check_ranking(near, store.rank_dense(queries, 7, only))
        words = ["number 17", "nothing known", "chunk"]
        found = store.search_lexical(words, ["en"] * 3, 5, only)
        _check_ranking(found, store.rank_lexical(words, ["en"] * 3, 5, only))

    def test_given_chunks_are_scored_and_read(self, store: VectorStore) -> None:
        assert isinstance(store, RankedSearch)
        chunks, vectors, queries = fifty_chunks()
        store.upsert(chunks, vectors)
        ids = [chunks[3].id, make_chunk(999).id, chunks[40].id]
        scores = store.score_dense(queries[0], ids)
        assert set(scores) == {chunks[3].id, chunks[40].id}
        for i in (3, 40):
            expected = (1 + float(queries[0] @ vectors[i])) / 2
            assert scores[chunks[i].id] == pytest.approx(expected, abs=1e-3)
        assert {c.id: c for c in store.fetch_chunks(ids)} == {
            chunks[i].id: chunks[i] for i in (3, 40)
        }


def _check_ranking(found: Sequence[Sequence[Hit]], rankings: Sequence[Ranking]) -> None:
    for hits, ranking in zip(found, rankings, strict=True):
        assert [hit.chunk.id for hit in hits] == [chunk_id for chunk_id, _ in ranking]
        raw = [hit.dense_score if hit.lexical_score is None else hit.lexical_score for hit in hits]
        assert raw == pytest.approx([score for _, score in ranking])
