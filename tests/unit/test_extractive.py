import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvasir.answering.citations import CitationChecker
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import (
    SECONDARY_COST,
    ExtractiveGenerator,
)
from kvasir.components.generators.extractive_passages import Passage, passages
from kvasir.components.generators.extractive_scores import inherit_heading_scores
from kvasir.core.errors import SettingsError
from kvasir.core.text import count_words
from kvasir.core.types import Chunk, Hit, Prompt
from kvasir.language.sentences import sentence_spans
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


def cited(question, *hits, **options):
    """Returns the checked answer; every marker of the generator must have been kept."""
    checker = CitationChecker(question, hits, Bm25Analyzer())
    text = checker.feed(answer(question, *hits, **options)) + checker.finish()
    assert checker.removed == 0
    for citation in checker.citations:
        chunk = hits[citation.marker - 1].chunk
        start, end = citation.start - chunk.start, citation.end - chunk.start
        assert chunk.text[start:end] == citation.quote
    return text, checker.citations


def test_a_line_that_looks_like_a_heading_and_a_caption_give_way_to_sentences():
    sentence = "The mead of poetry is brewed of honey."
    text = f"Mead of poetry\n\nFigure 3: The mead of poetry\n\n{sentence}\n\nThe dwarfs went home."
    assert answer("mead of poetry", hit(text), max_sentences=1) == f"{sentence} [1]"
    assert "Figure 3" in answer("mead of poetry", hit("Figure 3: The mead of poetry"))


def test_what_a_sentence_announces_is_quoted_with_it_to_the_letter():
    text = "Mead needs three things:\n\n- honey\n- water\n- yeast\n\nThe dwarfs went home."
    said, citations = cited("What does mead need?", hit(text, start=9), max_sentences=1)
    assert said == "Mead needs three things:\n\n- honey\n- water\n- yeast\n[1]"
    assert citations[0].quote == text[: text.index("\n\nThe")]
    table = "Mead needs these things:\n\n| thing | litres |\n| --- | --- |\n| water | 20 |"
    assert cited("What does mead need?", hit(table), max_sentences=1)[0] == f"{table}\n[1]"
    sentence = "Mead needs one thing above all: \n\nHoney of the best bees."
    assert cited("What does mead need?", hit(sentence), max_sentences=1)[0] == (
        "Mead needs one thing above all: Honey of the best bees. [1]"
    )


def test_an_announcement_of_nothing_gives_way_to_a_sentence():
    text = "Honey and water are mixed. Mead needs three things:"
    assert answer("What does mead need?", hit(text), max_sentences=1).startswith("Honey and water")


def test_a_long_list_is_cut_at_an_item_within_the_word_budget():
    items = "\n".join(f"- thing number {n}" for n in range(50))
    said, _ = cited("What does mead need?", hit(f"Mead needs these:\n\n{items}"), max_words=20)
    assert said.endswith("\n…\n[1]")
    assert count_words(said) <= 21


def test_what_two_documents_say_is_said_once_with_both_markers():
    copies = (
        hit("- Kvasir was made by [the gods](/gods).[23]", 0),
        hit("Bees are small.", 1),
        hit("Kvasir was  made by the gods.", 2),
    )
    said, citations = cited("Who made Kvasir?", *copies, max_sentences=1)
    assert said.endswith(" [1][3]")
    assert [citation.marker for citation in citations] == [1, 3]


def test_the_best_sentence_comes_first_unless_its_neighbour_is_quoted_too():
    source = "Mead is old. Bees are small. Winter is long. Honey makes mead strong and sweet."
    text = answer("What makes mead strong?", hit(source), min_relative_score=0.0, max_sentences=2)
    assert text.startswith("Honey makes mead strong and sweet. [1] ")


def test_a_table_whose_heading_asks_is_quoted_whole():
    rows = "| code | meaning |\n|---|---|\n| 0 | done |\n| 4 | some failed |"
    section = hit(rows, headings=("What do the exit codes mean?",))
    assert cited("What do the exit codes mean?", section)[0] == f"{rows}\n[1]"


