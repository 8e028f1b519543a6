"""What holds for every analyzer, and what the built-in one promises for its languages."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kvasir.core import registry
from kvasir.core.errors import SettingsError
from kvasir.testing.analyzers import AnalyzerContract
from kvasir.testing.fakes import FakeAnalyzer


class TestFakeAnalyzer(AnalyzerContract):
    @pytest.fixture
    def analyzer(self):
        return FakeAnalyzer()


class TestBm25Analyzer(AnalyzerContract):
    @pytest.fixture
    def analyzer(self):
        return registry.build("analyzers", "bm25", {})

    @pytest.mark.parametrize(
        ("language", "question", "words"),
        [
            ("en", "How many pages are there?", "pages"),
            ("es", "¿Cuántas páginas hay?", "páginas"),
            ("de", "Wann kommt der Umzug?", "kommt Umzug"),
            ("de", "Was ist bei Feuer zu tun?", "Feuer"),
            ("es", "¿Qué hago antes de la cena?", "cena"),
            ("fr", "Que faire avant une sortie ?", "avant sortie"),
            ("fr", "Combien de pages ?", "pages"),
            ("vi", "Thủ đô nào?", "thủ đô"),
            ("zh", "首都在哪里？", "首都在"),
        ],
    )
    def test_words_with_which_one_asks_are_not_searched(self, analyzer, language, question, words):
        asked, wanted = analyzer.query_terms([question, words], [language] * 2)
        assert set(asked.indices) == set(wanted.indices)
        (text,) = analyzer.document_terms([question], [language])
        assert set(asked.indices) < set(text.indices)

    def test_a_question_word_alone_is_searched(self, analyzer):
        (terms,) = analyzer.query_terms(["Wann?"], ["de"])
        assert len(terms.indices) == 1

    @pytest.mark.parametrize(
        ("language", "one", "other"),
        [
            ("en", "running dogs", "dog runs"),
            ("es", "las niñas cantan", "niña cantar"),
            ("es", "corazón", "CORAZON"),
            ("de", "Häuser", "haus"),
            ("fr", "les chansons", "chanson"),
            ("vi", "Thủ Đô", "thủ đô"),
            ("zh", "首都在北京", "北京首都在"),
        ],
    )
    def test_forms_of_a_word_are_one_term(self, analyzer, language, one, other):
        first, second = analyzer.query_terms([one, other], [language] * 2)
        assert set(first.indices) == set(second.indices)

    def test_vietnamese_accents_tell_words_apart(self, analyzer):
        first, second = analyzer.query_terms(["má", "mà"], ["vi", "vi"])
        assert not set(first.indices) & set(second.indices)

    def test_stop_words_of_the_language_are_left_out(self, analyzer):
        english, spanish, unknown = analyzer.query_terms(
            ["the of and", "el de y", "the of and"], ["en", "es", ""]
        )
        assert (len(english.indices), len(spanish.indices), len(unknown.indices)) == (0, 0, 3)

    def test_chinese_inside_another_language_is_cut_into_words(self, analyzer):
        (document,) = analyzer.document_terms(["The capital is 北京大学校园 in fact."], ["en"])
        queries = analyzer.query_terms(["北京", "capital", "校园"], ["zh", "en", "zh"])
        for query in queries:
            assert set(query.indices) <= set(document.indices)

    @pytest.mark.parametrize("language", ["en", "de", "vi", "zh", "und"])
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("AX-200-C", "ax200c"),
            ("1,250,000", "1250000"),
            ("12 kg", "12kg"),
            ("v2.10.1", "2.10.1"),
        ],
    )
    def test_spellings_of_an_identifier_share_a_term(self, analyzer, language, one, other):
        first, second = analyzer.query_terms([one, other], [language] * 2)
        assert set(first.indices) & set(second.indices) - set(
            analyzer.query_terms(["kg 1 2 10 12 250 000"], [language])[0].indices
        )

    @pytest.mark.parametrize("language", ["en", "de", "vi", "zh", "und"])
    @pytest.mark.parametrize(
        ("one", "other"), [("2.10.1", "2.1.10"), ("C++", "C#"), ("-x", "-X"), ("--foo", "foo")]
    )
    def test_identifiers_of_the_same_words_differ(self, analyzer, language, one, other):
        first, second = analyzer.query_terms([one, other], [language] * 2)
        assert set(first.indices) != set(second.indices)

    def test_numbers_are_terms_in_chinese_text(self, analyzer):
        (document,) = analyzer.document_terms(["战争在1997年结束。"], ["zh"])
        (query,) = analyzer.query_terms(["1997"], ["en"])
        assert set(query.indices) <= set(document.indices)

    def test_terms_of_plain_text_are_those_of_its_words(self, analyzer):
        text = "The wolf sleeps in the well-lit forest"
        (with_name,) = analyzer.document_terms([text], ["en"])
        (without,) = analyzer.document_terms([text.replace("-", " ")], ["en"])
        kept = np.isin(with_name.indices, without.indices)
        assert with_name.values[kept].tolist() == without.values.tolist()

    def test_names_are_the_same_term_in_every_language(self, analyzer):
        languages = ["en", "es", "vi", "zh", "de", "", "und", "xx"]
        terms = analyzer.query_terms(["Qdrant"] * len(languages), languages)
        assert len({tuple(t.indices.tolist()) for t in terms}) == 1

    def test_regional_codes_mean_their_language(self, analyzer):
        plain, regional = analyzer.query_terms(["running"] * 2, ["en", "EN-us"])
        assert np.array_equal(plain.indices, regional.indices)

    @pytest.mark.parametrize("options", [{"k1": -1}, {"b": 2}, {"average_length": 0}])
    def test_impossible_parameters_are_refused(self, options):
        with pytest.raises(SettingsError, match="bm25"):
            registry.build("analyzers", "bm25", options)

    def test_threads_share_an_analyzer(self, analyzer):
        def analyze(_):
            return analyzer.document_terms(["北京 running"] * 20, ["en"] * 20)[0].values.tolist()

        with ThreadPoolExecutor(4) as pool:
            assert len({tuple(v) for v in pool.map(analyze, range(40))}) == 1
