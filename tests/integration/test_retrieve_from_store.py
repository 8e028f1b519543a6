"""The embedded store gives the same hits as the fake, which computes everything by the book."""

import pytest

from kvasir.answering.retrieval import Retriever
from kvasir.core.filters import parse_filter
from kvasir.core.registry import build
from kvasir.core.types import Chunk, SearchRequest, chunk_id, document_id
from kvasir.testing.fakes import FakeEmbedder, MemoryStore

WORDS = [
    "wolf",
    "eye",
    "well",
    "serpent",
    "ox",
    "head",
    "world",
    "hair",
    "ribbon",
    "hammer",
    "ship",
    "horse",
    "spear",
    "gold",
    "ring",
]


@pytest.fixture
def embedder():
    return FakeEmbedder(dimension=64)


@pytest.fixture
def stores(embedder, tmp_path):
    analyzer = build("analyzers", "bm25", {})
    provided = {
        "uri": str(tmp_path),
        "collection": "myths",
        "dimension": 64,
        "analyzer": analyzer,
        "fingerprint": embedder.fingerprint,
    }
    store = build("stores", "qdrant", {}, provided)
    fake = MemoryStore(dimension=64, analyzer=analyzer)
    texts = [
        f"The {a} and the {b} of number {n}"
        for n, (a, b) in enumerate((a, b) for a in WORDS for b in WORDS)
    ]
    document = document_id("/myths.txt")
    chunks = [
        Chunk(
            chunk_id(document, text, 0, 1),
            document,
            text,
            0,
            len(text),
            metadata={"language": "en", "number": number},
        )
        for number, text in enumerate(texts)
    ]
    for each in (store, fake):
        each.upsert(chunks, embedder.embed_documents(texts))
    yield store, fake
    store.close()


@pytest.mark.parametrize("filters", [None, "language=en"])
@pytest.mark.parametrize("alpha", [None, 0.0, 1.0])
def test_both_find_the_same_hits_with_the_same_scores(embedder, stores, alpha, filters):
    queries = ["the serpent and the ring", "hammer", "xyzzy", "number 17 wolf"]
    found = [
        Retriever(embedder, each, languages=["en"], alpha=alpha, candidates=1_000).retrieve_many(
            queries, SearchRequest("", 20, filters=parse_filter(filters))
        )
        for each in stores
    ]
    for ranked, searched in zip(*found, strict=True):
        assert ranked
        scores = {hit.chunk.id: hit for hit in searched}
        for hit in ranked:
            # Candidates of equal score at the edge of a leg may differ, and so the least hits.
            if hit.chunk.id in scores:
                other = scores[hit.chunk.id]
                assert hit.chunk == other.chunk
                assert hit.score == pytest.approx(other.score, abs=1e-4)
                assert hit.dense_score == pytest.approx(other.dense_score, abs=1e-4)
                assert (hit.lexical_score is None) == (other.lexical_score is None)
        assert ranked[0].score == pytest.approx(searched[0].score, abs=1e-4)
