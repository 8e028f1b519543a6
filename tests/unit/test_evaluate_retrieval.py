"""The evaluation measures what a search would find."""

import pytest

from kvasir.core.errors import ConflictError, RequestError
from kvasir.core.run import Progress, Run
from kvasir.core.types import Chunk, chunk_id
from kvasir.core.wire import to_json
from kvasir.evaluation.datasets import EvaluationQuery, Passage, RetrievalDataset
from kvasir.evaluation.retrieval import RetrievalOptions, evaluate_retrieval, to_document
from kvasir.testing.fakes import FakeEmbedder, MemoryStore


class HalfSplitter:
    """Cuts every document into two halves; the heading goes to both."""

    def split(self, document):
        heading, body = document.blocks
        middle = (body.start + body.end) // 2
        title = document.text[heading.start : heading.end]
        spans = [(body.start, middle), (middle, body.end)]
        return [
            Chunk(
                chunk_id(document.id, document.text[start:end], start, end),
                document.id,
                document.text[start:end],
                start,
                end,
                headings=(title,),
                metadata=document.metadata,
            )
            for start, end in spans
            if end > start
        ]


def make_dataset(name, topics):
    passages = tuple(
        Passage(f"d{number}", f"Title {topic}", f"{topic} is told here, and {topic} again.")
        for number, topic in enumerate(topics)
    )
    queries = tuple(
        EvaluationQuery(f"q{number}", f"What of {topic}?") for number, topic in enumerate(topics)
    )
    qrels = {f"q{number}": {f"d{number}": 1} for number in range(len(topics))}
    return RetrievalDataset(name, passages, queries, qrels)


GODS = make_dataset("gods", ["Odin", "Thor", "Freyja", "Loki"])
WOLVES = make_dataset("wolves", ["Fenrir", "Skoll", "Hati"])


class ClosableStore(MemoryStore):
    """Remembers that it was closed."""

    closed = False

    def close(self):
        self.closed = True


@pytest.fixture
def store():
    return ClosableStore(dimension=512)


def evaluate(datasets, store, **arguments):
    embedder = FakeEmbedder(dimension=512)
    return evaluate_retrieval(datasets, embedder, lambda: store, HalfSplitter(), **arguments)


def test_a_perfect_search_has_perfect_figures(store):
    result = evaluate([GODS], store)
    figures = to_json(result)
    metrics = figures["metrics"]
    assert metrics["ndcg@10"] == metrics["recall@1"] == metrics["mrr@10"] == 1.0
    assert (figures["queries"], figures["documents"], figures["chunks"]) == (4, 4, 8)
    assert figures["datasets"][0]["name"] == "gods"
    assert figures["datasets"][0]["intervals"]["ndcg@10"] == [1.0, 1.0]
    assert store.closed


def test_the_figures_of_a_wrong_search_are_low(store):
    wrong = RetrievalDataset(
        "wrong", GODS.passages, GODS.queries, {f"q{n}": {f"d{(n + 1) % 4}": 1} for n in range(4)}
    )
    figures = evaluate([wrong], store).metrics
    assert figures["recall@1"] == 0.0
    assert figures["recall@10"] == 1.0
    assert 0.0 < figures["ndcg@10"] < 1.0


def test_several_data_sets_share_one_collection_and_are_reported_apart(store):
    result = evaluate([GODS, WOLVES], store)
    assert store.count() == 14
    assert [part.name for part in result.datasets] == ["gods", "wolves"]
    assert [part.documents for part in result.datasets] == [4, 3]
    assert result.queries == 7


def test_documents_of_another_data_set_are_wrong_answers_even_with_the_same_ids(store):
    # The same questions and ids, but the second set holds the documents that answer them.
    empty = tuple(Passage(p.id, "Nothing", "nothing of that kind") for p in GODS.passages)
    bare = RetrievalDataset("bare", empty, GODS.queries, GODS.qrels)
    result = evaluate([bare, GODS], store)
    assert result.datasets[0].metrics["recall@1"] == 0.0
    assert result.datasets[1].metrics["recall@1"] == 1.0


def test_the_options_reach_the_retriever(store):
    figures = {}
    for alpha in (0.0, 1.0):
        options = RetrievalOptions(alpha=alpha, language="en", candidates=3)
        figures[alpha] = evaluate([GODS], MemoryStore(dimension=512), options=options).datasets[0]
    assert figures[0.0].metrics["recall@1"] == figures[1.0].metrics["recall@1"] == 1.0


def test_progress_ends_at_the_total_of_each_stage(store):
    calls = []
    evaluate([GODS, WOLVES], store, run=Run(progress=calls.append))
    last = {call.stage: call for call in calls}
    assert last["ingest"] == Progress("ingest", 7, 7, "documents")
    assert last["search"] == Progress("search", 7, 7, "questions")


def test_a_collection_that_is_not_empty_is_refused_and_closed(store):
    evaluate([GODS], store)
    store.closed = False
    with pytest.raises(ConflictError, match="must be empty"):
        evaluate([GODS], store)
    assert store.closed


def test_no_data_set_is_refused(store):
    with pytest.raises(RequestError, match="at least one folder"):
        evaluate([], store)


def test_a_title_becomes_a_heading_and_every_block_points_into_the_text():
    document = to_document(Passage("a", "Super_Bowl_50", "The Broncos won."), "0/x/a")
    heading, body = document.blocks
    assert document.text[heading.start : heading.end] == "Super_Bowl_50"
    assert document.text[body.start : body.end] == "The Broncos won."
    assert document.metadata["language"] == "en"


def test_a_passage_without_a_title_has_no_heading():
    document = to_document(Passage("a", "", "The Broncos won."), "0/x/a", language="de")
    assert document.text == "The Broncos won."
    assert len(document.blocks) == 1
    assert (document.title, document.metadata["language"]) == ("a", "de")
