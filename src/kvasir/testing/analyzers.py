"""The contract of every text analyzer: subclass it and override the fixture ``analyzer``."""

from __future__ import annotations

import numpy as np
import pytest

from kvasir.core.protocols import TextAnalyzer

TEXTS = ("the quick brown fox", "la niña corre", "Hà Nội là thủ đô", "北京是首都", "", " \n", "?!…")
LANGUAGES = ("en", "es", "vi", "zh", "en", "", "zh")
"""The language of each text; empty for an unknown one."""


class AnalyzerContract:
    """What must hold for every analyzer."""

    @pytest.fixture
    def analyzer(self) -> TextAnalyzer:
        raise NotImplementedError("override the fixture analyzer in your test class")

    def test_every_text_has_its_terms_in_order(self, analyzer: TextAnalyzer) -> None:
        together = analyzer.document_terms(TEXTS, LANGUAGES)
        assert len(together) == len(TEXTS)
        for one, text, language in zip(together, TEXTS, LANGUAGES, strict=True):
            (other,) = analyzer.document_terms([text], [language])
            assert np.array_equal(one.indices, other.indices)
            assert np.array_equal(one.values, other.values)

    def test_terms_are_distinct_and_of_the_right_types(self, analyzer: TextAnalyzer) -> None:
        vectors = analyzer.document_terms(TEXTS, LANGUAGES)
        for vector in (*vectors, *analyzer.query_terms(TEXTS, LANGUAGES)):
            assert vector.indices.dtype == np.uint32
            assert vector.values.dtype == np.float32
            assert len(vector.indices) == len(vector.values) == len(set(vector.indices.tolist()))
            assert (vector.values > 0).all()

    def test_texts_without_words_have_no_terms(self, analyzer: TextAnalyzer) -> None:
        for vector in analyzer.document_terms(["", "  ", "?!"], ["en", "zh", "vi"]):
            assert len(vector.indices) == 0
        assert analyzer.query_terms([], []) == []

    def test_words_of_a_query_weigh_one_and_are_those_of_the_text(
        self, analyzer: TextAnalyzer
    ) -> None:
        for text, language in zip(TEXTS, LANGUAGES, strict=True):
            (document,) = analyzer.document_terms([text], [language])
            (query,) = analyzer.query_terms([text], [language])
            assert set(query.indices.tolist()) == set(document.indices.tolist())
            assert (query.values == 1).all()

    def test_repeated_words_weigh_more_but_less_and_less(self, analyzer: TextAnalyzer) -> None:
        # Of equal length, because the length of a text also changes the weights.
        texts = ["owl " + "tree " * 9, "owl owl " + "tree " * 8, "owl owl owl " + "tree " * 7]
        one, two, three = _weights_of_owl(analyzer, texts)
        assert one < two < three
        assert three - two < two - one

    def test_the_same_word_weighs_less_in_a_longer_text(self, analyzer: TextAnalyzer) -> None:
        short, long = _weights_of_owl(analyzer, ["owl", "owl " + "tree " * 400])
        assert short > long


def _weights_of_owl(analyzer: TextAnalyzer, texts: list[str]) -> list[float]:
    (owl,) = analyzer.query_terms(["owl"], ["en"])
    vectors = analyzer.document_terms(texts, ["en"] * len(texts))
    return [float(vector.values[vector.indices == owl.indices[0]][0]) for vector in vectors]
