import json

import numpy as np
import pytest

from kvasir.answering.cosine_scale import cosine_scale
from kvasir.answering.evidence import FEATURES, FIRST_FEATURES, EvidenceReader
from kvasir.answering.reference_pairs import REFERENCE_PAIRS
from kvasir.answering.refusal import DEFAULT_CALIBRATION, Calibration
from kvasir.answering.retrieval import Retriever
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.errors import IncompatibleVersionError
from kvasir.core.types import Certainty, Chunk, Hit, SearchRequest
from kvasir.core.wire import dumps
from kvasir.testing.fakes import FakeEmbedder, MemoryStore

TEXT = "Kvasir was made by the gods. Two dwarfs brewed mead of his blood."


def hit(text=TEXT, dense=0.9, lexical=3.0, headings=(), language="en"):
    chunk = Chunk(f"c{text}", "d", text, 0, len(text), None, headings, {"language": language})
    return Hit(chunk, 1.0, dense, lexical)


def read(question, *hits, languages=("en",)):
    return EvidenceReader(Bm25Analyzer(), FakeEmbedder(languages=languages)).read(question, hits)


def test_coverage_is_the_share_of_the_question_that_is_there():
    whole = read("Who made Kvasir?", hit())
    half = read("Who baptised Kvasir?", hit())
    none = read("What is inflation?", hit())
    assert whole.chunk_coverage == whole.sentence_coverage == pytest.approx(1.0)
    assert 0.0 < half.chunk_coverage < 1.0
    assert none.chunk_coverage == none.sentence_coverage == 0.0


def test_a_chunk_covers_with_its_headings_and_all_its_sentences():
    evidence = read("Kvasir dwarfs poetry", hit(headings=("Poetry",)))
    assert evidence.chunk_coverage == pytest.approx(1.0)
    assert evidence.sentence_coverage < 1.0


def test_similarity_is_the_best_cosine():
    assert read("Who made Kvasir?", hit(dense=0.6), hit("Else.", 0.8)).similarity == pytest.approx(
        0.6
    )
    assert read("Who made Kvasir?", hit(dense=None)).similarity == 0.0


def test_where_the_model_does_not_know_the_language_cosine_does_not_count():
    hits = [hit("El gato duerme.", lexical=8.0 / n, language="es") for n in (1, 2, 4, 8, 8)]
    evidence = read("¿Quién duerme?", *hits, languages=("en",))
    assert (evidence.similarity, evidence.foreign) == (0.0, 1.0)
    assert evidence.contrast == evidence.lead == pytest.approx(1 - (4 + 2 + 1 + 1) / 4 / 8)
    assert read("¿Quién duerme?", *hits, languages=("es",)).foreign == 0.0


def test_a_question_of_stop_words_is_neither_covered_nor_not():
    assert read("Who is it?", hit()).chunk_coverage == 0.5


@pytest.mark.parametrize("copies", [1, 3, 10])
def test_the_decision_does_not_depend_on_the_number_of_hits(copies):
    found = [hit(dense=0.85)] + [hit(f"Other things number {n}.", 0.6) for n in range(copies - 1)]
    good = DEFAULT_CALIBRATION.confidence(read("Who made Kvasir?", *found))
    found = [hit(dense=0.6), *found[1:]]
    bad = DEFAULT_CALIBRATION.confidence(read("What is the inflation rate in France?", *found))
    assert not DEFAULT_CALIBRATION.refuses(good)
    assert DEFAULT_CALIBRATION.refuses(bad)


def test_a_cosine_counts_as_the_model_tells_related_texts_from_others():
    sharp, raised = Scaled("sharp", 0.6, 0.1), Scaled("raised", 0.9, 0.8, spread=0.02)
    blind = Scaled("blind", 0.0, 0.0)
    assert at(sharp, 0.6) > 0.5 > -0.5 > at(sharp, 0.1)
    # All cosines of this one are high: 0.8 is that of unrelated texts.
    assert at(raised, 0.9) > 0.5 > -0.5 > at(raised, 0.8)
    assert abs(at(blind, 0.9) - at(blind, 0.1)) < 0.3


def test_searching_and_refusing_share_one_measurement_of_each_language():
    seen = []

    class Listening(FakeEmbedder):
        def embed_documents(self, texts):
            seen.extend(texts)
            return super().embed_documents(texts)

    embedder = Listening()
    embedder.fingerprint = "listening"
    store = MemoryStore(dimension=embedder.dimension)
    for question in ("Who is it?", "Who made Kvasir?"):
        Retriever(embedder, store, language="en").retrieve(SearchRequest(question))
        EvidenceReader(Bm25Analyzer(), embedder).read(question, [hit()])
    assert seen == [passage for _, passage in REFERENCE_PAIRS["en"]]
    assert cosine_scale(embedder, "tr") is cosine_scale(embedder, "en")
    assert 0.0 < cosine_scale(embedder, "en").deviation < 0.3