def test_a_table_whose_header_is_asked_for_is_quoted():
    head = "| month | visitors | new members |\n|---|---|---|"
    table = f"{head}\n| May | 980 | 18 |\n| June | 1115 | 25 |"
    said, _ = cited("How many new members are there?", hit(table), hit("New rules apply.", 1, 0.5))
    assert said == f"{table}\n[1]"


def test_a_table_that_is_cut_says_how_many_rows_are_quoted():
    head = "| format | kept |\n|---|---|"
    rows = "\n".join(f"| kind {number} | its text and all of its tables |" for number in range(31))
    section = ("Which of them can be ingested?",)
    whole = hit(f"{head}\n{rows}\n", headings=section)
    said, _ = cited("Which of them can be ingested?", whole, max_words=40)
    assert said.endswith("| kind 14 | its text and all of its tables |\n… (15/31)\n[1]")
    perhaps_cut = hit(f"{head}\n{rows}", headings=section)
    said, _ = cited("Which of them can be ingested?", perhaps_cut, max_words=40)
    assert said.endswith("all of its tables |\n…\n[1]")


def test_a_row_that_shares_one_word_gives_way_to_a_sentence():
    text = "| brand | size |\n|---|---|\n| Mead | 3 |\n\nMead is a drink made of honey and water."
    assert answer("What is mead?", hit(text), max_sentences=1).startswith("Mead is a drink")


def test_code_stays_together_and_gives_way_to_sentences():
    code = "```sh\nkvasir brew honey\n\nkvasir brew. --mead\n```"
    text = f"Mead is brewed of honey by command.\n\n{code}"
    assert answer("How is mead brewed of honey?", hit(text), max_sentences=1).startswith("Mead is")
    assert cited("mead", hit(f"For mead:\n\n{code}"))[0] == f"For mead:\n\n{code}\n[1]"


def test_a_sentence_that_goes_on_after_code_is_quoted_with_its_beginning():
    text = "kvasir brew --mead\n\nopens a barrel of mead."
    said, _ = cited("What opens a barrel?", hit(text), max_sentences=1)
    assert said == "kvasir brew --mead opens a barrel of mead. [1]"


def test_neighbouring_sentences_stand_in_the_order_of_their_source():
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


_PARTS = st.sampled_from(
    [
        "3. Mai",
        "am 3. Mai 2024",
        "C++",
        "C#",
        "F# 4.7",
        "-5 °C",
        "+ 12 %",
        "- 3 %",
        "1.5.2",
        "1) x",
        "19,99 €",
        "$ 3.50",
        "10^6",
        "a * b",
        "x - y",
        "No. 7",
        "z. B.",
        "el 1.º de mayo",
        "Bees",
        "make",
        "honey",
        "where",
        "mead",
        "5",
        "12.",
        "• two",
        "* three",
        "- four",
        "Art. 3 Abs. 2",
        "2024-05-03",
        "±0.5",
        "<3",
        ">= 2",
        "¿Cuánto?",
        "100 %",
        "v2.0.1.",
    ]
)
_LINES = st.builds(
    lambda bullet, parts, end: bullet + " ".join(parts) + end,
    st.sampled_from(["", "", "- ", "* ", "+ ", "• ", "1. ", "3. ", "12) "]),
    st.lists(_PARTS, min_size=1, max_size=7),
    st.sampled_from([".", "", ":", "!", " ok."]),
)
_DOCUMENTS = st.lists(
    st.builds("".join, st.tuples(_LINES, st.sampled_from([" ", "\n", "\n\n"]))),
    min_size=1,
    max_size=9,
).map("".join)
_MARKERS = re.compile(r"\s(?:\[\d\])+\s*")


def _letters(text):
    return "".join(text.split())


def _whole_pieces(text, language):
    """Returns where a quotation may begin and end, in characters that are not white space."""
    starts, ends = set(), set()
    number_before = 0
    for start, end in sentence_spans(text, language):
        before = len(_letters(text[:start]))
        # What stands behind a number in its line does not begin without it.
        if not number_before or "\n" in text[number_before:start]:
            starts.add(before)
        number_before = end if re.fullmatch(r"\d+[.)]", text[start:end]) else 0
        # A bullet may be left out, never a number or what may be the sign of one.
        if re.match(r"[-*+•]\s+[^\s\d]", text[start:end]):
            starts.add(before + 1)
        ends.add(len(_letters(text[:end])))
    return starts, ends


