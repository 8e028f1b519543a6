"""An explained search finds what a search finds, and its parts add up to every score."""

import random
import string
from dataclasses import replace

import numpy as np
import pytest

from kvasir.answering.evidence import ALL_FEATURES
from kvasir.answering.reference_pairs import REFERENCE_PAIRS
from kvasir.answering.retrieval import Retriever
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core import explanation_words as words
from kvasir.core.explanations import DESCRIBED_WEIGHT, Decision, LeftOutReason, Weighting
from kvasir.core.filters import parse_filter
from kvasir.core.types import Certainty, Chunk, ExplainedSearch, SearchRequest
from kvasir.core.wire import dumps, loads
from kvasir.testing.fakes import FakeEmbedder, MemoryStore

MAIL = (
    "Dear all, last week we moved to the new house by the river, which took longer than planned "
    "because of the rain. The kitchen is not unpacked yet, but the old table stands in its place. "
) * 6 + "Who gave an eye for a drink from the well? And which fish did Thor catch with the ox head?"
BOOK = [f"The wolf of chapter {number} sleeps beside the old river." for number in range(9)]
TEXTS = [
    *BOOK,
    "The wolf Fenrir was bound with a ribbon named Gleipnir.",
    "Odin gave an eye for a drink from the well.",
    "Thor fished for the serpent with an ox head, and the fish was large.",
    "The serpent lies around the world beside no river.",
    "Part AX-200-C is the bearing of the large pump.",
    "Part AX-200-B is the bearing of the small pump.",
    "El lobo duerme en el bosque.",
    "The wolf was seen again.",
    "The wolf was seen again.",
    "The wolf was  seen again.",
]
QUERIES = [
    "wolf",
    "wolf river",
    "Who gave an eye?",
    "xyzzy",
    'wolf "beside the old river"',
    "wolf -river",
    "bearing AX-200-C",
    "bearing AX-999-Z",
    "El lobo duerme",
    MAIL,
]


class DenseOnly:
    """A store without a keyword index."""

    def __init__(self, store):
        self.dimension = store.dimension
        self.search = store.search
        self.fetch_chunks = store.fetch_chunks


class Backwards:
    """A reranker that turns the order around."""

    def rerank(self, query, hits, top_k):
        rated = [replace(hit, score=1 - place / 40) for place, hit in enumerate(reversed(hits))]
        return rated[:top_k]


class ComparesLanguages(FakeEmbedder):
    """Finds the passages of the shipped reference pairs in both languages of the texts."""

    def __init__(self):
        super().__init__(512, languages=())
        self.fingerprint = "compares languages"

    def embed_queries(self, texts):
        vectors = super().embed_queries(texts)
        for row, text in zip(vectors, texts, strict=True):
            for code in ("en", "es"):
                for number, pair in enumerate(REFERENCE_PAIRS[code]):
                    if text in pair:
                        row[:] = np.eye(len(row), dtype=np.float32)[number]
        return vectors


@pytest.fixture(scope="module")
def embedder():
    return FakeEmbedder(dimension=512)


@pytest.fixture(scope="module")
def store(embedder):
    store = MemoryStore(dimension=512, analyzer=Bm25Analyzer())
    store.upsert([make_chunk(text, n) for n, text in enumerate(TEXTS)],
                 embedder.embed_documents(TEXTS))  # fmt: skip
    return store


def make_chunk(text, number):
    document = "book" if text in BOOK else f"d{number:02}"
    language = "es" if text.startswith("El ") else "en"
    metadata = {"language": language, "source_uri": f"/{document}.txt", "number": number}
    return Chunk(f"c{number:02}", document, text, 0, len(text), metadata=metadata)


@pytest.fixture(
    scope="module",
    params=["hybrid", "vectors alone", "reranked", "keywords", "few candidates", "across"],
)
def retriever(request, embedder, store):
    languages = ["en", "es"]
    return {
        "hybrid": lambda: Retriever(embedder, store, languages=languages),
        "vectors alone": lambda: Retriever(embedder, DenseOnly(store)),
        "reranked": lambda: Retriever(embedder, store, Backwards(), rerank_candidates=4),
        "keywords": lambda: Retriever(embedder, store, alpha=0.0),
        "few candidates": lambda: Retriever(embedder, store, candidates=3),
        "across": lambda: Retriever(ComparesLanguages(), store, languages=languages),
    }[request.param]()