def at(embedder, cosine):
    return cosine_scale(embedder, "en").relatedness(cosine)


class Scaled(FakeEmbedder):
    """Embeds reference pairs so that their cosines are the given ones, give or take a spread."""

    def __init__(self, name, related, unrelated, spread=0.05):
        super().__init__()
        self.fingerprint = name
        count = len(REFERENCE_PAIRS["en"])
        strewn = np.random.default_rng(0).normal(0, spread, (count, count))
        self._cosines = np.eye(count) * (related - unrelated) + unrelated + strewn

    def embed_queries(self, texts):
        return self._cosines

    def embed_documents(self, texts):
        return np.eye(len(texts))


@pytest.mark.parametrize("language", REFERENCE_PAIRS)
def test_reference_pairs_are_as_many_in_each_language(language):
    pairs = REFERENCE_PAIRS[language]
    assert len(pairs) == len(set(pairs)) == len(REFERENCE_PAIRS["en"])


def test_names_and_numbers_of_the_question_are_looked_for():
    assert read("Was it the gods who made Kvasir?", hit()).missing_names == 0.0
    assert read("Did Odin meet Kvasir?", hit(), hit("Odin's name.")).missing_names == 0.5
    assert read("What happened in 1830?", hit()).missing_names == 1.0
    assert read("Who is it?", hit()).missing_names == 0.0


def test_a_german_noun_is_no_name_but_an_abbreviation_is():
    passage = hit("Der Verein spendete 200 Euro.", language="de")
    assert read("Wem gab der Verein das Geld?", passage, languages=("de",)).missing_names == 0.0
    assert read("Wem gab der ADAC das Geld?", passage, languages=("de",)).missing_names == 1.0
    assert read("Wem gab er 300 Euro?", passage, languages=("de",)).missing_names == 1.0


def test_one_hit_may_be_the_best_of_both_searches():
    assert read("Who made Kvasir?", hit(), hit("Else.", 0.8, 1.0)).agreement == 1.0
    assert read("Who made Kvasir?", hit(), hit("Else.", 0.95, 1.0)).agreement == 0.0
    assert read("Who made Kvasir?", hit(lexical=None)).agreement == 1.0


def test_there_are_three_outcomes():
    calibration = Calibration((0.0,) * len(FEATURES), 0.0, 0.2, sure=0.6)
    assert [calibration.decide(p) for p in (0.19, 0.2, 0.59, 0.6)] == [
        Certainty.NO,
        Certainty.NOT_SURE,
        Certainty.NOT_SURE,
        Certainty.SURE,
    ]


def test_a_calibration_survives_json():
    weights = tuple(map(float, range(len(FEATURES))))
    calibration = Calibration(weights, -2.5, 0.4, {"refused_on_topic": 0.02}, sure=0.7)
    stored = json.loads(dumps(calibration))
    assert Calibration.from_stored(stored) == calibration
    assert stored["features"] == list(FEATURES)


def test_a_calibration_over_the_features_of_before_is_read_and_applied():
    stored = {"weights": [10.0, 0, 0, 0, 0], "bias": -5.0, "threshold": 0.4}
    found = Calibration.from_stored(stored | {"features": list(FIRST_FEATURES), "report": {}})
    assert found.confidence(read("Who made Kvasir?", hit(dense=0.75))) == pytest.approx(0.5)


def test_a_calibration_stored_in_the_first_form_is_read():
    stored = dict(zip(FIRST_FEATURES, (1.0, 2.0, 3.0, 4.0, 5.0), strict=True))
    stored |= {"bias": -2.5, "threshold": 0.4, "report_refused_on_topic": 0.02}
    report = {"refused_on_topic": 0.02}
    expected = Calibration((1.0, 2.0, 3.0, 4.0, 5.0), -2.5, 0.4, report, FIRST_FEATURES)
    assert Calibration.from_stored(stored) == expected


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"bias": 1.0, "threshold": 0.5},
        {"similarity": "x"},
        {"weights": [1.0], "bias": 1.0},
        {"weights": [1.0, 2.0], "bias": 1.0, "features": ["a", "b"]},
        {"weights": "x", "bias": 1.0},
    ],
)
def test_a_calibration_of_another_version_asks_to_calibrate_again(stored):
    with pytest.raises(IncompatibleVersionError, match="calibrate the collection again"):
        Calibration.from_stored(stored)


def test_probabilities_stay_finite():
    extreme = Calibration((1e6,) * len(FEATURES), 0.0)
    assert extreme.probabilities(
        np.array([[1.0] * len(FEATURES), [-1.0] * len(FEATURES)])
    ).tolist() == pytest.approx([1, 0])
