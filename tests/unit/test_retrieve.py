"""What the retriever promises, on a store that scans everything."""

from dataclasses import replace

import pytest

from kvasir.answering.retrieval import Retriever
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.errors import ComponentError, RequestError, SettingsError
from kvasir.core.filters import parse_filter
from kvasir.core.types import Chunk, SearchRequest, chunk_id, document_id
from kvasir.testing.fakes import FakeAnalyzer, FakeEmbedder, MemoryStore

TEXTS = [
    "The wolf Fenrir was bound with a ribbon.",
    "Odin gave an eye for a drink from the well.",
    "Thor fished for the serpent with an ox head.",
    "The serpent lies around the world.",
    "Loki cut the hair of Sif.",
    "El lobo duerme en el bosque.",
]


class DenseOnly:
    """A store without a keyword index."""

    def __init__(self, store):
        self.dimension = store.dimension
        self.search = store.search
        self.fetch_chunks = store.fetch_chunks


class ListeningAnalyzer(FakeAnalyzer):
    """Keeps the languages that questions are taken to be in."""

    def __init__(self):
        super().__init__()
        self.languages = []

    def query_terms(self, texts, languages):
        self.languages += languages
        return super().query_terms(texts, languages)


class CountingEmbedder(FakeEmbedder):
    """Counts the calls for questions."""

    calls = 0

    def embed_queries(self, texts):
        self.calls += 1
        return super().embed_queries(texts)


class PatientEmbedder(CountingEmbedder):
    """Computes in the background; keeps what was asked of it, and of its store, in order."""

    def __init__(self):
        super().__init__(dimension=512)
        self.order = []

    def start_queries(self, texts):
        self.order.append("started")
        return Pending(lambda: self.order.append("awaited") or self.embed_queries(texts))


class Pending:
    """Vectors that are computed when they are asked for."""

    def __init__(self, result):
        self.result = result


class Backwards:
    """A reranker that turns the order around."""

    def __init__(self):
        self.read = 0

    def rerank(self, query, hits, top_k):
        self.read = len(hits)
        rated = [replace(hit, score=1 - place / 10) for place, hit in enumerate(reversed(hits))]
        return rated[:top_k]


def make_chunk(text, number, language):
    document = document_id(f"/myths/{number}.txt")
    return Chunk(
        chunk_id(document, text, 0, len(text)),
        document,
        text,
        0,
        len(text),
        metadata={"language": language, "number": number},
    )


@pytest.fixture
def embedder():
    return CountingEmbedder(dimension=512)


@pytest.fixture
def analyzer():
    return ListeningAnalyzer()


@pytest.fixture
def store(embedder, analyzer):
    store = MemoryStore(dimension=512, analyzer=analyzer)
    chunks = [make_chunk(t, n, "es" if t.startswith("El ") else "en") for n, t in enumerate(TEXTS)]
    store.upsert(chunks, embedder.embed_documents(TEXTS))
    embedder.calls = 0
    return store


def texts(hits):
    return [hit.chunk.text for hit in hits]


class NearlyEqual(FakeEmbedder):
    """Scores every passage nearly alike, the wrong one a hair above the right one."""

    def embed_documents(self, texts):
        vectors = super().embed_documents(texts)
        for row, text in zip(vectors, texts, strict=True):
            if "service" in text:
                row[:] = 0.0
                row[0], row[1] = (0.5, 0.866) if "stop" in text else (0.502, 0.8649)
        return vectors

    def embed_queries(self, texts):
        vectors = super().embed_queries(texts)
        for row, text in zip(vectors, texts, strict=True):
            if "service" in text:
                row[:] = 0.0
                row[0] = 1.0
        return vectors


def test_of_two_passages_the_one_with_the_words_comes_first(analyzer):
    model = NearlyEqual(dimension=512)
    store = MemoryStore(dimension=512, analyzer=analyzer)
    passages = ["To stop the service first, wait.", "Reverting the service needs a role."]
    store.upsert(
        [make_chunk(text, number, "en") for number, text in enumerate(passages)],
        model.embed_documents(passages),
    )
    hits = Retriever(model, store).retrieve(SearchRequest("stop the service first"))
    assert [hit.dense_score for hit in hits] == sorted(hit.dense_score for hit in hits)
    assert texts(hits) == passages


