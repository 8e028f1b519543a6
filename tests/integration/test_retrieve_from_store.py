"""A store that ranks ids gives the same hits as one that only has the plain searches."""

import pytest

from kvasir.answering.retrieval import Retriever
from kvasir.core.filters import parse_filter
from kvasir.core.protocols import LexicalSearch, RankedSearch
from kvasir.core.registry import build
from kvasir.core.types import Chunk, SearchRequest, chunk_id, document_id
from kvasir.testing.fakes import FakeEmbedder

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


class Plain:
    """Shows of a store only what every store with a keyword index has."""

    def __init__(self, store):
        self.dimension = store.dimension
        self.search_dense = store.search_dense
        self.search_lexical = store.search_lexical
        self.fetch = store.fetch
        self.scroll = store.scroll


@pytest.fixture
def embedder():
    return FakeEmbedder(dimension=64)


@pytest.fixture
def store(embedder, tmp_path):
    provided = {
        "uri": str(tmp_path),
        "collection": "myths",
        "dimension": 64,
        "analyzer": build("analyzers", "bm25", {}),
        "fingerprint": embedder.fingerprint,
    }
    store = build("stores", "qdrant", {}, provided)
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
    store.upsert(chunks, embedder.embed_documents(texts))
    yield store
    store.close()


@pytest.mark.parametrize("filters", [None, "language=en"])
@pytest.mark.parametrize("alpha", [None, 0.0, 1.0])
def test_both_ways_find_the_same_hits_with_the_same_scores(embedder, store, alpha, filters):
    plain = Plain(store)
    assert isinstance(store, RankedSearch)
    assert isinstance(plain, LexicalSearch)
    assert not isinstance(plain, RankedSearch)
    queries = ["the serpent and the ring", "hammer", "xyzzy", "number 17 wolf"]
    found = [
        Retriever(embedder, each, languages=["en"], alpha=alpha, candidates=200).retrieve_many(
            queries, SearchRequest("", 20, filters=parse_filter(filters))
        )
        for each in (store, plain)
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
