"""The part of the contract of collections that is about explanations.

``CollectionContract`` has it; the fixture ``collection`` is described there.
"""

from __future__ import annotations

from typing import Any

import pytest

from kvasir.core.errors import KvasirError

QUESTION = "Who brewed mead of the blood of Kvasir?"


class ExplainingContract:
    """An explanation changes nothing, and accounts for everything."""

    @pytest.mark.parametrize("filters", [None, "topic=tea"])
    def test_an_explained_search_has_the_same_hits_and_the_parts_of_their_scores(
        self, collection: Any, filters: str | None
    ) -> None:
        hits = collection.search(QUESTION, filters=filters)
        found = collection.explain(QUESTION, filters=filters)
        assert list(found.hits) == hits
        search = found.explanation
        for hit, part in zip(hits, search.hits, strict=True):
            assert (part.chunk_id, part.score) == (hit.chunk.id, hit.score)
            words = (1.0 - search.dense_share) * part.scaled_lexical
            assert search.dense_share * part.scaled_dense + words == pytest.approx(hit.score)
        left_out = sum(each.count for each in search.left_out)
        assert search.candidates == len(hits) + left_out
        named = search.filters and (search.filters["field"], search.filters["value"])
        assert named == (filters and ("meta.topic", "tea"))
        with pytest.raises(KvasirError, match="the query is empty"):
            collection.explain(" ")

    def test_an_answer_explains_itself_where_it_is_asked_to(self, collection: Any) -> None:
        plain, why = collection.ask(QUESTION), collection.ask(QUESTION, explain=True)
        assert plain.explanation is None
        assert (why.text, why.hits) == (plain.text, plain.hits)
        explanation = why.explanation
        assert explanation.confidence == pytest.approx(plain.confidence)
        (search,) = explanation.searches
        assert [part.chunk_id for part in search.hits] == [hit.chunk.id for hit in plain.hits]
        with collection.stream(QUESTION, explain=True) as stream:
            assert stream.answer.explanation == explanation