def test_the_chunk_that_answers_comes_first(embedder, store):
    hits = Retriever(embedder, store).retrieve(SearchRequest("Who gave an eye?", top_k=3))
    assert hits[0].chunk.text == TEXTS[1]
    assert len(hits) == 3
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0.0 <= hit.score <= 1.0 for hit in hits)


def test_a_question_is_embedded_once_and_the_unrelated_texts_with_the_first(embedder, store):
    retriever = Retriever(embedder, store)
    retriever.retrieve(SearchRequest("serpent"))
    embedder.calls = 0
    retriever.retrieve(SearchRequest("serpent"))
    assert embedder.calls == 1


def test_the_keyword_leg_is_searched_while_the_question_is_embedded(embedder, store, monkeypatch):
    patient = PatientEmbedder()
    rank = store._rank

    def watched(*args):
        patient.order.append("words")
        return rank(*args)

    monkeypatch.setattr(store, "_rank", watched)
    hits = Retriever(patient, store).retrieve(SearchRequest("Who holds the ribbon?"))
    assert patient.order == ["started", "words", "awaited"]
    assert hits == Retriever(embedder, store).retrieve(SearchRequest("Who holds the ribbon?"))


def test_a_failing_keyword_leg_is_reported_without_waiting_for_the_vectors(store, monkeypatch):
    patient = PatientEmbedder()

    def broken(*args):
        raise ComponentError("store", "searching", OSError("gone"))

    monkeypatch.setattr(store, "_rank", broken)
    with pytest.raises(ComponentError, match="gone"):
        Retriever(patient, store).retrieve(SearchRequest("Who holds the ribbon?"))
    assert patient.order == ["started"]


def test_every_hit_has_its_true_dense_score_even_when_only_its_words_found_it(embedder, store):
    query = "ox ribbon serpent"
    hits = Retriever(embedder, store, candidates=1).retrieve(SearchRequest(query, top_k=10))
    assert len(hits) > 1
    vector = embedder.embed_queries([query])[0]
    for hit in hits:
        cosine = float(embedder.embed_queries([hit.chunk.text])[0] @ vector)
        assert hit.dense_score == pytest.approx((1 + cosine) / 2, abs=1e-6)


def test_the_lexical_score_is_none_where_no_word_is_shared(embedder, store):
    hits = Retriever(embedder, store).retrieve(SearchRequest("Fenrir"))
    by_text = {hit.chunk.text: hit.lexical_score for hit in hits}
    assert by_text[TEXTS[0]] > 0
    assert by_text[TEXTS[5]] is None


def test_a_question_without_any_keyword_hit_is_answered_by_the_dense_leg(embedder, store):
    hits = Retriever(embedder, store).retrieve(SearchRequest("xyzzy"))
    assert len(hits) == len(TEXTS)
    assert all(hit.lexical_score is None for hit in hits)
    dense = [hit.dense_score for hit in hits]
    assert dense == sorted(dense, reverse=True)


def test_a_store_without_a_keyword_index_is_searched_by_vectors_alone(embedder, store):
    hits = Retriever(embedder, DenseOnly(store)).retrieve(SearchRequest("serpent world"))
    assert hits[0].chunk.text == TEXTS[3]
    assert all(hit.score == hit.dense_score and hit.lexical_score is None for hit in hits)


def test_a_dense_share_of_1_asks_no_keyword_index(embedder, store, analyzer):
    hits = Retriever(embedder, store, alpha=1.0).retrieve(SearchRequest("serpent"))
    assert analyzer.languages == []
    assert all(hit.score == hit.dense_score for hit in hits)


def test_a_dense_share_of_0_orders_by_keywords_alone(embedder, store):
    hits = Retriever(embedder, store, alpha=0.0).retrieve(
        SearchRequest("serpent world ribbon ox", top_k=3)
    )
    words = [hit.lexical_score for hit in hits]
    assert words == sorted(words, reverse=True)
    assert hits[0].score == pytest.approx(1.0)


