"""What an answer is made of adds up to its confidence, and who decided is said."""

import math
from dataclasses import replace

import pytest

from kvasir.answering.answers import Answerer
from kvasir.answering.refusal import DEFAULT_CALIBRATION, Calibration
from kvasir.answering.retrieval import Retriever
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.core.explanations import Decision
from kvasir.core.ledger import DocumentVersion
from kvasir.core.types import Answer, Certainty, Chunk, SearchRequest
from kvasir.core.wire import dumps, loads
from kvasir.testing.fakes import FakeEmbedder, MemoryStore

TEXTS = [
    "Kvasir was made by the gods. The dwarfs Fjalar and Galar brewed mead of his blood.",
    "Green tea is steeped for two minutes at eighty degrees.",
    "The Moon orbits the Earth at a distance of 384,400 kilometres.",
    "| Month | kWh |\n|---|---|\n| July | 233 |\n| August | 190 |",
    "I do not know who wrote the runes on the rock of Jelling.",
]
ANSWERED = "Who brewed mead of the blood of Kvasir?"
REFUSED = "What is the capital gains tax in Portugal?"


class Says:
    """A language model that says what it is told to."""

    def __init__(self, text):
        self.text = text

    def generate(self, prompt):
        yield self.text


@pytest.fixture(scope="module")
def retriever():
    embedder = FakeEmbedder(256)
    store = MemoryStore(dimension=256, analyzer=Bm25Analyzer())
    chunks = [
        Chunk(f"c{n}", f"d{n}", text, 0, len(text),
              metadata={"language": "en", "source_uri": f"/{n}.md"})
        for n, text in enumerate(TEXTS)
    ]  # fmt: skip
    store.upsert(chunks, embedder.embed_documents(TEXTS))
    return Retriever(embedder, store, languages=["en"])


def make(retriever, generator=None, **options):
    analyzer = Bm25Analyzer()
    versions = {f"d{n}": DocumentVersion(text, f"hash {n}") for n, text in enumerate(TEXTS)}
    generator = generator or ExtractiveGenerator(retriever.embedder, analyzer)
    options = {"find_version": versions.get} | options
    return Answerer(retriever, generator, analyzer=analyzer, embedder=retriever.embedder, **options)


def confidence_of(why):
    logit = why.bias + sum(part.value * part.weight for part in why.evidence)
    assert logit == pytest.approx(why.bias + sum(part.contribution for part in why.evidence))
    return 1.0 / (1.0 + math.exp(-logit))


def explained(answerer, question, **limits):
    request = SearchRequest(question, **limits)
    answer = answerer.ask(replace(request, explain=True))
    plain = answerer.ask(request)
    assert plain.explanation is None
    assert replace(answer, explanation=None, timings={}) == replace(plain, timings={})
    assert loads(Answer, dumps(answer)) == answer
    return answer, answer.explanation


@pytest.mark.parametrize("question", [ANSWERED, REFUSED, "What is tea made of by dwarfs?"])
def test_the_evidence_adds_up_to_the_confidence(retriever, question):
    answer, why = explained(make(retriever), question)
    assert why.decided_by is Decision.EVIDENCE
    assert confidence_of(why) == pytest.approx(answer.confidence, abs=1e-9)
    assert why.confidence == answer.confidence
    expected = (
        Certainty.NO
        if why.confidence < why.refuse_below
        else Certainty.SURE
        if why.confidence >= why.sure_from
        else Certainty.NOT_SURE
    )
    assert answer.certainty is expected
    assert [part.name for part in why.evidence] == list(DEFAULT_CALIBRATION.features)
    assert all(part.meaning for part in why.evidence)
    (search,) = why.searches
    assert [part.chunk_id for part in search.hits] == [hit.chunk.id for hit in answer.hits]


def test_a_refusal_says_how_near_it_was(retriever):
    answer, why = explained(make(retriever), REFUSED)
    assert answer.refused
    assert 0.0 < confidence_of(why) < why.refuse_below < why.sure_from


def test_a_calibration_of_the_collection_is_shown_with_its_own_features(retriever):
    own = Calibration((40.0,), -5.0, 0.3, features=("chunk_coverage",), sure=0.6)
    answer, why = explained(make(retriever, calibration=own), ANSWERED)
    assert why.calibrated
    (part,) = why.evidence
    assert (part.name, part.weight, why.bias) == ("chunk_coverage", 40.0, -5.0)
    assert (why.refuse_below, why.sure_from) == (0.3, 0.6)
    assert confidence_of(why) == pytest.approx(answer.confidence)


def test_who_decided_is_said(retriever):
    def by(question, generator=None, **options):
        return explained(make(retriever, generator, **options), question)

    answer, why = by(ANSWERED, Says("Fjalar and Galar brewed mead [1]."))
    assert (why.decided_by, answer.certainty) == (Decision.MODEL, Certainty.SURE)
    answer, why = by(ANSWERED, Says("I cannot find the answer in the documents."))
    assert (why.decided_by, answer.certainty) == (Decision.MODEL, Certainty.NO)
    answer, why = by("How many kWh in July?")
    assert (why.decided_by, answer.certainty) == (Decision.TABLE, Certainty.SURE)
    never = Calibration((0.0,), -9.0, features=("lead",))
    answer, why = by(ANSWERED, calibration=never, refuse=False)
    assert (why.decided_by, answer.certainty) == (Decision.NEVER_REFUSES, Certainty.NOT_SURE)


def test_nothing_found_is_said(retriever):
    answer, why = explained(make(retriever), ANSWERED, min_score_threshold=1.0)
    assert answer.refused
    assert (why.decided_by, why.evidence) == (Decision.NOTHING_FOUND, ())
    (search,) = why.searches
    assert search.hits == () and sum(each.count for each in search.left_out) == search.candidates


def test_an_answer_from_documents_in_one_language_loads_no_model_of_languages(
    retriever, monkeypatch
):
    monkeypatch.setattr("kvasir.language.detect._MODEL", None)
    assert explained(make(retriever), ANSWERED)[1].reply_language == "en"


def test_the_words_are_in_the_language_of_the_question(retriever):
    _, why = explained(make(retriever), "¿Quién ganó el campeonato mundial de fútbol?")
    assert why.reply_language == "es"
    assert "pasaje" in why.evidence[0].meaning
