"""The contract of every embedder: subclass it and override one fixture.

    class TestMyEmbedder(EmbedderContract):
        @pytest.fixture
        def embedder(self, my_embedder):  # a module-scoped fixture if loading is slow
            return my_embedder

Engines may compute in reduced precision, and in a different order for each batch. So two vectors of
one text need not be identical: their cosine must be above ``SAME``.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kvasir.core.protocols import BackgroundEmbedder, Embedder, TokenCounter
from kvasir.core.types import Matrix

SAME = 0.999
"""Cosine above which two vectors count as equal."""

TEXTS = (
    "Kvasir was so wise that nobody could ask him a question he could not answer.",
    "The dwarfs Fjalar and Galar made mead of his blood.",
    "No",
    "¿Dónde está la biblioteca de la universidad?",
    "Thư viện mở cửa lúc tám giờ sáng.",
    "图书馆早上八点开门。",
    "🐍 naïve façade — Ægir, Þórr; \u0000 and a nul",
    "row 1 | row 2\n\n\ttabs, newlines\r\n",
    "a longer text that goes on about nothing in particular " * 12,
)
Embed = Callable[[list[str]], Matrix]
"""``embed_documents`` or ``embed_queries``."""


class EmbedderContract:
    """What must hold for every embedder; the module docstring shows how to use it."""

    @pytest.fixture
    def embedder(self) -> Embedder:
        raise NotImplementedError("override the fixture 'embedder'")

    @pytest.fixture(params=["documents", "queries"])
    def embed(self, embedder: Embedder, request: pytest.FixtureRequest) -> Embed:
        """Return ``embed_documents``, or ``embed_queries``; each test runs with both."""
        documents = request.param == "documents"
        return embedder.embed_documents if documents else embedder.embed_queries

    def test_name_dimension_and_languages_are_valid(self, embedder: Embedder) -> None:
        for text in (embedder.name, embedder.fingerprint):
            assert isinstance(text, str)
            assert text.strip() == text != ""
        assert embedder.dimension == embedder.embed_queries(["one"]).shape[1] > 0
        assert all(code == code.lower() and len(code) in (2, 3) for code in embedder.languages)

    def test_vectors_are_float32_of_unit_length(self, embedder: Embedder, embed: Embed) -> None:
        vectors = embed(list(TEXTS))
        assert vectors.shape == (len(TEXTS), embedder.dimension)
        assert vectors.dtype == np.float32
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)

    def test_no_texts_give_no_vectors(self, embedder: Embedder, embed: Embed) -> None:
        vectors = embed([])
        assert vectors.shape == (0, embedder.dimension)
        assert vectors.dtype == np.float32

    def test_an_empty_text_has_a_vector(self, embedder: Embedder, embed: Embed) -> None:
        vectors = embed(["", TEXTS[0]])
        assert np.isfinite(vectors).all()
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)

    def test_a_text_beyond_the_models_length_has_a_vector(self, embed: Embed) -> None:
        vectors = embed(["word " * 20_000, "x" * 100_000])
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)

    def test_vectors_keep_the_order_of_the_texts(self, embed: Embed) -> None:
        forwards, backwards = embed(list(TEXTS)), embed(list(reversed(TEXTS)))
        assert _cosines(forwards, backwards[::-1]).min() > SAME

    def test_a_text_has_the_same_vector_alone_and_in_a_batch(self, embed: Embed) -> None:
        alone = np.concatenate([embed([text]) for text in TEXTS])
        assert _cosines(alone, embed(list(TEXTS))).min() > SAME

    def test_many_texts_are_embedded_like_few(self, embed: Embed) -> None:
        many = embed(list(TEXTS) * 20)
        assert _cosines(many, np.tile(embed(list(TEXTS)), (20, 1))).min() > SAME

    def test_different_texts_have_different_vectors(self, embed: Embed) -> None:
        vectors = embed([TEXTS[0], TEXTS[1], TEXTS[8]])
        assert (vectors @ vectors.T)[np.triu_indices(3, 1)].max() < SAME

    def test_half_a_surrogate_pair_breaks_nothing(self, embed: Embed) -> None:
        assert np.isfinite(embed(["broken \ud83d text"])).all()

    def test_threads_do_not_disturb_each_other(self, embedder: Embedder, embed: Embed) -> None:
        expected = embed(list(TEXTS))
        # Batches of 1 to 4 texts at different places, so that a swapped result is noticed.
        jobs = [list(range(start % 5, start % 5 + 1 + start % 4)) for start in range(40)]
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda rows: embed([TEXTS[row] for row in rows]), jobs))
        for rows, vectors in zip(jobs, results, strict=True):
            assert _cosines(vectors, expected[rows]).min() > SAME

    def test_questions_can_be_embedded_beside_other_work(self, embedder: Embedder) -> None:
        if not isinstance(embedder, BackgroundEmbedder):
            pytest.skip("this embedder computes at once")
        for texts in ([], list(TEXTS[:1]), list(TEXTS) * 12):
            waiting = [embedder.start_queries(texts) for _ in range(10)]
            expected = embedder.embed_queries(texts)
            for pending in waiting:
                vectors = pending.result()
                assert pending.result() is vectors
                assert vectors.shape == (len(texts), embedder.dimension)
                if texts:
                    assert _cosines(vectors, expected).min() > SAME

    def test_tokens_are_counted_for_each_text(self, embedder: Embedder) -> None:
        if not isinstance(embedder, TokenCounter):
            pytest.skip("this embedder does not count tokens")
        assert embedder.count_tokens([]) == []
        short, long, empty = embedder.count_tokens(["one", "word " * 5000, ""])
        assert empty <= short < embedder.max_tokens < long


def _cosines(left: Matrix, right: Matrix) -> Matrix:
    """Return the cosine of each pair of rows, float32 [n]; the rows have unit length."""
    return np.asarray(np.einsum("ij,ij->i", left, right))
