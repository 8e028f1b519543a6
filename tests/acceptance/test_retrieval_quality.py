"""With default settings, retrieval on XQuAD is as good as the manual says, in each language."""

from dataclasses import replace
from pathlib import Path

import pytest

from kvasir.answering.retrieval import Retriever
from kvasir.core.registry import build
from kvasir.core.types import SearchRequest
from kvasir.evaluation.datasets import load_dataset
from kvasir.evaluation.retrieval import evaluate_retrieval, to_document

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "retrieval"
LEAST = {"en": 0.978, "es": 0.965, "vi": 0.960, "zh": 0.958}
"""nDCG@10 that each language must reach alone."""
MOST_LOST = 0.03
"""What any of them may lose when all four share a collection."""
COMPARED = 400
"""With so many questions of a language, two stores or collections are compared."""

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="the evaluation data are not at ../shared/data"),
    pytest.mark.xdist_group("xquad"),
]


@pytest.fixture(scope="module")
def embedder(cache_vectors):
    return cache_vectors(build("embedders", "openvino", {}))


@pytest.fixture(scope="module")
def datasets():
    return {language: load_dataset(DATA / f"xquad-{language}") for language in LEAST}


@pytest.fixture(scope="module")
def run(embedder, tmp_path_factory):
    splitter = build("splitters", "structure", {}, {"embedder": embedder})

    def evaluate(datasets, store="qdrant"):
        def make_store():
            return build(
                "stores",
                store,
                {},
                {
                    "uri": str(tmp_path_factory.mktemp("store") / "index.db"),
                    "collection": "evaluation",
                    "dimension": embedder.dimension,
                    "analyzer": build("analyzers", "bm25", {}),
                    "fingerprint": embedder.fingerprint,
                },
            )

        return evaluate_retrieval(datasets, embedder, make_store, splitter)

    return evaluate


class Alone(dict):
    """The result of each language in a collection of its own, measured when first asked for."""

    def __init__(self, run, datasets):
        super().__init__()
        self._run, self._datasets = run, datasets

    def __missing__(self, language):
        self[language] = self._run([self._datasets[language]]).datasets[0]
        return self[language]

    def with_first_questions(self, language):
        return float(self[language].per_query["ndcg@10"][:COMPARED].mean())


def first_questions(dataset):
    """Returns all documents of a data set with the first of its questions."""
    queries = dataset.queries[:COMPARED]
    qrels = {query.id: dataset.qrels[query.id] for query in queries}
    return replace(dataset, queries=queries, qrels=qrels)


@pytest.fixture(scope="module")
def alone(run, datasets):
    return Alone(run, datasets)


@pytest.mark.parametrize("language", LEAST)
def test_a_language_alone_reaches_its_figure(alone, language):
    assert alone[language].metrics["ndcg@10"] >= LEAST[language]


@pytest.mark.parametrize(
    ("store", "language"),
    [("milvuslite", "en"), ("milvuslite", "zh"), ("chroma", "es"), ("chroma", "vi")],
)
def test_another_store_finds_the_same(run, alone, datasets, store, language):
    found = run([first_questions(datasets[language])], store).datasets[0].metrics["ndcg@10"]
    assert found == pytest.approx(alone.with_first_questions(language), abs=0.01)


def test_four_languages_in_one_collection_lose_little(run, alone, datasets):
    result = run([first_questions(dataset) for dataset in datasets.values()])
    lost = {
        language: alone.with_first_questions(language) - part.metrics["ndcg@10"]
        for language, part in zip(datasets, result.datasets, strict=True)
    }
    assert max(lost.values()) <= MOST_LOST, lost


def test_every_hit_carries_the_true_dense_score(embedder, datasets, tmp_path):
    store = build(
        "stores",
        "qdrant",
        {},
        {
            "uri": str(tmp_path),
            "collection": "scores",
            "dimension": embedder.dimension,
            "analyzer": build("analyzers", "bm25", {}),
            "fingerprint": embedder.fingerprint,
        },
    )
    try:
        chunks = _chunks(embedder, datasets["zh"])
        store.upsert(chunks, embedder.embed_documents([chunk.passage for chunk in chunks]))
        retriever = Retriever(embedder, store, languages=["zh"], candidates=5)
        for query in [query.text for query in datasets["zh"].queries[:20]]:
            vector = embedder.embed_queries([query])[0]
            for hit in retriever.retrieve(SearchRequest(query)):
                expected = embedder.embed_documents([hit.chunk.passage])[0] @ vector
                assert hit.dense_score == pytest.approx((1 + float(expected)) / 2, abs=1e-3)
    finally:
        store.close()


def _chunks(embedder, dataset):
    splitter = build("splitters", "structure", {}, {"embedder": embedder})
    documents = [to_document(p, p.id, "zh") for p in dataset.passages[:40]]
    return [chunk for document in documents for chunk in splitter.split(document)]
