"""The contract of every vector store: subclass it and override one fixture.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def open_store(self, tmp_path, analyzer):
            def open_store(dimension=8, fingerprint="", collection="contract"):
                return MyStore(str(tmp_path), collection, dimension, analyzer, fingerprint)

            return open_store

``open_store`` is called several times in a test: a second call reopens what the first one
wrote. The suite closes every store that it opens. Tests of the keyword index run where the
store is a ``LexicalSearch``; the oracle of all filters is ``core.filters.matches``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cache, partial
from typing import Any, Protocol, cast

import numpy as np
import pytest

from kvasir.core import registry
from kvasir.core.errors import CollectionError
from kvasir.core.filters import Comparison, Filter, Logical, matches
from kvasir.core.protocols import Droppable, LexicalSearch, TextAnalyzer, VectorStore
from kvasir.core.types import Metadata
from kvasir.testing.store_cases import (
    AWKWARD_FIELDS,
    AWKWARD_VALUES,
    DIMENSION,
    LANGUAGE_QUERIES,
    SCORE_TOLERANCE,
    TYPED_VALUES,
    approximately,
    check_filters,
    check_scores,
    everything,
    fifty_chunks,
    ids_of,
    make_chunk,
    make_vectors,
    search_words,
    vectors_by_id,
    write_language_chunks,
)


class OpenStore(Protocol):
    """Opens a store, or opens it again; what it keeps lives at one place for each test."""

    def __call__(
        self, dimension: int = DIMENSION, fingerprint: str = "", collection: str = "contract"
    ) -> VectorStore:
        """Returns the opened store."""


@cache
def _bm25() -> TextAnalyzer:
    """Return the one analyzer of all tests: nothing changes it, and its models are costly."""
    return cast(TextAnalyzer, registry.build("analyzers", "bm25", {}))


class StoreContract:
    """What must hold for every store; see the module on how to use it."""

    @pytest.fixture
    def analyzer(self) -> TextAnalyzer:
        """The analyzer of the keyword leg; stores hand it every text they index."""
        return _bm25()

    @pytest.fixture
    def open_store(self) -> OpenStore:
        """Override this one."""
        raise NotImplementedError("override the fixture open_store in your test class")

    @pytest.fixture
    def opened(self, open_store: OpenStore) -> Iterator[OpenStore]:
        """As ``open_store``, and closes the stores at the end."""
        with ExitStack() as stack:

            def opened(
                dimension: int = DIMENSION, fingerprint: str = "", collection: str = "contract"
            ) -> VectorStore:
                return stack.enter_context(closing(open_store(dimension, fingerprint, collection)))

            yield opened

    @pytest.fixture
    def store(self, opened: OpenStore) -> VectorStore:
        """A new, empty store."""
        return opened()

    @pytest.fixture
    def lexical(self, store: VectorStore) -> LexicalSearch:
        """The store's keyword index."""
        if not isinstance(store, LexicalSearch):
            pytest.skip("this store has no keyword index")
        return store

    # --- writing and reading -----------------------------------------------------------

    def test_a_dropped_collection_can_be_made_anew_for_another_embedder(
        self, opened: OpenStore
    ) -> None:
        chunks, vectors, _ = fifty_chunks()
        with closing(opened(collection="beside")) as beside:
            beside.upsert(chunks[:3], vectors[:3])
        store = opened(fingerprint="one")
        if not isinstance(store, Droppable):
            pytest.skip("the store cannot drop a collection")
        store.upsert(chunks, vectors)
        store.drop()
        anew = opened(dimension=DIMENSION + 4, fingerprint="two")
        assert (anew.count(), list(anew.scroll())) == (0, [])
        if isinstance(anew, LexicalSearch):
            assert anew.search_lexical([chunks[0].text], ["en"], 3) == [[]]
        anew.close()
        assert opened(collection="beside").count() == 3

    def test_an_empty_collection_counts_zero_and_finds_nothing(self, store: VectorStore) -> None:
        a_filter = Comparison("language", "==", "en")
        assert store.dimension == DIMENSION
        assert store.count() == 0
        assert store.count(a_filter) == 0
        assert everything(store) == {}
        assert store.fetch([make_chunk(1).id]) == []
        assert store.search_dense(make_vectors(2), 5) == [[], []]
        assert store.search_dense(make_vectors(2), 5, a_filter) == [[], []]
        store.delete([make_chunk(1).id])
        store.set_metadata([make_chunk(1).id], {"a": 1})
        assert store.count() == 0

    def test_nothing_to_do_is_no_error(self, store: VectorStore) -> None:
        store.upsert([], np.zeros((0, DIMENSION), dtype=np.float32))
        store.delete([])
        store.set_metadata([], {"a": 1})
        assert store.fetch([]) == []
        assert store.search_dense(np.zeros((0, DIMENSION), dtype=np.float32), 3) == []

    @pytest.mark.parametrize("top_k", [0, -1])
    def test_less_than_one_result_is_none(self, store: VectorStore, top_k: int) -> None:
        store.upsert([make_chunk(0, "owl"), make_chunk(1, "owl nest")], make_vectors(2))
        assert store.search_dense(make_vectors(2), top_k) == [[], []]
        if isinstance(store, LexicalSearch):
            assert store.search_lexical(["owl", "nest"], ["en", "en"], top_k) == [[], []]

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
        found = store.search_dense(make_vectors(len(chunks)), 1)
        assert [hits[0].chunk for hits in found] == chunks
        assert isinstance(found[2][0].chunk.headings, tuple)

    def test_long_texts_come_back_whole(self, store: VectorStore) -> None:
        texts = ["word and " * 11_112, "語" * 100_000, "🦉" * 40_000]
        chunks = [make_chunk(i, text) for i, text in enumerate(texts)]
        store.upsert(chunks, make_vectors(3))
        assert everything(store) == {chunk.id: chunk for chunk in chunks}

    def test_vectors_come_back_as_written(self, store: VectorStore) -> None:
        chunks, vectors = [make_chunk(i) for i in range(5)], make_vectors(5)
        store.upsert(chunks, vectors)
        fetched = vectors_by_id(store.fetch([chunk.id for chunk in chunks]))
        scrolled = vectors_by_id([pair for batch in store.scroll() for pair in batch])
        for chunk, vector in zip(chunks, vectors, strict=True):
            for read in (fetched[chunk.id], scrolled[chunk.id]):
                assert read.dtype == np.float32
                np.testing.assert_allclose(read, vector, atol=1e-5)

    def test_fetch_returns_the_known_ids(self, store: VectorStore) -> None:
        chunks = [make_chunk(i) for i in range(4)]
        store.upsert(chunks, make_vectors(4))
        fetched = store.fetch([chunks[3].id, make_chunk(99).id, chunks[1].id])
        assert {chunk.id: chunk for chunk, _ in fetched} == {
            c.id: c for c in (chunks[3], chunks[1])
        }
        assert len(fetched) == 2

    def test_writing_twice_changes_nothing(self, store: VectorStore) -> None:
        chunks, vectors = [make_chunk(i) for i in range(20)], make_vectors(20)
        store.upsert(chunks, vectors)
        before = [ids_of(hits) for hits in store.search_dense(vectors[:3], 20)]
        store.upsert(chunks, vectors)
        assert store.count() == 20
        assert sum(len(batch) for batch in store.scroll()) == 20
        assert [ids_of(hits) for hits in store.search_dense(vectors[:3], 20)] == before

    def test_the_same_id_replaces_text_metadata_and_vector(self, store: VectorStore) -> None:
        vectors = make_vectors(3)
        store.upsert([make_chunk(0), make_chunk(1)], vectors[:2])
        new = make_chunk(0, "replaced", {"other": 1})
        store.upsert([new], vectors[2:])
        assert store.count() == 2
        best = store.search_dense(vectors[2:], 1)[0][0]
        assert best.chunk == new
        assert best.score == pytest.approx(1.0, abs=SCORE_TOLERANCE)
        assert store.count(Comparison("number", "==", 0)) == 0
        assert store.count(Comparison("number", ">=", 0)) == 1
        assert store.count(Comparison("other", ">", 0)) == 1

    def test_of_one_id_twice_in_a_batch_the_last_counts(self, store: VectorStore) -> None:
        first, last = make_chunk(0, "first"), make_chunk(0, "last")
        vectors = make_vectors(3)
        store.upsert([first, make_chunk(1), last], vectors)
        assert store.count() == 2
        assert store.search_dense(vectors[2:], 1)[0][0].chunk == last

    def test_deleted_chunks_are_found_by_nothing(self, store: VectorStore) -> None:
        chunks, vectors = [make_chunk(i) for i in range(10)], make_vectors(10)
        store.upsert(chunks, vectors)
        store.delete([chunks[2].id, make_chunk(999).id, chunks[5].id, chunks[2].id])
        left = {chunk.id for chunk in chunks} - {chunks[2].id, chunks[5].id}
        assert store.count() == 8
        assert set(everything(store)) == left
        assert set(ids_of(store.search_dense(vectors[2:3], 100)[0])) == left
        assert store.fetch([chunks[2].id]) == []
        if isinstance(store, LexicalSearch):
            assert set(ids_of(store.search_lexical(["chunk"], ["en"], 100)[0])) == left

    def test_thousands_of_chunks_go_in_and_out_at_once(self, store: VectorStore) -> None:
        # More than any store writes (500) or reads (2,000) in one request.
        chunks, vectors = [make_chunk(i) for i in range(2_400)], make_vectors(2_400)
        ids = [chunk.id for chunk in chunks]
        unknown = [make_chunk(i).id for i in range(2_400, 6_000)]
        store.upsert(chunks, vectors)
        assert store.count() == 2_400
        assert set(everything(store)) == set(ids)
        assert {chunk.id for chunk, _ in store.fetch(ids + unknown)} == set(ids)
        store.delete(ids[1:] + unknown)
        assert store.count() == 1

    def test_scrolling_yields_everything_once(self, store: VectorStore) -> None:
        chunks = [make_chunk(i) for i in range(25)]
        store.upsert(chunks, make_vectors(25))
        for batch_size in (1, 10, 25, 1000):
            batches = list(store.scroll(batch_size=batch_size))
            assert all(0 < len(batch) <= batch_size for batch in batches)
            assert sorted(c.id for batch in batches for c, _ in batch) == sorted(
                chunk.id for chunk in chunks
            )
        some = [c for b in store.scroll(Comparison("number", "<", 7), 3) for c, _ in b]
        assert sorted(c.id for c in some) == sorted(chunk.id for chunk in chunks[:7])

    def test_metadata_are_replaced_without_touching_the_rest(self, store: VectorStore) -> None:
        chunks, vectors = [make_chunk(i) for i in range(4)], make_vectors(4)
        store.upsert(chunks, vectors)
        new: Metadata = {"language": "en", "título": 'it\'s "new"', "year": 2026, "final": True}
        store.set_metadata([chunks[1].id, chunks[2].id, make_chunk(99).id], new)
        assert store.count() == 4
        assert store.count(Comparison("year", "==", 2026)) == 2
        assert store.count(Comparison("number", ">=", 0)) == 2
        expected = [
            chunks[0],
            replace(chunks[1], metadata=new),
            replace(chunks[2], metadata=new),
            chunks[3],
        ]
        assert everything(store) == {chunk.id: chunk for chunk in expected}
        best = [hits[0] for hits in store.search_dense(vectors, 1)]
        assert [hit.chunk for hit in best] == expected
        assert [hit.score for hit in best] == pytest.approx([1.0] * 4, abs=SCORE_TOLERANCE)
        if isinstance(store, LexicalSearch):
            assert store.search_lexical(["number 2"], ["en"], 1)[0][0].chunk == expected[2]

    # --- opening -----------------------------------------------------------------------

    def test_a_reopened_collection_keeps_everything(self, opened: OpenStore) -> None:
        store = opened(fingerprint="one")
        chunks = [replace(make_chunk(i), headings=("A", f"B {i}"), page=None) for i in range(30)]
        vectors, queries = make_vectors(30), make_vectors(4, seed=2)
        store.upsert(chunks, vectors)
        store.delete([chunks[29].id])
        store.set_metadata([chunks[0].id], {"language": "en", "number": -5})
        dense = store.search_dense(queries, 10)
        lexical = search_words(store, "number 17")
        store.close()
        store.close()

        again = opened(fingerprint="one")
        assert again.count() == 29
        assert again.count(Comparison("number", "<", 0)) == 1
        assert again.search_dense(queries, 10) == approximately(dense)
        assert search_words(again, "number 17") == approximately(lexical)
        again.upsert([chunks[29]], vectors[29:])
        assert again.count() == 30

    def test_a_reopened_collection_keeps_the_score_scale(self, opened: OpenStore) -> None:
        chunks, vectors, queries = fifty_chunks()
        store = opened()
        store.upsert(chunks, vectors)
        store.close()
        check_scores(opened(), chunks, vectors, queries)

    def test_another_dimension_is_refused_when_opening(self, opened: OpenStore) -> None:
        store = opened()
        store.upsert([make_chunk(0)], make_vectors(1))
        store.close()
        with pytest.raises(CollectionError, match="contract"):
            opened(dimension=DIMENSION + 1)
        assert opened().count() == 1

    def test_another_embedder_is_refused_when_opening(self, opened: OpenStore) -> None:
        store = opened(fingerprint="one")
        store.upsert([make_chunk(0)], make_vectors(1))
        store.close()
        with pytest.raises(CollectionError, match="contract"):
            opened(fingerprint="two")
        assert opened(fingerprint="one").count() == 1

    def test_another_dimension_is_refused_when_writing_and_searching(
        self, store: VectorStore
    ) -> None:
        store.upsert([make_chunk(0)], make_vectors(1))
        with pytest.raises(CollectionError, match=str(DIMENSION)):
            store.upsert([make_chunk(1)], make_vectors(1, DIMENSION + 1))
        with pytest.raises(CollectionError, match=str(DIMENSION)):
            store.search_dense(make_vectors(1, DIMENSION + 1), 1)
        assert store.count() == 1

    def test_collections_of_any_name_are_apart(self, opened: OpenStore) -> None:
        names = ("a", "A", "my-docs", "my_docs", "my docs", "Über uns/2026", "北京", "9 to 5")
        for number, name in enumerate(names):
            store = opened(collection=name)
            assert store.count() == 0, name
            store.upsert([make_chunk(number)], make_vectors(1))
            store.close()
        for number, name in enumerate(names):
            store = opened(collection=name)
            assert list(everything(store)) == [make_chunk(number).id], name
            store.close()

    # --- dense search ------------------------------------------------------------------

    def test_dense_score_is_half_of_one_plus_cosine(self, store: VectorStore) -> None:
        chunks, vectors, queries = fifty_chunks()
        store.upsert(chunks, vectors)
        check_scores(store, chunks, vectors, queries)

    def test_opposite_vectors_score_zero_and_equal_ones_one(self, store: VectorStore) -> None:
        vector = make_vectors(1)
        store.upsert([make_chunk(0), make_chunk(1)], np.concatenate([vector, -vector]))
        hits = store.search_dense(vector, 2)[0]
        assert [hit.score for hit in hits] == pytest.approx([1.0, 0.0], abs=SCORE_TOLERANCE)
        assert all(0.0 <= hit.score <= 1.0 for hit in hits)

    def test_a_batch_of_queries_answers_like_each_alone(self, store: VectorStore) -> None:
        chunks, vectors, queries = fifty_chunks()
        store.upsert(chunks, vectors)
        together = store.search_dense(queries, 5)
        alone = [store.search_dense(query[None], 5)[0] for query in queries]
        assert together == approximately(alone)

    def test_more_results_than_chunks_return_all_chunks(self, store: VectorStore) -> None:
        chunks = [make_chunk(i) for i in range(3)]
        store.upsert(chunks, make_vectors(3))
        assert len(store.search_dense(make_vectors(1, seed=5), 1000)[0]) == 3
        assert len(search_words(store, "chunk", 1000)) in (0, 3)

    def test_filters_choose_before_the_best_are_taken(self, store: VectorStore) -> None:
        query = make_vectors(1)
        near = query + 0.001 * make_vectors(400, seed=3)
        vectors = np.concatenate([near, -query]).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        chunks = [make_chunk(i, "common word", {"far": i == 400}) for i in range(401)]
        store.upsert(chunks, vectors)
        far = Comparison("far", "==", True)
        assert ids_of(store.search_dense(query, 3, far)[0]) == [chunks[400].id]
        if isinstance(store, LexicalSearch):
            found = store.search_lexical(["common"], ["en"], 3, far)[0]
            assert ids_of(found) == [chunks[400].id]

    # --- filters -----------------------------------------------------------------------

    def test_every_operator_on_every_type_of_value(self, store: VectorStore) -> None:
        chunks = [make_chunk(i, metadata={"value": v}) for i, v in enumerate(TYPED_VALUES)]
        chunks.append(make_chunk(100, metadata={"other": 1}))
        chunks.append(make_chunk(101, metadata={}))
        filters: list[Filter] = []
        for value in TYPED_VALUES:
            filters += [Comparison("value", op, value) for op in ("==", "!=")]
            filters += [Comparison("value", op, (value,)) for op in ("in", "not in")]
            if not isinstance(value, (str, bool)):
                filters += [Comparison("value", op, value) for op in (">", ">=", "<", "<=")]
        for values in ((), (1, "1"), (True, 2.0, "one"), (False, 0), ("absent", 77), TYPED_VALUES):
            filters += [Comparison("value", op, values) for op in ("in", "not in")]
        check_filters(store, chunks, filters)

    def test_missing_fields_equal_nothing(self, store: VectorStore) -> None:
        chunks = [make_chunk(i) for i in range(3)]
        absent: list[Filter] = [
            Comparison("absent", "==", ""),
            Comparison("absent", "==", False),
            Comparison("absent", "!=", "x"),
            Comparison("absent", "<", 5),
            Comparison("absent", ">=", -5),
            Comparison("absent", "in", ("x", 1)),
            Comparison("absent", "not in", ("x", 1)),
        ]
        check_filters(store, chunks, [*absent, *(Logical("NOT", (f,)) for f in absent)])

    def test_awkward_values_match_only_themselves(self, store: VectorStore) -> None:
        chunks = [make_chunk(i, metadata={"v": value}) for i, value in enumerate(AWKWARD_VALUES)]
        filters: list[Filter] = []
        for value in AWKWARD_VALUES:
            filters.append(Comparison("v", "==", value))
            filters.append(Comparison("v", "!=", value))
            filters.append(Comparison("v", "in", (value, "absent")))
        filters.append(Comparison("v", "not in", AWKWARD_VALUES[:15]))
        check_filters(store, chunks, filters)

    def test_awkward_field_names_are_fields_like_others(self, store: VectorStore) -> None:
        chunks = [make_chunk(i, metadata={f: i, "n": i}) for i, f in enumerate(AWKWARD_FIELDS)]
        filters: list[Filter] = []
        for number, field in enumerate(AWKWARD_FIELDS):
            filters.append(Comparison(field, "==", number))
            filters.append(Comparison(field, "!=", number))
            filters.append(Comparison(field, "<", 1000))
        check_filters(store, chunks, filters)

    def test_conditions_nest_to_any_depth(self, store: VectorStore) -> None:
        chunks = [
            make_chunk(i, metadata={"n": i, "kind": kind, "even": i % 2 == 0} if i % 5 else {})
            for i, kind in enumerate(["a", "b", "c"] * 8)
        ]
        a, b = Comparison("kind", "==", "a"), Comparison("kind", "==", "b")
        even, low = Comparison("even", "==", True), Comparison("n", "<", 12)
        not_c = Comparison("kind", "!=", "c")
        inner = Logical(
            "OR", (Logical("AND", (a, even)), Logical("AND", (b, Logical("NOT", (even,)))))
        )
        filters: list[Filter] = [
            Logical("AND", (a, even)),
            Logical("OR", (a, b)),
            Logical("NOT", (a,)),
            Logical("NOT", (a, even)),
            Logical("NOT", (Logical("NOT", (a,)),)),
            Logical("NOT", (Logical("OR", (a, low)),)),
            Logical("NOT", (Logical("AND", (a, low, not_c)),)),
            Logical("AND", (inner, low, not_c)),
            Logical("NOT", (inner, low)),
            Logical("AND", (Logical("NOT", (inner,)), Logical("OR", (low, not_c)))),
            Logical("AND", (a,)),
            Logical("OR", (b,)),
            Logical("AND", (a, b)),
        ]
        check_filters(store, chunks, filters)

    # --- the keyword index -------------------------------------------------------------

    def test_keywords_are_found_in_every_language(
        self, store: VectorStore, lexical: LexicalSearch
    ) -> None:
        chunks = write_language_chunks(store)
        queries = [query for _, query, _ in LANGUAGE_QUERIES]
        found = lexical.search_lexical(queries, [code for code, _, _ in LANGUAGE_QUERIES], 3)
        for hits, (code, query, expected) in zip(found, LANGUAGE_QUERIES, strict=True):
            assert hits, query
            assert hits[0].chunk == chunks[code][expected], query

    def test_keywords_survive_reopening(self, opened: OpenStore) -> None:
        store = opened()
        chunks = write_language_chunks(store)
        store.close()
        again = opened()
        if not isinstance(again, LexicalSearch):
            pytest.skip("this store has no keyword index")
        for code, query, expected in LANGUAGE_QUERIES:
            hits = again.search_lexical([query], [code], 1)[0]
            assert hits[0].chunk == chunks[code][expected], query

    def test_lexical_scores_fall_from_one(self, store: VectorStore, lexical: LexicalSearch) -> None:
        texts = ["owl", "owl owl owl nest", "an owl and a nest and a tree", "tree", "nothing here"]
        store.upsert([make_chunk(i, t) for i, t in enumerate(texts)], make_vectors(5))
        hits = lexical.search_lexical(["owl nest"], ["en"], 10)[0]
        raw = [hit.lexical_score or 0.0 for hit in hits]
        assert len(hits) == 3
        assert hits[0].score == pytest.approx(1.0)
        assert raw == sorted(raw, reverse=True)
        assert all(score > 0 for score in raw)
        assert [hit.score for hit in hits] == pytest.approx([r / raw[0] for r in raw])
        assert all(hit.dense_score is None for hit in hits)

    def test_rare_words_count_more_than_common_ones(
        self, store: VectorStore, lexical: LexicalSearch
    ) -> None:
        texts = [f"apple number {i}" for i in range(30)] + ["quince number 30"]
        store.upsert([make_chunk(i, t) for i, t in enumerate(texts)], make_vectors(31))
        assert lexical.search_lexical(["apple quince"], ["en"], 1)[0][0].chunk.text == texts[30]

    def test_questions_without_known_words_find_nothing(
        self, store: VectorStore, lexical: LexicalSearch
    ) -> None:
        store.upsert([make_chunk(i) for i in range(3)], make_vectors(3))
        queries = ["", "   ", "?!", "the of and", "xylophone", "北京", "' OR 9=9 --"]
        found = lexical.search_lexical(queries, ["en"] * len(queries), 5)
        assert found == [[] for _ in queries]
        assert lexical.search_lexical([], [], 5) == []

    def test_headings_are_found_by_keyword(
        self, store: VectorStore, lexical: LexicalSearch
    ) -> None:
        chunk = replace(make_chunk(0, "Nothing of it here."), headings=("Zeppelins", "Hangars"))
        store.upsert([chunk, make_chunk(1)], make_vectors(2))
        assert ids_of(lexical.search_lexical(["zeppelin"], ["en"], 5)[0]) == [chunk.id]

    def test_replaced_text_is_no_longer_found(
        self, store: VectorStore, lexical: LexicalSearch
    ) -> None:
        vectors = make_vectors(2)
        store.upsert([make_chunk(0, "old falcon"), make_chunk(1, "heron")], vectors)
        store.upsert([make_chunk(0, "new pigeon")], vectors[:1])
        assert lexical.search_lexical(["falcon"], ["en"], 5) == [[]]
        assert ids_of(lexical.search_lexical(["pigeon"], ["en"], 5)[0]) == [make_chunk(0).id]

    def test_filters_hold_in_keyword_search(
        self, store: VectorStore, lexical: LexicalSearch
    ) -> None:
        chunks = [
            make_chunk(i, f"owl {i}", {"value": value, "language": "en"})
            for i, value in enumerate((*AWKWARD_VALUES[:-2], *TYPED_VALUES))
        ]
        store.upsert(chunks, make_vectors(len(chunks)))
        for value in ("it's", "", "北京大学", 'say "hello"', 1, True, "1", "true", 1.5):
            for operator in ("==", "!="):
                condition = Comparison("value", operator, value)
                found = lexical.search_lexical(["owl"], ["en"], 100, condition)[0]
                expected = {c.id for c in chunks if matches(condition, c.metadata)}
                assert set(ids_of(found)) == expected, condition

    # --- several at once ---------------------------------------------------------------

    def test_readers_do_not_disturb_each_other_or_the_writer(self, store: VectorStore) -> None:
        chunks, vectors, queries = fifty_chunks()
        store.upsert(chunks, vectors)
        only_these = Comparison("number", "<", 50)
        expected = store.search_dense(queries, 10, only_these)
        tasks: list[Callable[[], Any]] = []
        for i in range(12):
            tasks.append(lambda: store.search_dense(queries, 10, only_these))
            tasks.append(partial(store.upsert, [make_chunk(1000 + i)], make_vectors(1, seed=i)))
            tasks.append(lambda: search_words(store, "number 17"))
            tasks.append(lambda: store.count(only_these))
        with ThreadPoolExecutor(6) as pool:
            results = [future.result() for future in [pool.submit(task) for task in tasks]]
        for found, _, words, count in zip(*(iter(results),) * 4, strict=True):
            assert found == approximately(expected)
            assert count == 50
            assert not words or words[0].chunk.id == chunks[17].id
        assert store.count() == 62