@settings(max_examples=150, deadline=None)
@given(st.lists(_DOCUMENTS, min_size=1, max_size=3), st.sampled_from(["de", "en", "es"]), _LINES)
def test_an_answer_without_its_markers_is_made_of_pieces_of_the_documents(texts, language, asked):
    hits = [hit(text, n, 1 - n / 10, language=language) for n, text in enumerate(texts)]
    said, _ = cited(asked, *hits)
    pieces = [piece for piece in _MARKERS.split(said) if piece.strip()]
    assert pieces
    for piece in pieces:
        wanted = _letters(piece.removesuffix("\n…"))
        whole = False
        for text in texts:
            letters, (starts, ends) = _letters(text), _whole_pieces(text, language)
            whole |= any(
                letters.startswith(wanted, start) and start + len(wanted) in ends
                for start in starts
            )
        assert whole, (piece, texts)


@pytest.mark.parametrize(
    ("question", "text", "language"),
    [
        ("Wann ist das Treffen?", "Das Treffen ist am 3. Mai 2024 in Köln.", "de"),
        ("Wann ist das Treffen?", "3. Mai 2024 ist der Tag für das Treffen.", "de"),
        ("Was regelt Abs. 2?", "Nach § 4 Abs. 2 Nr. 1) gilt eine Frist von 14 Tagen.", "de"),
        ("¿Cuándo es la fiesta?", "La fiesta es el 1. de mayo a las 5 p. m. en Ávila.", "es"),
        ("¿Qué temperatura hizo?", "- 5 °C fue la temperatura más baja.", "es"),
        ("Which language is it?", "It is written in C++ and F# 4.7, not in C.", "en"),
        ("What does + do?", "In C++ the + operator adds and a * b multiplies.", "en"),
        ("Which version is it?", "Kvasir needs version 2. 1 or 3.11.2 - not 2.x.", "en"),
        ("What does it cost?", "It costs 1. 299,00 € or $ 3.50 - 10 % less.", "en"),
        ("When was it released?", "1. 5. 2024 was when version 1.5 was released.", "en"),
        ("How did sales change?", "Sales changed by\n+ 12 % in May.", "en"),
        ("Which year was good?", "Year [2020] was good [12].", "en"),
        ("Which year was good?", "The year 1984 was bad. See [12], year 1985 was good.", "en"),
    ],
)
def test_numbers_and_signs_in_a_sentence_stay(question, text, language):
    said, citations = cited(question, hit(text, language=language))
    assert citations
    whole = [part for part in _MARKERS.split(said) if part.strip()]
    assert "".join(map(_letters, whole)) in _letters(text)
    assert all(
        _letters(part) in map(_letters, (text, *_sentences(text, language))) for part in whole
    )


def _sentences(text, language):
    return [text[start:end] for start, end in sentence_spans(text, language)]


def test_a_bullet_is_left_out_and_a_number_is_not():
    assert answer("What is hot?", hit("- Tea is hot.")) == "Tea is hot. [1]"
    assert answer("What is hot?", hit("3. Tea is hot.")) == "3. Tea is hot. [1]"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It was -5 °C in Turku.", "It was 5 °C in Turku."),
        ("It is written in C++.", "It is written in C."),
        ("3. May was the day of it.", "4. May was the day of it."),
    ],
)
def test_statements_that_differ_in_a_number_or_sign_are_not_the_same(one, other):
    said, _ = cited(one, hit(one, 0), hit(other, 1), max_sentences=1)
    assert said == f"{one} [1]"


