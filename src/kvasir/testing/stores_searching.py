"""What must hold for the searches of every store: by vectors, with filters, by keywords."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kvasir.core.filters import Comparison, Filter, Logical, matches
from kvasir.core.protocols import LexicalSearch, VectorStore
from kvasir.core.types import Matrix, Metadata
from kvasir.testing.store_cases import (
    AWKWARD_FIELDS,
    AWKWARD_VALUES,
    LANGUAGE_CASES,
    SCORE_TOLERANCE,
    TYPED_VALUES,
    OpenedStores,
    OpenStore,
    approximately,
    check_filters,
    check_scores,
    fifty_chunks,
    ids_of,
    make_chunk,
    make_vectors,
    search_texts,
    search_vectors,
    search_words,
    write_chunks,
    write_language_chunks,
)


class SearchContract(OpenedStores):
    """What must hold for searches by vectors and for filters."""

    def test_dense_score_is_half_of_one_plus_cosine(self, store: VectorStore) -> None:
        chunks, vectors, queries = fifty_chunks()
        store.upsert(chunks, vectors)
        check_scores(store, chunks, vectors, queries)

    def test_opposite_vectors_score_zero_and_equal_ones_one(self, store: VectorStore) -> None:
        vector = make_vectors(1)
        store.upsert([make_chunk(0), make_chunk(1)], np.concatenate([vector, -vector]))
        hits = search_vectors(store, vector, 2)[0]
        assert [hit.score for hit in hits] == pytest.approx([1.0, 0.0], abs=SCORE_TOLERANCE)
        assert all(0.0 <= hit.score <= 1.0 for hit in hits)

    def test_a_batch_of_queries_answers_like_each_alone(self, store: VectorStore) -> None:
        chunks, vectors, queries = fifty_chunks()
        store.upsert(chunks, vectors)
        together = search_vectors(store, queries, 5)
        alone = [search_vectors(store, query[None], 5)[0] for query in queries]
        assert together == approximately(alone)

    def test_more_results_than_chunks_return_all_chunks(self, store: VectorStore) -> None:
        write_chunks(store, 3)
        assert len(search_vectors(store, make_vectors(1, seed=5), 1000)[0]) == 3
        if self.has_keywords:
            assert len(search_words(store, "chunk", 1000)) == 3

    def test_filters_choose_before_the_best_are_taken(self, store: VectorStore) -> None:
        query = make_vectors(1)
        near = query + 0.001 * make_vectors(400, seed=3)
        vectors = np.concatenate([near, -query]).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        chunks = [make_chunk(i, "common word", {"far": i == 400}) for i in range(401)]
        store.upsert(chunks, vectors)
        far = Comparison("far", "==", True)
        assert ids_of(search_vectors(store, query, 3, far)[0]) == [chunks[400].id]
        if self.has_keywords:
            found = search_texts(store, ["common"], ["en"], 3, far)[0]
            assert ids_of(found) == [chunks[400].id]

    def test_every_operator_on_every_type_of_value(self, store: VectorStore) -> None:
        fields: list[Metadata] = [*({"value": value} for value in TYPED_VALUES), {"other": 1}, {}]
        chunks = [make_chunk(i, metadata=each) for i, each in enumerate(fields)]
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
        conditions: list[tuple[str, Any]] = [("==", ""), ("==", False), ("!=", "x"), ("<", 5)]
        conditions += [(">=", -5), ("in", ("x", 1)), ("not in", ("x", 1))]
        absent = [Comparison("absent", operator, value) for operator, value in conditions]
        check_filters(store, chunks, [*absent, *(Logical("NOT", (f,)) for f in absent)])

    def test_awkward_values_match_only_themselves(self, store: VectorStore) -> None:
        chunks = [make_chunk(i, metadata={"v": value}) for i, value in enumerate(AWKWARD_VALUES)]
        filters: list[Filter] = []
        for value in AWKWARD_VALUES:
            filters += [Comparison("v", operator, value) for operator in ("==", "!=")]
            filters.append(Comparison("v", "in", (value, "absent")))
        filters.append(Comparison("v", "not in", AWKWARD_VALUES[:15]))
        check_filters(store, chunks, filters)

    def test_awkward_field_names_are_fields_like_others(self, store: VectorStore) -> None:
        chunks = [make_chunk(i, metadata={f: i, "n": i}) for i, f in enumerate(AWKWARD_FIELDS)]
        filters = [
            Comparison(field, operator, value)
            for number, field in enumerate(AWKWARD_FIELDS)
            for operator, value in (("==", number), ("!=", number), ("<", 1000))
        ]
        check_filters(store, chunks, filters)

    def test_a_list_matches_by_its_items(self, store: VectorStore) -> None:
        values: list[Any] = [
            ("pump", "oil"), ("oil",), (), "pump", "pump, oil", (1, 5.5, "x"), (3,), 4, (True, "1"),
            ("2024-03-15", "2025-01-01"), (-2, 9), "1",
        ]  # fmt: skip
        chunks = [make_chunk(i, metadata={"tags": value}) for i, value in enumerate(values)]
        filters: list[Filter] = [
            Comparison("tags", operator, value)
            for value in ("pump", "oil", "pump, oil", 1, "1", True, 5.5, "2024-03-15", "absent")
            for operator in ("==", "!=")
        ]
        several: list[Any] = [("pump", 3), ("oil", "x", True), ()]
        filters += [Comparison("tags", o, each) for each in several for o in ("in", "not in")]
        for limit in (-3, 3, 4.5, 9, "2024-06-01", "2024", "2026-01-01T00:00:00Z"):
            filters += [Comparison("tags", operator, limit) for operator in (">", ">=", "<", "<=")]
        check_filters(store, chunks, [*filters, *(Logical("NOT", (each,)) for each in filters)])

    def test_dates_are_compared_as_points_in_time(self, store: VectorStore) -> None:
        values: list[Any] = [
            "2019-05-01", "2024-03-14", "2024-03-15", "2024-03-15T08:30:00",
            "2024-03-15T08:30:00Z", "2024-03-15T09:30:00+01:00", "2024-03-15T23:30:00-02:00",
            "2024-03-15 12:00", "2024-12-31", "2025-01-01", "2024-02-30", "on 2024-03-15", 2024,
            20240315, "2024", True, "9999-12-31", "0001-01-01",
        ]  # fmt: skip
        chunks = [make_chunk(i, metadata={"date": value}) for i, value in enumerate(values)]
        chunks.append(make_chunk(len(values), metadata={}))
        limits: list[Any] = [
            "2024-03-15", "2024-03", "2024", "2024-12", "9999", "2024-03-15T08:30:00Z",
            "2024-03-15T08:30:00+01:00", "0001-01-01", 2024,
        ]  # fmt: skip
        orderings = (">", ">=", "<", "<=")
        filters: list[Filter] = [Comparison("date", o, each) for each in limits for o in orderings]
        for equal in (
            "2024-03-15",
            "2024-03-15T08:30:00+00:00",
            "2024-03-16",
            "2024-02-30",
            "2024",
        ):
            filters += [Comparison("date", operator, equal) for operator in ("==", "!=")]
        filters.append(Comparison("date", "in", ("2024-03-14", "2024-03-16", 2024)))
        check_filters(
            store, chunks, [*filters, *(Logical("NOT", (each,)) for each in filters[::3])]
        )

    def test_a_folder_has_all_sources_under_it(self, store: VectorStore) -> None:
        uris = [
            "/home/ana/notes/a.md", "/home/ana/notes/old/b.md", "/home/ana/notes.md", "/c.md",
            "https://example.org/docs/a", "upload:ana/a b,c.md", "C:\\notes\\a.md", "notes/a.md",
        ]  # fmt: skip
        chunks = [make_chunk(i, metadata={"source_uri": uri}) for i, uri in enumerate(uris)]
        folders = [
            "/home/ana/notes/", "/home/ana/", "/", "https://example.org/", "upload:ana/",
            "C:\\notes\\", "notes/", "/home/ana/note/",
        ]  # fmt: skip
        under = [Comparison("source_uri", "under", folder) for folder in folders]
        check_filters(store, chunks, [*under, *(Logical("NOT", (each,)) for each in under)])

    def test_one_comparison_may_have_five_hundred_values(self, store: VectorStore) -> None:
        chunks = [make_chunk(i, metadata={"source_uri": f"/n/{i}.md"}) for i in range(20)]
        uris = tuple(f"/n/{i}.md" for i in range(10, 510))
        filters = [Comparison("source_uri", operator, uris) for operator in ("in", "not in")]
        check_filters(store, chunks, filters)

    def test_conditions_nest_to_any_depth(self, store: VectorStore) -> None:
        chunks = [
            make_chunk(i, metadata={"n": i, "kind": kind, "even": i % 2 == 0} if i % 5 else {})
            for i, kind in enumerate(["a", "b", "c"] * 8)
        ]
        a, b = Comparison("kind", "==", "a"), Comparison("kind", "==", "b")
        even, low = Comparison("even", "==", True), Comparison("n", "<", 12)
        not_c = Comparison("kind", "!=", "c")

        def every(*conditions: Filter) -> Filter:
            return Logical("AND", conditions)

        def some(*conditions: Filter) -> Filter:
            return Logical("OR", conditions)

        def no(*conditions: Filter) -> Filter:
            return Logical("NOT", conditions)

        inner = some(every(a, even), every(b, no(even)))
        simple = [every(a, even), some(a, b), no(a), no(a, even), every(a), some(b), every(a, b)]
        nested = [no(no(a)), no(some(a, low)), no(every(a, low, not_c)), every(inner, low, not_c)]
        nested += [no(inner, low), every(no(inner), some(low, not_c))]
        check_filters(store, chunks, simple + nested)


class KeywordContract(OpenedStores):
    """What must hold for a store with a keyword index."""

    @pytest.fixture(autouse=True)
    def _needs_keywords(self, request: pytest.FixtureRequest) -> None:
        own = getattr(KeywordContract, request.function.__name__, None)
        if own is not None and not self.has_keywords:
            pytest.skip("this store is not expected to have a keyword index")

    def test_both_legs_are_joined_with_the_scores_of_each(self, store: VectorStore) -> None:
        assert isinstance(store, LexicalSearch)
        chunks, vectors, queries = fifty_chunks()
        store.upsert(chunks, vectors)
        only, texts = Comparison("number", "<", 30), ["number 17", "nothing known", "chunk"]
        pending: Future[Matrix] = Future()
        pending.set_result(queries[:3])
        for given in (queries[:3], pending):
            found = store.search_hybrid(given, texts, ["en"] * 3, 5, only)
            near = store.search(queries[:3], 5, only)
            words = search_texts(store, texts, ["en"] * 3, 5, only)
            for row, query in enumerate(queries[:3]):
                scores = {c.chunk_id: c.dense_score for c in found[row]}
                assert len(scores) == len(found[row])
                assert set(scores) == {c.chunk_id for c in near[row]} | set(ids_of(words[row]))
                for chunk, vector in zip(chunks, vectors, strict=True):
                    if chunk.id in scores:
                        cosine = float(query @ vector)
                        assert scores[chunk.id] == pytest.approx((1 + cosine) / 2, abs=1e-3)
                lexical = {c.chunk_id: c.lexical_score for c in found[row] if c.lexical_score}
                expected = {hit.chunk.id: hit.lexical_score for hit in words[row]}
                assert lexical == pytest.approx(expected)

    def test_keywords_are_found_in_every_language(self, store: VectorStore) -> None:
        chunks = write_language_chunks(store)
        codes, _, queries = zip(*LANGUAGE_CASES, strict=True)
        found = search_texts(store, queries, codes, 3)
        for hits, query, chunk in zip(found, queries, chunks, strict=True):
            assert hits, query
            assert hits[0].chunk == chunk, query

    def test_keywords_survive_reopening(self, opened: OpenStore) -> None:
        store = opened()
        chunks = write_language_chunks(store)
        store.close()
        again = opened()
        for (code, _, query), chunk in zip(LANGUAGE_CASES, chunks, strict=True):
            assert search_texts(again, [query], [code], 1)[0][0].chunk == chunk, query

    def test_lexical_scores_fall_from_one(self, store: VectorStore) -> None:
        texts = ["owl", "owl owl owl nest", "an owl and a nest and a tree", "tree", "nothing here"]
        store.upsert([make_chunk(i, t) for i, t in enumerate(texts)], make_vectors(5))
        hits = search_texts(store, ["owl nest"], ["en"], 10)[0]
        raw = [hit.lexical_score or 0.0 for hit in hits]
        assert len(hits) == 3
        assert hits[0].score == pytest.approx(1.0)
        assert raw == sorted(raw, reverse=True)
        assert all(score > 0 for score in raw)
        assert [hit.score for hit in hits] == pytest.approx([r / raw[0] for r in raw])
        assert all(0.0 <= (hit.dense_score or -1.0) <= 1.0 for hit in hits)

    def test_rare_words_count_more_than_common_ones(self, store: VectorStore) -> None:
        texts = [f"apple number {i}" for i in range(30)] + ["quince number 30"]
        store.upsert([make_chunk(i, t) for i, t in enumerate(texts)], make_vectors(31))
        assert search_texts(store, ["apple quince"], ["en"], 1)[0][0].chunk.text == texts[30]

    def test_questions_without_known_words_find_nothing(self, store: VectorStore) -> None:
        write_chunks(store, 3)
        queries = ["", "   ", "?!", "the of and", "xylophone", "北京", "' OR 9=9 --"]
        found = search_texts(store, queries, ["en"] * len(queries), 5)
        assert found == [[] for _ in queries]
        assert search_texts(store, [], [], 5) == []

    def test_headings_are_found_by_keyword(self, store: VectorStore) -> None:
        chunk = replace(make_chunk(0, "Nothing of it here."), headings=("Zeppelins", "Hangars"))
        store.upsert([chunk, make_chunk(1)], make_vectors(2))
        assert ids_of(search_texts(store, ["zeppelin"], ["en"], 5)[0]) == [chunk.id]

    def test_replaced_text_is_no_longer_found(self, store: VectorStore) -> None:
        vectors = make_vectors(2)
        store.upsert([make_chunk(0, "old falcon"), make_chunk(1, "heron")], vectors)
        store.upsert([make_chunk(0, "new pigeon")], vectors[:1])
        assert search_texts(store, ["falcon"], ["en"], 5) == [[]]
        assert ids_of(search_texts(store, ["pigeon"], ["en"], 5)[0]) == [make_chunk(0).id]

    def test_filters_hold_in_keyword_search(self, store: VectorStore) -> None:
        chunks = [
            make_chunk(i, f"owl {i}", {"value": value, "language": "en"})
            for i, value in enumerate((*AWKWARD_VALUES[:-2], *TYPED_VALUES))
        ]
        store.upsert(chunks, make_vectors(len(chunks)))
        for value in ("it's", "", "北京大学", 'say "hello"', 1, True, "1", "true", 1.5):
            for operator in ("==", "!="):
                condition = Comparison("value", operator, value)
                found = search_texts(store, ["owl"], ["en"], 100, condition)[0]
                expected = {c.id for c in chunks if matches(condition, c.metadata)}
                assert set(ids_of(found)) == expected, condition