def test_equal_hits_stand_in_the_order_of_their_ids(embedder, analyzer):
    chunks = [make_chunk("the same text", number, "en") for number in range(8)]
    store = MemoryStore(dimension=512, analyzer=analyzer)
    vectors = embedder.embed_documents([chunk.text for chunk in chunks])
    store.upsert(chunks, vectors)
    hits = Retriever(embedder, store).retrieve(SearchRequest("same text"))
    ids = [hit.chunk.id for hit in hits]
    assert ids == sorted(ids)


def test_hits_below_the_threshold_are_left_out(embedder, store):
    retriever = Retriever(embedder, store)
    every = retriever.retrieve(SearchRequest("serpent around the world"))
    limit = sorted(hit.dense_score for hit in every)[-2]
    kept = retriever.retrieve(SearchRequest("serpent around the world", min_score_threshold=limit))
    assert len(kept) == 2
    assert all(hit.dense_score >= limit for hit in kept)
    assert [hit.score for hit in kept] == [h.score for h in every if h.dense_score >= limit]


def test_filters_are_taken_as_users_write_them(embedder, store):
    retriever = Retriever(embedder, store)
    assert texts(
        retriever.retrieve(SearchRequest("the wolf", filters=parse_filter("language=es")))
    ) == [TEXTS[5]]
    condition = {"field": "meta.number", "operator": "in", "value": [2, 3]}
    assert set(
        texts(retriever.retrieve(SearchRequest("wolf", filters=parse_filter(condition))))
    ) == {TEXTS[2], TEXTS[3]}


def test_many_questions_find_what_each_finds_alone(embedder, store):
    retriever = Retriever(embedder, store)
    queries = ["serpent", "", "Who cut hair?", "xyzzy"]
    together = retriever.retrieve_many(queries, SearchRequest("", top_k=4))
    for query, hits in zip(queries, together, strict=True):
        alone = retriever.retrieve(SearchRequest(query, top_k=4))
        assert [hit.chunk.id for hit in hits] == [hit.chunk.id for hit in alone]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in alone])


def test_an_empty_question_and_an_empty_collection_find_nothing(embedder, store):
    assert Retriever(embedder, store).retrieve(SearchRequest("  \n")) == []
    empty = MemoryStore(dimension=512)
    assert Retriever(embedder, empty).retrieve(SearchRequest("wolf")) == []
    assert Retriever(embedder, store).retrieve_many([], SearchRequest("")) == []


def test_the_reranker_reads_more_hits_than_are_returned(embedder, store):
    reranker = Backwards()
    fused = Retriever(embedder, store).retrieve(SearchRequest("serpent", top_k=6))
    hits = Retriever(embedder, store, reranker, rerank_candidates=5).retrieve(
        SearchRequest("serpent", top_k=2)
    )
    assert reranker.read == 5
    assert texts(hits) == texts(fused[:5][::-1][:2])


def test_hits_beyond_those_that_the_reranker_reads_follow_as_they_were(embedder, store):
    reranker = Backwards()
    fused = Retriever(embedder, store).retrieve(SearchRequest("serpent", top_k=6))
    hits = Retriever(embedder, store, reranker, rerank_candidates=3).retrieve(
        SearchRequest("serpent", top_k=5)
    )
    assert reranker.read == 3
    assert texts(hits) == texts([*fused[:3][::-1], *fused[3:5]])
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 <= score <= 1.0 for score in scores)


@pytest.mark.parametrize("top_k", [1, 3, 5])
def test_fewer_reranked_hits_are_the_first_of_more(embedder, store, top_k):
    retriever = Retriever(embedder, store, Backwards(), rerank_candidates=3)
    every = retriever.retrieve(SearchRequest("serpent", top_k=6))
    assert retriever.retrieve(SearchRequest("serpent", top_k=top_k)) == every[:top_k]


def test_a_chunk_deleted_during_the_search_is_left_out(embedder, store, monkeypatch):
    retriever = Retriever(embedder, store)
    before = retriever.retrieve(SearchRequest("ox ribbon serpent", top_k=3))
    read = store.fetch_chunks

    def read_without_the_best(ids):
        return [chunk for chunk in read(ids) if chunk.id != before[0].chunk.id]

    monkeypatch.setattr(store, "fetch_chunks", read_without_the_best)
    assert retriever.retrieve(SearchRequest("ox ribbon serpent", top_k=3)) == before[1:]


