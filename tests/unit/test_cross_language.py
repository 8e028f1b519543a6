"""Questions in a language that no document is in, for models that compare the two languages."""

import numpy as np
import pytest

from kvasir.answering.cross_language import compares_languages
from kvasir.answering.dense_share import OTHER_LANGUAGE, UNCERTAIN_LANGUAGE
from kvasir.answering.reference_pairs import REFERENCE_PAIRS
from kvasir.answering.retrieval import Retriever
from kvasir.core.types import SearchRequest
from kvasir.testing.fakes import FakeAnalyzer, FakeEmbedder, MemoryStore
from kvasir.testing.store_cases import make_chunk

SUBJECTS = {
    text: number
    for pairs in REFERENCE_PAIRS.values()
    for number, pair in enumerate(pairs)
    for text in pair
}


class TranslatingEmbedder(FakeEmbedder):
    """Knows the subjects of the reference texts, in some languages of its own."""

    def __init__(self, known, languages=()):
        super().__init__(64, languages=languages)
        self.fingerprint = f"translating {sorted(known)}"
        self._known = {text for code in known for pair in REFERENCE_PAIRS[code] for text in pair}
        self.queries = []

    def embed_queries(self, texts):
        self.queries += texts
        vectors = super().embed_queries(texts)
        for row, text in zip(vectors, texts, strict=True):
            if text in self._known:
                row[:] = np.eye(64)[SUBJECTS[text]]
        return vectors


def test_a_model_compares_languages_if_it_finds_each_passage_among_the_others():
    embedder = TranslatingEmbedder(["en", "es"])
    assert compares_languages(embedder, "es", "en")
    assert compares_languages(embedder, "en", "es")
    assert not compares_languages(embedder, "de", "en")
    assert not compares_languages(embedder, "es", "zh")
    assert not compares_languages(embedder, "en", "xx")
    asked = len(embedder.queries)
    assert compares_languages(embedder, "es", "en")
    assert len(embedder.queries) == asked


@pytest.fixture
def store():
    chunks = [
        make_chunk(number, passage, {"language": "en"})
        for number, (_, passage) in enumerate(REFERENCE_PAIRS["en"])
    ]
    # It has the words of a question in Spanish by chance.
    chunks.append(make_chunk(90, "Cuando abre la piscina los domingos: a line of a song."))
    store = MemoryStore()
    vectors = TranslatingEmbedder(["en"]).embed_documents([chunk.text for chunk in chunks])
    store.upsert(chunks, vectors)
    return store


QUESTION = REFERENCE_PAIRS["es"][0][0]
PASSAGE = REFERENCE_PAIRS["en"][0][1]


def retrieve(store, embedder, languages):
    retriever = Retriever(embedder, store, languages=languages)
    hits = retriever.retrieve(SearchRequest(QUESTION, 3))
    return retriever, hits


def test_words_that_are_shared_by_chance_weigh_little_then(store):
    assert isinstance(store._analyzer, FakeAnalyzer)
    retriever, hits = retrieve(store, TranslatingEmbedder(["en", "es"]), ["en"])
    assert retriever._share("es") == OTHER_LANGUAGE
    assert hits[0].chunk.text == PASSAGE


@pytest.mark.parametrize(
    ("known", "listed", "held"),
    [(["en"], (), ["en"]), (["en", "es"], (), ["en", "es"]), (["en", "es"], (), [])],
    ids=["model does not compare them", "documents in both", "no languages known"],
)
def test_otherwise_the_share_is_that_of_before(store, known, listed, held):
    retriever, _ = retrieve(store, TranslatingEmbedder(known, listed), held)
    assert retriever._share("es") == UNCERTAIN_LANGUAGE


def test_a_model_of_one_language_needs_no_detection_of_others(store, monkeypatch):
    embedder = TranslatingEmbedder(["en", "es"], ("en",))
    asked = []
    monkeypatch.setattr(
        "kvasir.answering.retrieval.detect", lambda text, held: asked.append(tuple(held)) or "en"
    )
    retrieve(store, embedder, ["en"])
    assert asked == [("en",)]


class BiasedEmbedder(TranslatingEmbedder):
    """Puts texts of one language nearer to each other than texts on one subject."""

    def __init__(self):
        super().__init__(["en", "es"])
        self.fingerprint = "biased"

    def embed_queries(self, texts):
        vectors = super().embed_queries(texts)
        english = {text for pair in REFERENCE_PAIRS["en"] for text in pair}
        for row, text in zip(vectors, texts, strict=True):
            row[50 if text in english else 51] += 1.5
            row /= np.linalg.norm(row)
        return vectors


def test_in_a_mixed_collection_passages_are_compared_with_others_in_their_language():
    embedder, store = BiasedEmbedder(), MemoryStore()
    chunks = [
        make_chunk(100 * place + number, passage, {"language": code})
        for place, code in enumerate(("en", "es"))
        for number, (_, passage) in enumerate(REFERENCE_PAIRS[code])
        if (code, number) != ("es", 0)
    ]
    store.upsert(chunks, embedder.embed_documents([chunk.text for chunk in chunks]))
    asked = SearchRequest(QUESTION, 3)
    hits = Retriever(embedder, store, languages=["en", "es"]).retrieve(asked)
    assert hits[0].chunk.text == PASSAGE
    cosine = float(embedder.embed_queries([QUESTION])[0] @ embedder.embed_queries([PASSAGE])[0])
    assert hits[0].dense_score == pytest.approx((1 + cosine) / 2, abs=1e-5)
    plain = Retriever(embedder, store, languages=["en", "es"], alpha=1.0).retrieve(asked)
    assert plain[0].chunk.metadata["language"] == "es"