def score_of(part, search):
    """Return a hit's score from its parts, as ``core.explanations`` describes it."""
    score = (
        search.dense_share * part.scaled_dense + (1.0 - search.dense_share) * part.scaled_lexical
    )
    if part.literal_share is not None:
        score = (score + part.literal_share) / 2.0
    if part.described is not None:
        score = (score + DESCRIBED_WEIGHT * part.described) / (1.0 + DESCRIBED_WEIGHT)
    if part.reranked is not None:
        return part.reranked
    return score if search.unread_factor is None else score * search.unread_factor


def test_a_passage_in_another_language_says_by_how_much_its_score_was_shifted(store):
    retriever = Retriever(ComparesLanguages(), store, languages=["en", "es"])
    search = check(retriever, SearchRequest("Where was the wolf seen again?", 12)).explanation
    (spanish,) = [part for part in search.hits if part.shift]
    assert search.weighting is Weighting.COMPARED
    dense = (1.0 + spanish.cosine) / 2.0 + spanish.shift
    scaled = 1.0 - (search.best_dense - dense) / search.dense_range
    assert spanish.scaled_dense == pytest.approx(scaled)


def check(retriever, request):
    found = retriever.explain(request)
    search = found.explanation
    assert list(found.hits) == retriever.retrieve(request)
    assert [part.chunk_id for part in search.hits] == [hit.chunk.id for hit in found.hits]
    for part, hit in zip(search.hits, found.hits, strict=True):
        assert part.score == hit.score
        assert score_of(part, search) == pytest.approx(hit.score, abs=1e-9)
        assert part.cosine == pytest.approx(2.0 * hit.dense_score - 1.0)
        assert part.lexical_score == hit.lexical_score
        assert (part.lexical_rank is None) == (hit.lexical_score is None)
        assert part.dense_rank is not None or part.lexical_rank is not None
    assert search.candidates == len(found.hits) + sum(each.count for each in search.left_out)
    return found


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:20])
@pytest.mark.parametrize("limits", [{}, {"top_k": 3}, {"min_score_threshold": 0.6}], ids=str)
def test_the_hits_are_the_same_and_the_parts_add_up(retriever, query, limits):
    check(retriever, SearchRequest(query, **limits))


def test_it_holds_for_queries_of_any_words(retriever):
    chance = random.Random(7)
    known = [word.strip(string.punctuation) for text in TEXTS for word in text.split()]
    for _ in range(60):
        chosen = chance.choices(known, k=chance.randint(1, 5))
        chosen[0] = chance.choice([chosen[0], f"-{chosen[0]}", f'"{chosen[0]}"'])
        request = SearchRequest(" ".join(chosen), chance.choice([1, 4, 10]),
                                chance.choice([0.0, 0.55]))  # fmt: skip
        check(retriever, request)


@pytest.fixture(scope="module")
def hybrid(embedder, store):
    return Retriever(embedder, store, languages=["en", "es"])


def left_out(search, reason):
    return next((each for each in search.left_out if each.reason is reason), None)


def test_an_excluded_word_is_named_with_the_passages_that_hold_it(hybrid):
    search = check(hybrid, SearchRequest("wolf -ribbon")).explanation
    assert (search.query, search.excluded) == ("wolf", ("ribbon",))
    found = left_out(search, LeftOutReason.EXCLUDED)
    (passage,) = found.passages
    assert (found.count, passage.word, passage.source_uri) == (1, "ribbon", "/d09.txt")


def test_what_the_limit_for_each_document_left_out_is_named_and_what_filled_its_place(hybrid):
    found = check(hybrid, SearchRequest("wolf river", top_k=4))
    search = found.explanation
    assert search.most_of_one == 3
    beyond = left_out(search, LeftOutReason.DOCUMENT)
    assert (beyond.count, beyond.passages[0].document_id) == (1, "book")
    assert [part.filled for part in search.hits] == [False, False, False, True]
    assert [part.of_document for part in search.hits] == [1, 2, 3, 1]


def test_copies_and_a_threshold_are_counted(hybrid):
    search = check(hybrid, SearchRequest("wolf was seen again")).explanation
    assert search.hits[0].copies == 2
    assert left_out(search, LeftOutReason.COPY).count == 2
    limited = SearchRequest("wolf was seen again", min_score_threshold=0.9)
    below = left_out(check(hybrid, limited).explanation, LeftOutReason.THRESHOLD)
    assert below.count >= len(below.passages) > 0
    assert all(each.score < 0.9 for each in below.passages)