def test_only_the_chunks_of_the_best_are_read(embedder, store, monkeypatch):
    read, asked = store.fetch_chunks, []
    monkeypatch.setattr(store, "fetch_chunks", lambda ids: asked.append(ids) or read(ids))
    hits = Retriever(embedder, store).retrieve(SearchRequest("serpent", top_k=2))
    assert asked == [[hit.chunk.id for hit in hits]]


def test_a_question_is_taken_to_be_in_a_language_of_the_collection(embedder, store, analyzer):
    Retriever(embedder, store, languages=["en"]).retrieve(
        SearchRequest("El lobo duerme en el bosque")
    )
    Retriever(embedder, store, languages=lambda: {"en", "es"}).retrieve(
        SearchRequest("¿Dónde duerme el lobo?")
    )
    Retriever(embedder, store, languages=["en"], language="es").retrieve(SearchRequest("the wolf"))
    assert analyzer.languages == ["en", "es", "es"]


def test_the_dense_share_falls_where_the_embedder_does_not_know_the_language(store):
    english = FakeEmbedder(dimension=512, languages=("en",))
    query = "El lobo duerme"
    scores = {
        language: {
            hit.chunk.id: hit.score
            for hit in Retriever(english, store, language=language).retrieve(SearchRequest(query))
        }
        for language in ("en", "es")
    }
    explicit = {
        alpha: {
            hit.chunk.id: hit.score
            for hit in Retriever(english, store, language="es", alpha=alpha).retrieve(
                SearchRequest(query)
            )
        }
        for alpha in (0.5, 0.2)
    }
    assert scores == {"en": explicit[0.5], "es": explicit[0.2]}


def test_a_silent_model_is_judged_by_its_tokenizer_on_the_collections_own_text(store):
    silent = FakeEmbedder(dimension=512, languages=())
    query = "El lobo duerme"
    found = Retriever(silent, store, language="en").retrieve(SearchRequest(query))
    # Whole words are its tokens, but the two ends of each short text count too.
    assert [hit.score for hit in found] == [
        hit.score
        for hit in Retriever(silent, store, language="en", alpha=0.35).retrieve(
            SearchRequest(query)
        )
    ]


@pytest.mark.parametrize(
    "arguments", [{"top_k": 0}, {"min_score_threshold": 1.5}, {"min_score_threshold": -0.1}]
)
def test_arguments_out_of_range_are_refused(embedder, store, arguments):
    with pytest.raises(RequestError):
        Retriever(embedder, store).retrieve(SearchRequest("wolf", **arguments))


@pytest.mark.parametrize("options", [{"alpha": 2.0}, {"candidates": 0}, {"rerank_candidates": 0}])
def test_options_out_of_range_are_refused(embedder, store, options):
    with pytest.raises(SettingsError):
        Retriever(embedder, store, **options)


def search(embedder, analyzer, passages, query):
    store = MemoryStore(dimension=512, analyzer=analyzer)
    chunks = [make_chunk(text, number, "en") for number, text in enumerate(passages)]
    store.upsert(chunks, embedder.embed_documents(passages))
    return texts(Retriever(embedder, store).retrieve(SearchRequest(query)))


CODES = [
    "AX-200-B: bearing for the small pump.",
    "AX-200-C: bearing for the large pump.",
    "AX-2000-B: shaft of the small pump.",
    "Version 2.10.1 fixes the crash when printing.",
    "Version 2.1.10 adds a Greek menu.",
    "Version 2.1.1 removes the old importer.",
    "The template for C# is in folder sharp.",
    "The template for C++ is in folder plus.",
    "The template for C is in folder plain.",
    "The tank holds 1,250,000 litres.",
    "The barrel holds 1250 litres.",
    "Send complaints to complaints@north.example.com.",
    "Send invoices to accounts-payable@north.example.com.",
    "Use the option --dry-run to try it.",
    "Use the option -n to number the lines.",
    "Use the option -N to leave the dry run.",
    "The parcel weighs 12kg.",
    "The parcel weighs 13 kg.",
    "错误码 E-4711 表示电池没电。",
    "错误码 E-4712 表示电池过热。",
]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("AX-200-C", 1), ("ax200c", 1), ("AX200-B", 0), ("ax-2000-b", 2),
        ("version 2.10.1", 3), ("v2.1.10", 4), ("which version is 2.1.1?", 5),
        ("template for C#", 6), ("template for c++", 7), ("template for C", 8),
        ("Which thing holds 1250000 litres?", 9), ("1.250.000 litres", 9), ("1250 litres", 10),
        ("complaints@north.example.com", 11), ("accounts-payable", 12),
        ("--dry-run", 13), ("the option -n", 14), ("the option -N", 15),
        ("12 kg", 16), ("13kg", 17), ("E-4711", 18), ("e4712", 19),
    ],
)  # fmt: skip
def test_identifiers_find_their_own_passage(embedder, query, first):
    assert search(embedder, Bm25Analyzer(), CODES, query)[0] == CODES[first]


