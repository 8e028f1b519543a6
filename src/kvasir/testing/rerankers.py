"""The contract of every reranker: subclass it and override one fixture.

    class TestMyReranker(RerankerContract):
        @pytest.fixture
        def reranker(self, my_reranker):  # a module-scoped fixture if loading is slow
            return my_reranker

Engines may compute in a different order for each batch, so two scores of one pair need not be
identical: they must differ by less than ``SAME``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kvasir.core.protocols import Reranker
from kvasir.core.types import Chunk, Hit

SAME = 1e-3
"""Difference below which two scores count as equal."""
QUERY = "Who drank the mead?"
TEXTS = (
    "The mead is in the hall.",
    "Odin drank the mead.",
    "Nobody knows.",
    "",
    "渡り鳥は南へ飛ぶ。",
    "🐍 naïve façade — Ægir, Þórr; \u0000 and a nul",
    "row 1 | row 2\n\n\ttabs, newlines\r\n",
    "a longer text that goes on about nothing in particular " * 12,
)


class RerankerContract:
    """What must hold for every reranker; the module docstring shows how to use it."""

    @pytest.fixture
    def reranker(self) -> Reranker:
        raise NotImplementedError("override the fixture 'reranker'")

    def test_nothing_to_rerank_gives_nothing(self, reranker: Reranker) -> None:
        assert reranker.rerank(QUERY, [], 5) == []
        assert reranker.rerank(QUERY, _hits(), 0) == []

    def test_hits_come_best_first_with_scores_from_0_to_1(self, reranker: Reranker) -> None:
        found = reranker.rerank(QUERY, _hits(), len(TEXTS))
        scores = [hit.score for hit in found]
        assert scores == sorted(scores, reverse=True)
        assert all(0.0 <= score <= 1.0 for score in scores)
        assert sorted(hit.chunk.id for hit in found) == [str(n) for n in range(len(TEXTS))]

    def test_scores_depend_on_query_and_text(self, reranker: Reranker) -> None:
        assert len({round(score, 4) for score in _scores(reranker).values()}) > 1
        other = _scores(reranker, query="When does the library open?")
        assert other != pytest.approx(_scores(reranker), abs=SAME)

    def test_only_the_best_are_returned(self, reranker: Reranker) -> None:
        best = reranker.rerank(QUERY, _hits(), 2)
        assert best == reranker.rerank(QUERY, _hits(), len(TEXTS))[:2]

    def test_only_the_score_of_a_hit_is_replaced(self, reranker: Reranker) -> None:
        before = {hit.chunk.id: hit for hit in _hits()}
        for hit in reranker.rerank(QUERY, _hits(), len(TEXTS)):
            assert hit.chunk == before[hit.chunk.id].chunk
            assert (hit.dense_score, hit.lexical_score) == (0.6, 1.5)

    def test_headings_belong_to_the_text(self, reranker: Reranker) -> None:
        text = TEXTS[1]
        plain = Hit(Chunk("1", "d", text, 0, len(text)), 0.5)
        below = Hit(Chunk("1", "d", text, 0, len(text), headings=("Feasts of the gods",)), 0.5)
        first, second = (reranker.rerank(QUERY, [hit], 1)[0].score for hit in (plain, below))
        assert first != second

    def test_a_hit_has_the_same_score_alone_and_among_others(self, reranker: Reranker) -> None:
        alone = {hit.chunk.id: reranker.rerank(QUERY, [hit], 1)[0].score for hit in _hits()}
        assert _scores(reranker) == pytest.approx(alone, abs=SAME)

    def test_scores_do_not_depend_on_the_order_of_the_hits(self, reranker: Reranker) -> None:
        backwards = reranker.rerank(QUERY, _hits()[::-1], len(TEXTS))
        scores = {hit.chunk.id: hit.score for hit in backwards}
        assert scores == pytest.approx(_scores(reranker), abs=SAME)

    def test_texts_beyond_the_models_length_have_a_score(self, reranker: Reranker) -> None:
        long = "mead " * 20_000
        for query, text in ((QUERY, long), (long, TEXTS[1]), (long[:2500], long[:2500])):
            (hit,) = reranker.rerank(query, _hits([text]), 1)
            assert 0.0 <= hit.score <= 1.0

    def test_half_a_surrogate_pair_breaks_nothing(self, reranker: Reranker) -> None:
        (hit,) = reranker.rerank("broken \ud83d query", _hits(["broken \ud83d text"]), 1)
        assert 0.0 <= hit.score <= 1.0

    def test_threads_do_not_disturb_each_other(self, reranker: Reranker) -> None:
        expected = _scores(reranker)
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: _scores(reranker), range(12)))
        for scores in results:
            assert scores == pytest.approx(expected, abs=SAME)


def _hits(texts: list[str] | None = None) -> list[Hit]:
    return [
        Hit(Chunk(str(number), "d", text, 0, len(text), headings=("Mead",)), 0.5, 0.6, 1.5)
        for number, text in enumerate(TEXTS if texts is None else texts)
    ]


def _scores(reranker: Reranker, query: str = QUERY) -> dict[str, float]:
    """Return the score of each of ``TEXTS`` by the number of its hit."""
    return {hit.chunk.id: hit.score for hit in reranker.rerank(query, _hits(), len(TEXTS))}
