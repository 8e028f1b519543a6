"""A German compound finds texts that write its parts as words of their own."""

import pytest

from kvasir.answering.retrieval import Retriever
from kvasir.components.analyzers.bm25 import PART_WEIGHT, Bm25Analyzer
from kvasir.components.stores.hybrid import search_terms
from kvasir.core.types import Chunk, SearchRequest
from kvasir.language.compounds import LONGEST_WORD, MOST_WORDS, SHORTEST_PART, compound_parts
from kvasir.testing.fakes import FakeAnalyzer, FakeEmbedder, MemoryStore


@pytest.mark.parametrize(
    ("word", "first", "last"),
    [
        ("Brandschutzschulung", "brandschutz", "schulung"),
        ("Arbeitsspeicher", "arbeit", "speicher"),
        ("Plattenplatz", "platte", "platz"),
        ("Kinderbücher", "kinder", "bücher"),
    ],
)
def test_both_parts_of_a_compound_are_found_without_what_links_them(word, first, last):
    parts = compound_parts(f"Wo ist der {word}?")
    assert {first, last} <= set(parts)
    assert min(map(len, parts)) >= SHORTEST_PART


def test_short_words_and_numbers_have_no_parts():
    assert compound_parts("Wer war 1234567890123 im Haustier-Heim?") == []


def test_a_run_of_letters_that_is_no_word_and_the_words_of_a_long_text_are_not_cut():
    assert compound_parts("a" * LONGEST_WORD)
    assert compound_parts("a" * (LONGEST_WORD + 1)) == []
    assert compound_parts("x1" + "a" * (LONGEST_WORD + 1) + "_b") == []
    words = [f"{chr(ord('a') + n)}brandschutz" for n in range(MOST_WORDS)]
    assert compound_parts(" ".join([*words, "Arbeitsspeicher"])) == compound_parts(" ".join(words))


def test_parts_of_german_words_weigh_less_than_words_and_other_languages_have_none():
    analyzer = Bm25Analyzer()
    (whole,) = analyzer.query_terms(["Brandschutzschulung"], ["de"])
    (parts,) = analyzer.query_terms(["Schulung Brandschutz"], ["de"])
    (found,) = analyzer.search_terms(["Brandschutzschulung"], ["de-DE"])
    weights = dict(zip(found.indices.tolist(), found.values.tolist(), strict=True))
    assert found.indices.tolist() == sorted(weights)
    assert all(weights[term] == 1.0 for term in whole.indices.tolist())
    assert all(weights[term] == PART_WEIGHT for term in parts.indices.tolist())
    for language in ("en", "zh", ""):
        (found,) = analyzer.search_terms(["Brandschutzschulung"], [language])
        (same,) = analyzer.query_terms(["Brandschutzschulung"], [language])
        assert found.indices.tolist() == same.indices.tolist()


def test_a_part_that_is_a_word_of_the_query_keeps_its_weight():
    (found,) = Bm25Analyzer().search_terms(["Brandschutz: Brandschutzschulung"], ["de"])
    (word,) = Bm25Analyzer().query_terms(["Brandschutz"], ["de"])
    assert found.values[found.indices == word.indices[0]].tolist() == [1.0]


def test_an_analyzer_without_further_terms_searches_for_those_of_its_words():
    analyzer = FakeAnalyzer()
    (found,) = search_terms(analyzer, ["Brandschutzschulung"], ["de"])
    (same,) = analyzer.query_terms(["Brandschutzschulung"], ["de"])
    assert found.indices.tolist() == same.indices.tolist()


def test_a_search_for_a_compound_finds_its_parts():
    texts = ["Brandschutz: die nächste Schulung ist im Mai.", "Der Keller ist im Mai zu.", "Hof"]
    chunks = [
        Chunk(str(n), str(n), text, 0, len(text), None, (), {"language": "de"})
        for n, text in enumerate(texts)
    ]
    embedder, store = FakeEmbedder(64), MemoryStore(64, Bm25Analyzer())
    store.upsert(chunks, embedder.embed_documents(texts))
    retriever = Retriever(embedder, store, languages=["de"], alpha=0.0)
    hit, *_ = retriever.retrieve(SearchRequest("Wann ist die Brandschutzschulung?"))
    assert hit.chunk.text == texts[0]
    assert hit.lexical_score