def test_text_under_a_heading_inherits_its_score():
    def passage(marker, quotable=True, is_secondary=False):
        return Passage(marker, hit("text").chunk, 0, "text", quotable, is_secondary)

    heading, text, aside = passage(1, quotable=False), passage(1), passage(1, is_secondary=True)
    found = [heading, aside, text, text, heading, passage(2)]
    scores = inherit_heading_scores(np.array([0.9, 0.1, 0.2, 0.3, 0.8, 0.4]), found)
    assert scores.tolist() == pytest.approx([0.9, 0.9 - SECONDARY_COST, 0.9, 0.3, 0.8, 0.4])


PRICES = (
    "Changing the tyres of the model Aro costs 90 euros.\n\n"
    "A service of the model Aro costs 240 euros.\n\n"
    "Changing the tyres of the model Bix costs 120 euros.\n\n"
    "A service of the model Bix costs 330 euros."
)


def test_a_sentence_that_says_the_same_of_another_thing_is_not_quoted():
    said = answer("How much is a change of tyres for the model Bix?", hit(PRICES))
    assert said == "Changing the tyres of the model Bix costs 120 euros. [1]"


def test_a_row_about_another_thing_is_not_quoted():
    rows = "\n".join(f"| Mill {n} | {n + 40} t | {n + 60} t |" for n in (1, 2, 3, 23))
    table = f"| Mill | Flour 2023 | Bran 2023 |\n| --- | --- | --- |\n{rows}"
    said = answer("How much bran did Mill 23 make in 2023?", hit(table))
    assert said.endswith("| --- |\n| Mill 23 | 63 t | 83 t |\n[1]")
    said = answer("Bran of Mill 2 and Mill 23 in 2023?", hit(table))
    assert "| Mill 2 |" in said
    assert "| Mill 23 |" in said


def test_a_sentence_that_goes_on_is_quoted():
    text = "The mead of poetry was brewed by two dwarfs. It was made of honey and of blood."
    said = answer("Who brewed the mead of poetry?", hit(text), min_relative_score=0.3)
    assert said.startswith(f"{text.partition('. ')[0]}. [1] It was made")


def test_the_answer_is_in_the_language_of_the_question():
    english = hit("The museum Prado opens at 10 and closes at 20.", 0, 1.0)
    spanish = hit("El museo Prado abre a las 10 y cierra a las 20.", 1, 0.9, language="es")
    assert answer("When does the museum Prado open?", english, spanish).startswith("The museum")
    asked = "¿A qué hora abre el museo Prado?"
    assert answer(asked, english, spanish) == f"{spanish.chunk.text} [2]"
    asked = "¿A qué hora cierra el museo Prado, que es tan grande?"
    assert answer(asked, english) == f"{english.chunk.text} [1]"


def test_an_example_that_repeats_the_question_is_no_answer():
    text = (
        '    kvasir search "Which formats can be ingested?"\n\nprints the passages that match.\n\n'
        "The formats that can be ingested are Markdown, HTML and PDF."
    )
    said = answer("Which formats can be ingested?", hit(text), max_sentences=1)
    assert said == "The formats that can be ingested are Markdown, HTML and PDF. [1]"


def test_only_sentences_that_may_be_quoted_are_embedded(monkeypatch):
    embedder, embedded = FakeEmbedder(), []
    embed = embedder.embed_documents
    monkeypatch.setattr(
        embedder, "embed_documents", lambda texts: embedded.extend(texts) or embed(texts)
    )
    generator = ExtractiveGenerator(embedder, Bm25Analyzer())
    others = [f"Text {number} about the weather at sea." for number in range(20)]
    hits = (
        hit("The mead of poetry was brewed by two dwarfs."),
        *(hit(other, number, 0.3) for number, other in enumerate(others, 1)),
    )
    text = "".join(generator.generate(Prompt("Who brewed the mead of poetry?", hits, ())))
    assert text == "The mead of poetry was brewed by two dwarfs. [1]"
    assert hits[0].chunk.text in embedded
    assert len(embedded) == 2


def test_a_heading_whose_score_may_win_is_embedded_for_the_text_under_it():
    section = hit("# How hot is green tea?\n\nAbout 75 degrees, never boiling.", 1, 0.9)
    rival = hit("Green tea is grown on hills.", 2, 0.9)
    assert "About 75 degrees" in answer("How hot is green tea?", rival, section, max_sentences=1)
