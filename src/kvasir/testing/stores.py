"""The contract of every vector store: subclass it and override one fixture.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def open_store(self, tmp_path, analyzer):
            def open_store(dimension=8, fingerprint="", collection="contract"):
                return MyStore(str(tmp_path), collection, dimension, analyzer, fingerprint)

            return open_store

A test may call ``open_store`` several times; a later call reopens the same data. The suite closes
every store. ``expected_capabilities`` lists the capabilities of the store, by default
``LexicalSearch``, which the tests of the keyword index need. ``core.filters.matches`` is the oracle
of all filters.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from kvasir.core.errors import ComponentError, WrongEmbedderError
from kvasir.core.filters import Comparison
from kvasir.core.protocols import Optimizable, VectorStore
from kvasir.core.types import Metadata
from kvasir.testing.store_cases import (
    AWKWARD_FIELDS,
    AWKWARD_VALUES,
    CAPABILITIES,
    DIMENSION,
    SCORE_TOLERANCE,
    OpenStore,
    approximately,
    check_scores,
    everything,
    fifty_chunks,
    ids_of,
    make_chunk,
    make_vectors,
    search_texts,
    search_vectors,
    search_words,
    write_chunks,
)
from kvasir.testing.stores_searching import KeywordContract, SearchContract

__all__ = ["OpenStore", "StoreContract"]


class StoreContract(SearchContract, KeywordContract):
    """What must hold for every store; see the module on how to use it."""

    def test_the_store_has_the_expected_capabilities_and_no_others(
        self, store: VectorStore
    ) -> None:
        assert {each for each in CAPABILITIES if isinstance(store, each)} == {
            *self.expected_capabilities
        }

    def test_a_capability_lost_by_accident_fails_the_suite(
        self, store: VectorStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for capability in self.expected_capabilities:
            with monkeypatch.context() as patch:
                for owner in type(store).__mro__:
                    if CAPABILITIES[capability] in vars(owner):
                        patch.delattr(owner, CAPABILITIES[capability])
                # A new class: whether a class fulfils a protocol is remembered.
                poorer: VectorStore = object.__new__(type("Poorer", (type(store),), {}))
                with pytest.raises(AssertionError):
                    self.test_the_store_has_the_expected_capabilities_and_no_others(poorer)

    def test_building_the_graph_changes_no_result(self, store: VectorStore) -> None:
        if Optimizable not in self.expected_capabilities:
            assert not isinstance(store, Optimizable)
            return
        assert isinstance(store, Optimizable)
        chunks, vectors, queries = fifty_chunks()
        store.upsert(chunks, vectors)
        before = search_vectors(store, queries, 10)
        store.optimize(wait=True)
        assert search_vectors(store, queries, 10) == approximately(before)

    @pytest.mark.parametrize("end", ["close", "drop"])
    def test_a_closed_store_refuses_every_call(self, opened: OpenStore, end: str) -> None:
        store, id_ = opened(), make_chunk(0).id
        write_chunks(store, 1)
        getattr(store, end)()
        calls: list[Callable[[], object]] = [store.count, store.flush, lambda: list(store.scroll())]
        calls += [partial(call, [id_]) for call in (store.fetch, store.fetch_chunks, store.delete)]
        calls.append(partial(store.set_metadata, [id_], {"a": 1}))
        calls.append(partial(store.search, make_vectors(1), 1))
        calls.append(partial(store.upsert, [make_chunk(1)], make_vectors(1)))
        if self.has_keywords:
            calls.append(lambda: search_words(store, "chunk"))
        for call in calls:
            with pytest.raises(ComponentError, match="the store is closed"):
                call()
        store.close()

    def test_a_dropped_collection_can_be_created_again_for_another_embedder(
        self, opened: OpenStore
    ) -> None:
        chunks, vectors, _ = fifty_chunks()
        with closing(opened(collection="beside")) as beside:
            beside.upsert(chunks[:3], vectors[:3])
        store = opened(fingerprint="one")
        store.upsert(chunks, vectors)
        store.drop()
        again = opened(dimension=DIMENSION + 4, fingerprint="two")
        assert (again.count(), list(again.scroll())) == (0, [])
        if self.has_keywords:
            assert search_texts(again, [chunks[0].text], ["en"], 3) == [[]]
        again.close()
        assert opened(collection="beside").count() == 3

    def test_an_empty_collection_counts_zero_and_finds_nothing(self, store: VectorStore) -> None:
        a_filter, unknown = Comparison("language", "==", "en"), [make_chunk(1).id]
        assert store.dimension == DIMENSION
        assert store.count() == 0
        assert store.count(a_filter) == 0
        assert everything(store) == {}
        assert store.fetch(unknown) == []
        assert store.fetch_chunks(unknown) == []
        assert search_vectors(store, make_vectors(2), 5) == [[], []]
        assert search_vectors(store, make_vectors(2), 5, a_filter) == [[], []]
        store.delete(unknown)
        store.set_metadata(unknown, {"a": 1})
        assert store.count() == 0

    def test_nothing_to_do_is_no_error(self, store: VectorStore) -> None:
        store.upsert([], np.zeros((0, DIMENSION), dtype=np.float32))
        store.delete([])
        store.set_metadata([], {"a": 1})
        assert store.fetch([]) == []
        assert search_vectors(store, np.zeros((0, DIMENSION), dtype=np.float32), 3) == []

    @pytest.mark.parametrize("top_k", [0, -1])
    def test_a_top_k_below_one_gives_no_results(self, store: VectorStore, top_k: int) -> None:
        store.upsert([make_chunk(0, "owl"), make_chunk(1, "owl nest")], make_vectors(2))
        assert search_vectors(store, make_vectors(2), top_k) == [[], []]
        if self.has_keywords:
            assert search_texts(store, ["owl", "nest"], ["en", "en"], top_k) == [[], []]

    def test_chunks_come_back_exactly_as_written(self, store: VectorStore) -> None:
        chunks = [
            make_chunk(0),
            make_chunk(1, "", {}),
            replace(make_chunk(2), page=None, headings=("One", "Zwei > drei", "四")),
            make_chunk(3, 'Quotes \'"` \\ and\n\n\tlines\r\nand 100 % "Ünïcödé" 🦉 北京', {}),
            make_chunk(4, "types", {"text": "a", "int": 3, "float": 3.0, "yes": True, "no": False}),
            make_chunk(5, "numbers", {"zero": 0, "nil": 0.0, "large": 2**53 + 1, "long": 632 / 7}),
            make_chunk(6, "fields", dict.fromkeys(AWKWARD_FIELDS, "x")),
            make_chunk(7, "values", {f"v{i}": v for i, v in enumerate(AWKWARD_VALUES[:-2])}),
        ]
        store.upsert(chunks, make_vectors(len(chunks)))
        read = everything(store)
        for chunk in chunks:
            assert read[chunk.id] == chunk
            types = {key: type(value) for key, value in chunk.metadata.items()}
            assert {k: type(v) for k, v in read[chunk.id].metadata.items()} == types
        found = search_vectors(store, make_vectors(len(chunks)), 1)
        assert [hits[0].chunk for hits in found] == chunks
        assert isinstance(found[2][0].chunk.headings, tuple)

    def test_long_texts_come_back_whole(self, store: VectorStore) -> None:
        texts = ["word and " * 11_112, "語" * 100_000, "🦉" * 40_000]
        chunks = [make_chunk(i, text) for i, text in enumerate(texts)]
        store.upsert(chunks, make_vectors(3))
        assert everything(store) == {chunk.id: chunk for chunk in chunks}

    def test_vectors_come_back_as_written(self, store: VectorStore) -> None:
        chunks, vectors = write_chunks(store, 5)
        scrolled = [pair for batch in store.scroll() for pair in batch]
        for pairs in (store.fetch([chunk.id for chunk in chunks]), scrolled):
            read = {chunk.id: vector for chunk, vector in pairs}
            for chunk, vector in zip(chunks, vectors, strict=True):
                assert read[chunk.id].dtype == np.float32
                np.testing.assert_allclose(read[chunk.id], vector, atol=1e-5)

    def test_fetch_returns_the_known_ids(self, store: VectorStore) -> None:
        chunks, _ = write_chunks(store, 4)
        ids = [chunks[3].id, make_chunk(99).id, chunks[1].id]
        fetched = store.fetch(ids)
        assert {c.id: c for c, _ in fetched} == {c.id: c for c in (chunks[3], chunks[1])}
        assert len(fetched) == 2
        alone = store.fetch_chunks(ids)
        assert sorted(c.id for c in alone) == sorted(c.id for c, _ in fetched)
        assert all(chunk in chunks for chunk in alone)

    def test_writing_twice_changes_nothing(self, store: VectorStore) -> None:
        chunks, vectors = write_chunks(store, 20)
        before = [ids_of(hits) for hits in search_vectors(store, vectors[:3], 20)]
        store.upsert(chunks, vectors)
        assert store.count() == 20
        assert sum(len(batch) for batch in store.scroll()) == 20
        assert [ids_of(hits) for hits in search_vectors(store, vectors[:3], 20)] == before

    def test_the_same_id_replaces_text_metadata_and_vector(self, store: VectorStore) -> None:
        vectors = make_vectors(3)
        store.upsert([make_chunk(0), make_chunk(1)], vectors[:2])
        new = make_chunk(0, "replaced", {"other": 1})
        store.upsert([new], vectors[2:])
        assert store.count() == 2
        best = search_vectors(store, vectors[2:], 1)[0][0]
        assert best.chunk == new
        assert best.score == pytest.approx(1.0, abs=SCORE_TOLERANCE)
        assert store.count(Comparison("number", "==", 0)) == 0
        assert store.count(Comparison("number", ">=", 0)) == 1
        assert store.count(Comparison("other", ">", 0)) == 1

    def test_the_last_chunk_of_an_id_in_a_batch_wins(self, store: VectorStore) -> None:
        first, last = make_chunk(0, "first"), make_chunk(0, "last")
        vectors = make_vectors(3)
        store.upsert([first, make_chunk(1), last], vectors)
        assert store.count() == 2
        assert search_vectors(store, vectors[2:], 1)[0][0].chunk == last

    def test_deleted_chunks_are_not_found(self, store: VectorStore) -> None:
        chunks, vectors = write_chunks(store, 10)
        store.delete([chunks[2].id, make_chunk(999).id, chunks[5].id, chunks[2].id])
        left = {chunk.id for chunk in chunks} - {chunks[2].id, chunks[5].id}
        assert store.count() == 8
        assert set(everything(store)) == left
        assert set(ids_of(search_vectors(store, vectors[2:3], 100)[0])) == left
        assert store.fetch([chunks[2].id]) == []
        if self.has_keywords:
            assert set(ids_of(search_texts(store, ["chunk"], ["en"], 100)[0])) == left

    def test_thousands_of_chunks_go_in_and_out_at_once(self, store: VectorStore) -> None:
        # More than any store writes (500) or reads (2,000) in one request.
        ids = [chunk.id for chunk in write_chunks(store, 2_400)[0]]
        unknown = [make_chunk(i).id for i in range(2_400, 6_000)]
        assert store.count() == 2_400
        assert set(everything(store)) == set(ids)
        assert {chunk.id for chunk, _ in store.fetch(ids + unknown)} == set(ids)
        store.delete(ids[1:] + unknown)
        assert store.count() == 1

    def test_scrolling_yields_everything_once(self, store: VectorStore) -> None:
        ids = [chunk.id for chunk in write_chunks(store, 25)[0]]
        for batch_size in (1, 10, 25, 1000):
            batches = list(store.scroll(batch_size=batch_size))
            assert all(0 < len(batch) <= batch_size for batch in batches)
            assert sorted(c.id for batch in batches for c, _ in batch) == sorted(ids)
        some = [c for b in store.scroll(Comparison("number", "<", 7), 3) for c, _ in b]
        assert sorted(c.id for c in some) == sorted(ids[:7])

    def test_metadata_are_replaced_without_touching_the_rest(self, store: VectorStore) -> None:
        chunks, vectors = write_chunks(store, 4)
        new: Metadata = {"language": "en", "título": 'it\'s "new"', "year": 2026, "final": True}
        store.set_metadata([chunks[1].id, chunks[2].id, make_chunk(99).id], new)
        assert store.count() == 4
        assert store.count(Comparison("year", "==", 2026)) == 2
        assert store.count(Comparison("number", ">=", 0)) == 2
        changed = [replace(chunk, metadata=new) for chunk in chunks[1:3]]
        expected = [chunks[0], *changed, chunks[3]]
        assert everything(store) == {chunk.id: chunk for chunk in expected}
        best = [hits[0] for hits in search_vectors(store, vectors, 1)]
        assert [hit.chunk for hit in best] == expected
        assert [hit.score for hit in best] == pytest.approx([1.0] * 4, abs=SCORE_TOLERANCE)
        if self.has_keywords:
            assert search_texts(store, ["number 2"], ["en"], 1)[0][0].chunk == expected[2]

    def test_a_reopened_collection_keeps_everything(self, opened: OpenStore) -> None:
        store = opened(fingerprint="one")
        chunks = [replace(make_chunk(i), headings=("A", f"B {i}"), page=None) for i in range(30)]
        vectors, queries = make_vectors(30), make_vectors(4, seed=2)
        store.upsert(chunks, vectors)
        store.delete([chunks[29].id])
        store.set_metadata([chunks[0].id], {"language": "en", "number": -5})
        dense = search_vectors(store, queries, 10)
        lexical = search_words(store, "number 17") if self.has_keywords else []
        store.close()
        store.close()

        again = opened(fingerprint="one")
        assert again.count() == 29
        assert again.count(Comparison("number", "<", 0)) == 1
        assert search_vectors(again, queries, 10) == approximately(dense)
        if self.has_keywords:
            assert lexical
            assert search_words(again, "number 17") == approximately(lexical)
        again.upsert([chunks[29]], vectors[29:])
        assert again.count() == 30

    def test_a_reopened_collection_keeps_the_score_scale(self, opened: OpenStore) -> None:
        chunks, vectors, queries = fifty_chunks()
        with closing(opened()) as store:
            store.upsert(chunks, vectors)
        check_scores(opened(), chunks, vectors, queries)

    def test_another_dimension_is_refused_when_opening(self, opened: OpenStore) -> None:
        with closing(opened()) as store:
            write_chunks(store, 1)
        with pytest.raises(WrongEmbedderError, match="contract"):
            opened(dimension=DIMENSION + 1)
        assert opened().count() == 1

    def test_another_embedder_is_refused_when_opening(self, opened: OpenStore) -> None:
        with closing(opened(fingerprint="one")) as store:
            write_chunks(store, 1)
        with pytest.raises(WrongEmbedderError, match="contract"):
            opened(fingerprint="two")
        assert opened(fingerprint="one").count() == 1

    def test_another_dimension_is_refused_when_writing_and_searching(
        self, store: VectorStore
    ) -> None:
        store.upsert([make_chunk(0)], make_vectors(1))
        with pytest.raises(WrongEmbedderError, match=str(DIMENSION)):
            store.upsert([make_chunk(1)], make_vectors(1, DIMENSION + 1))
        with pytest.raises(WrongEmbedderError, match=str(DIMENSION)):
            search_vectors(store, make_vectors(1, DIMENSION + 1), 1)
        assert store.count() == 1

    def test_collections_of_any_name_are_apart(self, opened: OpenStore) -> None:
        names = ("a", "A", "my-docs", "my_docs", "my docs", "Über uns/2026", "北京", "9 to 5")
        for number, name in enumerate(names):
            with closing(opened(collection=name)) as store:
                assert store.count() == 0, name
                store.upsert([make_chunk(number)], make_vectors(1))
        for number, name in enumerate(names):
            with closing(opened(collection=name)) as store:
                assert list(everything(store)) == [make_chunk(number).id], name

    def test_readers_do_not_disturb_each_other_or_the_writer(self, store: VectorStore) -> None:
        chunks, vectors, queries = fifty_chunks()
        store.upsert(chunks, vectors)
        only_these = Comparison("number", "<", 50)
        expected = search_vectors(store, queries, 10, only_these)
        tasks: list[Callable[[], Any]] = []
        for i in range(12):
            tasks.append(lambda: search_vectors(store, queries, 10, only_these))
            tasks.append(partial(store.upsert, [make_chunk(1000 + i)], make_vectors(1, seed=i)))
            tasks.append(lambda: search_words(store, "number 17") if self.has_keywords else [])
            tasks.append(lambda: store.count(only_these))
        with ThreadPoolExecutor(6) as pool:
            results = [future.result() for future in [pool.submit(task) for task in tasks]]
        for found, _, words, count in zip(*(iter(results),) * 4, strict=True):
            assert found == approximately(expected)
            assert count == 50
            assert not self.has_keywords or words[0].chunk.id == chunks[17].id
        assert store.count() == 62
