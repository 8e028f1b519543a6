import re

import pytest

from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.components.generators.passages import count_words, passages
from kvasir.core.errors import SettingsError
from kvasir.core.types import Chunk, Hit, Prompt
from kvasir.pipelines.citations import CitationChecker
from kvasir.testing.fakes import FakeEmbedder

DOCUMENT = (
    "# Brewing\n\n"
    "The mead of poetry was brewed by two dwarfs. They took honey for it.\n\n"
    "Who drank the mead of poetry first? Odin drank it in three draughts.\n\n"
    "| Vessel | Litres |\n| --- | --- |\n| Bodn | 20 |\n| Odrerir | 35 |\n"
)


def hit(text, number=0, score=1.0, start=0, headings=(), language="en", document=None):
    document = document or f"d{number}"
    chunk = Chunk(
        f"c{number}",
        document,
        text,
        start,
        start + len(text),
        None,
        headings,
        {"language": language},
    )
    return Hit(chunk, score, score, score)


def answer(question, *hits, **options):
    generator = ExtractiveGenerator(FakeEmbedder(), Bm25Analyzer(), **options)
    return "".join(generator.generate(Prompt(question, hits, ())))


def test_the_sentence_that_answers_is_quoted_with_its_marker():
    text = answer("Who brewed the mead of poetry?", hit(DOCUMENT))
    assert "The mead of poetry was brewed by two dwarfs. [1]" in text


def test_every_quotation_stands_in_its_source():
    hits = (hit(DOCUMENT, 0, start=50), hit("Bees make honey. Mead needs honey.", 1, 0.8, start=7))
    for question in ("Who brewed the mead?", "What holds 35 litres?", "What does mead need?"):
        checker = CitationChecker(question, hits, Bm25Analyzer())
        text = checker.feed(answer(question, *hits)) + checker.finish()
        assert checker.citations
        assert checker.removed == 0
        for citation in checker.citations:
            chunk = hits[citation.marker - 1].chunk
            start, end = citation.start - chunk.start, citation.end - chunk.start
            assert chunk.text[start:end] == citation.quote
            assert " ".join(citation.quote.split("\n")[-1].split()) in " ".join(text.split())


def test_a_question_in_the_source_is_no_answer_but_the_sentence_after_it_is():
    text = answer("Who drank the mead of poetry first?", hit(DOCUMENT), max_sentences=1)
    assert text == "Odin drank it in three draughts. [1]"


def test_headings_are_not_quoted():
    assert "# Brewing" not in answer("Brewing", hit(DOCUMENT))
    chunk = hit("Brewing\n\nMead is brewed of honey.", headings=("Brewing",))
    assert answer("Brewing", chunk) == "Mead is brewed of honey. [1]"


def test_a_table_row_comes_with_its_header():
    text = answer("How many litres does Odrerir hold?", hit(DOCUMENT), max_sentences=1)
    assert text == "| Vessel | Litres |\n| --- | --- |\n| Odrerir | 35 |\n[1]"


def test_a_table_that_began_in_another_chunk_keeps_its_header_and_its_lines():
    rows = "| Bodn | 20 |\n| Son | 25 |\n| Odrerir | 35 |"
    text = answer("Litres of Odrerir and Son?", hit(rows, headings=("Vessel | Litres",)))
    assert text.startswith("| Vessel | Litres |\n| --- | --- |\n| ")
    assert "| Son | 25 |\n| Odrerir | 35 |\n[1]" in text
    assert "| Odrerir | 35 |\n[1]" in answer("Litres of Odrerir?", hit(rows), max_sentences=1)


def test_what_stands_under_a_question_answers_it():
    section = hit("No. They stay. The dwarfs are sent home.", headings=("Are guests sent home?",))
    assert answer("Are guests sent home?", section, max_sentences=1) == "No. [1]"


def test_line_breaks_inside_a_sentence_become_spaces_but_not_in_code():
    assert answer("mead honey", hit("Mead is made\nof   honey.")) == "Mead is made of honey. [1]"
    code = "def brew():\n    honey = 3\n    return honey"
    assert code in answer("brew honey", hit(code))


def test_sentences_stand_in_the_order_of_their_source():
    source = "Honey comes first. Water comes second. Honey and water and yeast make mead."
    text = answer("What do honey, water and yeast make?", hit(source), min_relative_score=0.0)
    found = re.findall(r"[^.\[\]]+\.", re.sub(r"\[\d\]", "", text))
    positions = [source.index(sentence.strip()) for sentence in found]
    assert positions == sorted(positions)
    assert len(positions) > 1


def test_the_same_words_are_quoted_once():
    same = "Kvasir was made by the gods."
    text = answer("Who made Kvasir?", hit(same, 0), hit(same, 1), hit(f"{same} ", 2))
    assert text.count(same) == 1


def test_an_answer_keeps_to_its_limits():
    source = " ".join(f"Mead number {n} is made of honey." for n in range(20))
    text = answer("What is mead made of?", hit(source), min_relative_score=0.0, max_sentences=3)
    assert text.count("[1]") == 3
    text = answer(
        "What is mead made of?", hit(source), min_relative_score=0.0, max_sentences=9, max_words=20
    )
    assert count_words(re.sub(r"\[\d\]", "", text)) <= 20


def test_a_very_long_sentence_is_cut_at_clauses_and_its_quote_still_stands():
    padding = ", ".join(f"and the bard number {n} sang of battles and of ships" for n in range(12))
    source = f"In the beginning {padding}, but the mead was stolen by Odin himself, {padding}."
    text = answer("Who stole the mead?", hit(source))
    assert text.startswith("… ")
    assert "the mead was stolen by Odin himself" in text
    assert count_words(text) <= 62
    checker = CitationChecker("Who stole the mead?", [hit(source)], Bm25Analyzer())
    checker.feed(text)
    checker.finish()
    (citation,) = checker.citations
    assert source[citation.start : citation.end] == citation.quote
    assert citation.quote in text


def test_chinese_is_quoted_without_spaces_between_words():
    source = hit("蜜酒由蜂蜜制成。诸神创造了克瓦希尔。他走遍世界。", language="zh")
    assert "诸神创造了克瓦希尔。 [1]" in answer("谁创造了克瓦希尔？", source)


def test_without_hits_nothing_is_said():
    assert answer("Who?") == ""


def test_where_nothing_can_be_quoted_the_first_line_is():
    assert answer("What?", hit("# Only a heading")) == "# Only a heading [1]"


def test_sentences_seen_lately_are_not_embedded_again():
    embedder = FakeEmbedder()
    generator = ExtractiveGenerator(embedder, Bm25Analyzer())
    prompt = Prompt("Who brewed the mead?", (hit(DOCUMENT),), ())
    first = "".join(generator.generate(prompt))
    embedded = embedder.embedded
    assert "".join(generator.generate(prompt)) == first
    assert embedder.embedded == embedded


def test_passages_hold_their_offsets_in_the_document():
    document = "Preface. " + DOCUMENT
    for passage in passages([hit(DOCUMENT, start=9)]):
        assert document[passage.start : passage.start + len(passage.text)] == passage.text


@pytest.mark.parametrize(
    "options", [{"max_sentences": 0}, {"max_words": 0}, {"read_hits": 0}, {"min_relative_score": 2}]
)
def test_unusable_options_are_refused(options):
    with pytest.raises(SettingsError):
        ExtractiveGenerator(FakeEmbedder(), Bm25Analyzer(), **options)
