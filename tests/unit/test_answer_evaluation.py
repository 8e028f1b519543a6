import numpy as np
import pytest

from kvasir.answering.answers import Answerer
from kvasir.answering.evidence import FEATURES, EvidenceReader
from kvasir.answering.refusal import DEFAULT_CALIBRATION, Calibration
from kvasir.answering.retrieval import Retriever
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.core.errors import RequestError, TooFewQuestionsError
from kvasir.core.text import count_words
from kvasir.core.types import Answer, Chunk, Hit, chunk_id
from kvasir.core.wire import to_json
from kvasir.evaluation.answers import (
    evaluate_answers,
    holds,
    normalise,
    without_markers,
)
from kvasir.evaluation.calibration import (
    MOST_REFUSED_MADE,
    SHIPPED_STAYS,
    decide,
    drawbacks,
    fit,
    make_questions,
    read_features,
)
from kvasir.evaluation.datasets import EvaluationQuery, Passage, RetrievalDataset, load_questions
from kvasir.frontends.cli.remedies import explain
from kvasir.testing.fakes import FakeEmbedder, MemoryStore


class Whole:
    def split(self, document):
        identity = chunk_id(document.id, document.text, 0, len(document.text))
        metadata = {**document.metadata, "source_uri": document.source_uri}
        end = len(document.text)
        return [Chunk(identity, document.id, document.text, 0, end, metadata=metadata)]


DATASET = RetrievalDataset(
    "norse",
    (
        Passage("a", "", "Kvasir was made by the gods. He travelled the world as a teacher."),
        Passage("b", "", "The mead of poetry was brewed by two dwarfs, Fjalar and Galar."),
        Passage("c", "", "Odin stole the mead as an eagle. Suttungr chased him."),
    ),
    (
        EvaluationQuery("1", "Who was Kvasir made by?", ("gods",)),
        EvaluationQuery("2", "Who was the mead of poetry brewed by?", ("The two dwarfs.", "x")),
        EvaluationQuery("3", "Who stole the mead as an eagle?", ("Loki",)),
    ),
    {"1": {"a": 1}, "2": {"b": 1}, "3": {"c": 1}},
)


def evaluate(off_topic=()):
    embedder, analyzer = FakeEmbedder(256), Bm25Analyzer()
    generator = ExtractiveGenerator(embedder, analyzer, max_sentences=1)
    return evaluate_answers(
        DATASET,
        embedder,
        lambda: MemoryStore(dimension=256, analyzer=analyzer),
        Whole(),
        lambda retriever, versions: Answerer(
            retriever, generator, analyzer=analyzer, embedder=embedder, find_version=versions
        ),
        off_topic=off_topic,
    )