def test_phrases_and_identifiers_say_who_holds_them(hybrid):
    search = check(hybrid, SearchRequest("bearing AX-200-C")).explanation
    assert "ax200c" in search.identifiers
    first, *others = search.hits
    assert first.literal_share == 1.0 and set(first.held) == set(search.identifiers)
    assert all(part.literal_share < 1.0 for part in others)
    missed = check(hybrid, SearchRequest("bearing AX-999-Z")).explanation
    assert {part.literal_share for part in missed.hits} == {None}


def test_an_option_excludes_nothing_and_says_so(embedder):
    texts = ["Use find -name to look for files.", "Files have a name.", "Wolves have none."]
    store = MemoryStore(dimension=512, analyzer=Bm25Analyzer())
    store.upsert([make_chunk(text, n) for n, text in enumerate(texts)],
                 embedder.embed_documents(texts))  # fmt: skip
    search = check(Retriever(embedder, store), SearchRequest("find -name")).explanation
    assert (search.options, search.excluded) == (("name",), ())


def test_a_long_question_names_its_parts_and_which_of_them_found_a_hit(hybrid):
    found = check(hybrid, SearchRequest(MAIL))
    search = found.explanation
    assert len(search.parts) > 1
    by_text = {hit.chunk.text: search.parts[part.part]
               for hit, part in zip(found.hits, search.hits, strict=True)}  # fmt: skip
    assert "Thor" in by_text[TEXTS[11]] and "eye" in by_text[TEXTS[10]]


def test_it_says_the_language_and_why_meaning_counts_as_it_does(embedder, store):
    def explain(query, **options):
        made = FakeEmbedder(dimension=512, languages=options.pop("knows", ("en",)))
        return Retriever(made, store, **options).explain(SearchRequest(query)).explanation

    both = {"languages": ["en", "es"]}
    english = explain("Where does the wolf sleep?", **both)
    assert (english.language, english.weighting) == ("en", Weighting.LISTED)
    assert (english.dense_share, english.languages) == (0.5, ("en", "es"))
    spanish = explain("¿Dónde duerme el lobo?", **both)
    assert (spanish.language, spanish.weighting) == ("es", Weighting.NOT_LISTED)
    assert spanish.dense_share == 0.2
    assert spanish.reply_language == "es"
    assert explain("wolf", language="en", knows=()).weighting is Weighting.TOKENIZER
    assert explain("loup", language="fr", knows=()).weighting is Weighting.UNKNOWN
    told = explain("wolf", language="en", alpha=0.3)
    assert (told.weighting, told.dense_share, told.language_set) == (Weighting.SETTING, 0.3, True)
    alone = Retriever(embedder, DenseOnly(store)).explain(SearchRequest("wolf")).explanation
    assert (alone.weighting, alone.language) == (Weighting.VECTORS_ALONE, "")


def test_filters_are_said_and_an_empty_question_explains_nothing(hybrid):
    request = SearchRequest("wolf", filters=parse_filter("language=es"))
    search = check(hybrid, request).explanation
    assert search.filters == {"field": "meta.language", "operator": "==", "value": "es"}
    empty = hybrid.explain(SearchRequest("  "))
    assert (empty.hits, empty.explanation.hits, empty.explanation.candidates) == ((), (), 0)


def test_it_survives_its_json_form(retriever):
    for query in QUERIES[:6]:
        found = retriever.explain(SearchRequest(query))
        assert loads(ExplainedSearch, dumps(found)) == found


def test_every_feature_and_every_outcome_has_words_in_every_language():
    for language in words.LANGUAGES:
        assert len({words.meaning_of(name, language) for name in ALL_FEATURES}) == len(ALL_FEATURES)
    assert words.meaning_of("lead", "xx") == words.meaning_of("lead", "en")
    for name in [*Weighting, *LeftOutReason, *Certainty]:
        assert name.value in words._SAYINGS
    for decision in Decision:
        assert f"by_{decision.name.lower()}" in words._SAYINGS


def test_a_sentence_has_the_same_values_in_every_language():
    def fields(text):
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for name, sayings in words._SAYINGS.items():
        english, *others = map(fields, sayings)
        assert len(sayings) == len(set(sayings)) == len(words.LANGUAGES), name
        assert all(each == english for each in others), name