def test_the_passage_with_the_quoted_phrase_comes_first(embedder, analyzer):
    passages = ["The red pump is big and red.", "A cow.", "They have a big red cow and a barn."]
    assert search(embedder, analyzer, passages, "pump red big")[0] == passages[0]
    assert search(embedder, analyzer, passages, 'pump "big red"')[0] == passages[2]


def test_excluded_words_exclude_passages_but_options_do_not(embedder, analyzer):
    passages = ["The pump needs oil.", "The pump needs water.", "Call find -name to find files."]
    found = search(embedder, analyzer, passages, "pump -oil")
    assert found[0] == passages[1]
    assert passages[0] not in found
    assert search(embedder, analyzer, passages, "find -name")[0] == passages[2]


def test_literal_matches_count_without_a_keyword_index_too(embedder, store):
    hits = Retriever(embedder, DenseOnly(store)).retrieve(SearchRequest('serpent "the world"'))
    assert hits[0].chunk.text == TEXTS[3]
    found = Retriever(embedder, DenseOnly(store)).retrieve(SearchRequest("serpent -world"))
    assert TEXTS[3] not in texts(found)


def test_ten_copies_take_one_place_and_many_leave_places_to_others(embedder, analyzer):
    for number in (10, 300):
        passages = [*["The serpent lies around the world."] * number, *TEXTS[:3]]
        store = MemoryStore(dimension=512, analyzer=analyzer)
        chunks = [
            replace(chunk, metadata={**chunk.metadata, "source_uri": f"/{chunk.document_id}"})
            for chunk in (make_chunk(text, n, "en") for n, text in enumerate(passages))
        ]
        store.upsert(chunks, embedder.embed_documents(passages))
        hits = Retriever(embedder, store).retrieve(SearchRequest("the serpent of the world", 3))
        assert len(hits) == 3
        assert hits[0].chunk.text == passages[0]
        assert len(hits[0].copies) == number - 1
        assert len(set(texts(hits))) == 3


def test_passages_of_one_book_do_not_push_out_other_documents(embedder, analyzer):
    store = MemoryStore(dimension=512, analyzer=analyzer)
    pages = [f"The serpent of the world, page {word}." for word in ("one", "two", "six", "ten")]
    book = document_id("/book.txt")
    chunks = [replace(make_chunk(text, 0, "en"), document_id=book) for text in pages]
    chunks += [make_chunk(text, n, "en") for n, text in enumerate(TEXTS[2:4], 1)]
    store.upsert(chunks, embedder.embed_documents([chunk.text for chunk in chunks]))
    hits = Retriever(embedder, store).retrieve(SearchRequest("the serpent of the world", 4))
    assert [hit.chunk.document_id for hit in hits].count(book) == 3
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_pasted_mail_finds_the_passage_of_its_question(embedder, analyzer):
    filler = " ".join(f"We met number {n} at the market and talked of tea." for n in range(150))
    mail = f"Hello,\n\n{filler} Who cut the hair of Sif? {filler}\n\nBye"
    passages = [*TEXTS, *(f"At market {n} we talked of tea." for n in range(30))]
    assert len(mail) > 10_000
    assert search(embedder, analyzer, passages, mail)[0] == TEXTS[4]
    told = mail.replace("Who cut the hair of Sif?", 'Tell me about Loki, hair of Sif and "market".')
    assert TEXTS[4] in search(embedder, analyzer, passages, told)[:3]