def test_the_figures_are_those_of_the_answers():
    result = evaluate(["What is the inflation rate in France this year?"])
    figures = to_json(result)
    assert figures["answer_recall"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["refused_on_topic"] == 0.0
    assert figures["refused_off_topic"] == 1.0
    assert figures["citation_validity"] == figures["cited"] == 1.0
    assert figures["removed_citations"] == 0
    assert 6 <= figures["words"] <= 12
    assert figures["questions"] == 3
    assert "cases" not in figures
    assert [case.correct for case in result.cases] == [True, True, False, False]


def test_only_markers_are_taken_out_of_an_answer_not_its_own_bracketed_numbers():
    hits = (Hit(Chunk("c", "d", "x", 0, 1), 1.0, 1.0, 1.0),)
    answer = Answer("Year [2020] was good. [1]", hits=hits)
    assert without_markers(answer) == "Year [2020] was good."


def test_without_off_topic_questions_nothing_is_said_of_them():
    assert evaluate().refused_off_topic is None


@pytest.mark.parametrize(
    ("text", "gold", "expected"),
    [
        ("It scored 308 points. [1]", "308", True),
        ("It scored 1308 points.", "308", False),
        ("By the Two   Dwarfs!", "a two dwarfs", True),
        ("Fue «Kawann Short», dijo.", "Kawann Short", True),
        ("诸神创造了克瓦希尔。", "诸神", True),
        ("ประเทศไทยมีเมืองหลวงคือกรุงเทพมหานคร [1]", "กรุงเทพมหานคร", True),
        ("ນະຄອນຫຼວງຂອງລາວແມ່ນວຽງຈັນ", "ວຽງຈັນ", True),
        ("រាជធានីរបស់កម្ពុជាគឺភ្នំពេញ។", "ភ្នំពេញ", True),
        ("မြန်မာနိုင်ငံ၏မြို့တော်သည်နေပြည်တော်ဖြစ်သည်။", "နေပြည်တော်", True),
        ("กรุงเทพมหานคร", "เชียงใหม่", False),
        ("Section [308]", "308", False),
        ("Anything", "", False),
    ],
)
def test_a_gold_answer_must_stand_there_as_whole_words(text, gold, expected):
    assert holds(text, [gold]) is expected


def test_normalisation_is_squad_s():
    assert normalise('The  Cat\'s, a "dog" — an owl!') == "cats dog owl"


def test_words_of_unspaced_scripts_are_counted_by_two_characters():
    assert count_words("one, two-fold 3.5") == 3
    assert count_words("诸神创造") == 2


def test_questions_are_read_from_json_lines_or_plain_lines(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text('{"question": "Who?"}\n{"text": "What?"}\n\nWhy?\n', encoding="utf-8")
    assert load_questions(file) == ["Who?", "What?", "Why?"]
    file.write_text('{"question": 3}\n', encoding="utf-8")
    with pytest.raises(RequestError, match="line 1"):
        load_questions(file)
    with pytest.raises(RequestError, match="absent is missing"):
        load_questions(tmp_path / "absent")


def features(rng, count, similarity, coverage):
    rows = np.zeros((count, len(FEATURES)))
    rows[:, 0] = np.clip(rng.normal(similarity, 0.1, count), 0, 1)
    rows[:, 1] = np.clip(rng.normal(coverage, 0.15, count), 0, 1)
    rows[:, 2] = rows[:, 1] * 0.9
    return rows


def test_calibrating_moves_the_decision_to_where_the_collection_needs_it():
    # A collection in which everything looks alike: the shipped decision answers most of it.
    rng = np.random.default_rng(1)
    answered, unanswered = features(rng, 150, 0.85, 0.9), features(rng, 150, 0.55, 0.5)
    fitted = fit(answered, unanswered)
    assert fitted.report["refused_off_topic"] > 0.9 > fitted.report["refused_off_topic_before"]
    assert fitted.report["refused_on_topic"] <= 0.05
    fresh = features(rng, 200, 0.55, 0.5)
    assert (fitted.probabilities(fresh) < fitted.threshold).mean() > 0.9


def test_answered_questions_are_not_refused_for_the_sake_of_the_others():
    rng = np.random.default_rng(2)
    answered, unanswered = features(rng, 200, 0.5, 0.5), features(rng, 200, 0.48, 0.48)
    fitted = fit(answered, unanswered, most_refused=MOST_REFUSED_MADE)
    refused = (fitted.probabilities(answered) < fitted.threshold).mean()
    assert refused <= max(0.05, fitted.report["refused_on_topic_before"])


def test_the_shipped_decision_stays_where_fitting_gains_nothing():
    rng = np.random.default_rng(3)
    fitted = fit(features(rng, 50, 0.75, 0.9), features(rng, 50, 0.0, 0.0))
    assert fitted.report[SHIPPED_STAYS] == 1.0
    assert fitted.weights == DEFAULT_CALIBRATION.weights


def test_drawbacks_name_what_a_fitted_decision_does_worse():
    report = {
        "refused_off_topic_before": 0.935,
        "refused_off_topic": 0.875,
        "refused_on_topic_before": 0.01,
        "refused_on_topic": 0.02,
    }
    answers, refuses = drawbacks(Calibration((0.0,) * len(FEATURES), 0.0, report=report))
    assert answers.startswith("answers 6.0% more")
    assert refuses.startswith("refuses 1.0% more")
    harmless = report | {"refused_off_topic": 0.92, "refused_on_topic": 0.0}
    assert drawbacks(Calibration((0.0,) * len(FEATURES), 0.0, report=harmless)) == []


REPORT = {
    SHIPPED_STAYS: 0.0,
    "refused_off_topic_before": 0.9,
    "refused_off_topic": 0.95,
    "refused_on_topic_before": 0.02,
    "refused_on_topic": 0.02,
}


@pytest.mark.parametrize(
    ("report", "all_given", "unasked", "wanted"),
    [
        (REPORT, True, True, True),
        (REPORT, False, False, True),
        (REPORT | {"refused_on_topic": 0.03}, True, False, True),
        (REPORT | {"refused_off_topic": 0.8}, True, False, True),
        (REPORT | {SHIPPED_STAYS: 1.0}, True, False, False),
    ],
    ids=["better", "made questions", "refuses more good ones", "answers others", "gains nothing"],
)
def test_a_decision_is_kept_unasked_only_where_given_questions_show_that_it_is_better(
    report, all_given, unasked, wanted
):
    fitted = Calibration((0.0,) * len(FEATURES), 0.0, report=report)
    assert decide(fitted, all_given=all_given).kept is unasked
    assert decide(fitted, all_given=all_given, apply=True).kept is wanted
    assert not decide(fitted, all_given=all_given, apply=False).kept


def test_too_few_questions_are_refused():
    rows = np.zeros((5, len(FEATURES)))
    with pytest.raises(TooFewQuestionsError, match="at least 20"):
        fit(rows, rows)


def test_questions_made_of_a_collection_tell_its_subjects_from_others():
    embedder, analyzer = FakeEmbedder(256), Bm25Analyzer()
    store = MemoryStore(dimension=256, analyzer=analyzer)
    chunks = []
    for n in range(60):
        names = [f"{prefix}{n}" for prefix in ("skald", "ship", "fjord", "king", "rune", "oath")]
        text = "The {} of the {} sailed to the {} where a {} read the {} and swore an {}.".format(
            *names
        )
        identity = chunk_id("6f1c6a86-8f0c-5a43-9d1e-0f6b1f3f5a11", text, n, n + len(text))
        chunks.append(Chunk(identity, f"d{n}", text, n, n + len(text), metadata={"language": "en"}))
    store.upsert(chunks, embedder.embed_documents([chunk.text for chunk in chunks]))
    made = make_questions(store, 50)
    assert made == make_questions(store, 50)
    assert len(made.answered) == len(made.unanswered) == 50
    retriever = Retriever(embedder, store, languages=["en"])
    reader = EvidenceReader(analyzer, embedder)
    answered = read_features(made.answered, retriever, reader)
    unanswered = read_features(made.unanswered, retriever, reader)
    fitted = fit(answered, unanswered, most_refused=MOST_REFUSED_MADE)
    assert (fitted.probabilities(answered) < fitted.threshold).mean() <= 0.1
    assert (fitted.probabilities(unanswered) < fitted.threshold).mean() >= 0.8


def test_an_almost_empty_collection_says_what_to_give_instead():
    with pytest.raises(TooFewQuestionsError) as refused:
        make_questions(MemoryStore())
    assert "--off-topic" in explain(refused.value)
