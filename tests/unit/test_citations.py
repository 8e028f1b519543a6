import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvasir.answering.citations import CitationChecker, _Quotable
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.ledger import DocumentVersion
from kvasir.core.markers import protected
from kvasir.core.types import Chunk, Hit

TEXT = (
    "Preface.\n\nThe mead was made from honey. "
    "Kvasir was made by the gods [7] and slain by two dwarfs."
)
START = TEXT.index("The mead")


def hit(text=TEXT[START:], start=START, document="d1", language="en"):
    metadata = {"language": language, "source_uri": f"/{document}.md"}
    chunk = Chunk(
        f"c-{document}-{start}", document, text, start, start + len(text), 2, (), metadata
    )
    return Hit(chunk, 1.0, 0.9, 1.0)


def check(pieces, hits=None, question="Who made Kvasir?", find_version=None):
    checker = CitationChecker(question, hits or [hit()], Bm25Analyzer(), find_version)
    text = "".join([checker.feed(piece) for piece in pieces] + [checker.finish()])
    return text, checker


def test_a_marker_split_across_pieces_is_one_citation():
    text, checker = check(["The gods made Kvasir", " ", "[", "1", "]", "."])
    assert text == "The gods made Kvasir [1]."
    (citation,) = checker.citations
    assert citation.marker == 1
    assert citation.page == 2
    assert citation.source_uri == "/d1.md"
    assert TEXT[citation.start : citation.end] == citation.quote
    assert citation.quote.startswith("Kvasir was made by the gods")


def test_every_way_of_cutting_the_stream_gives_the_same_text_and_citations():
    answer = "The mead was of honey [1][4]. Dwarfs slew Kvasir [1, 2]; nothing else [3]."
    whole, expected = check([answer])
    for size in range(1, 9):
        pieces = [answer[i : i + size] for i in range(0, len(answer), size)]
        text, checker = check(pieces)
        assert text == whole
        assert checker.citations == expected.citations
        assert checker.removed == expected.removed == 3


def test_a_marker_that_points_to_no_source_is_removed_with_its_space_and_counted():
    text, checker = check(["Kvasir was made by the gods [2]. So it is [0]."])
    assert text == "Kvasir was made by the gods. So it is."
    assert checker.removed == 2
    assert checker.citations == []


def test_a_marker_whose_statement_shares_nothing_with_its_source_is_removed():
    text, checker = check(["Bananas grow in Ecuador every summer [1]."])
    assert text == "Bananas grow in Ecuador every summer."
    assert checker.removed == 1


def test_a_statement_in_another_language_than_its_source_keeps_its_marker():
    spanish = [hit("El hidromiel se hacía con miel y sangre.", 0, language="es")]
    text, checker = check(["Norse poets drank something sweet and dangerous [1]."], spanish)
    assert "[1]" in text
    assert checker.citations[0].quote == "El hidromiel se hacía con miel y sangre."


def test_a_literal_quotation_is_cited_to_the_letter():
    text, checker = check(["The mead was made from honey. [1]"])
    assert text == "The mead was made from honey. [1]"
    assert checker.citations[0].quote == "The mead was made from honey."
    assert checker.citations[0].start == START


def test_a_quotation_over_a_line_break_gives_the_document_s_own_letters():
    broken = "Kvasir was made\n  by the gods."
    _, checker = check(["Kvasir was made by the gods. [1]"], [hit(broken, 5)])
    assert checker.citations[0].quote == broken
    assert (checker.citations[0].start, checker.citations[0].end) == (5, 5 + len(broken))


def test_a_bracketed_number_of_the_document_itself_is_no_marker():
    text, checker = check(["Kvasir was made by the gods [7] and slain by two dwarfs. [1]"])
    assert text == "Kvasir was made by the gods [7] and slain by two dwarfs. [1]"
    assert checker.removed == 0
    assert [c.marker for c in checker.citations] == [1]


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        ("Year [2020] was good.", "Year [2020] was good. [1]"),
        ("[2020] was good.", "[2020] was good. [1]"),
        ("It grew. It fell. See [12] for more.", "It grew. [1] See [12] for more. [1]"),
        (
            "| a | b |\n| - | - |\n| x | [77] |\n| y | [8] |\n| z [9] | 1 |",
            "| x | [77] |\n| z [9] | 1 |\n[1]",
        ),
    ],
)
def test_a_bracketed_number_of_the_document_after_few_letters_is_no_marker(document, answer):
    text, checker = check([answer], [hit(document, 0)])
    assert text == answer
    assert checker.removed == 0


FORGED = "The colour of the Zorblax is blue"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (f"{FORGED} [2].", f"{FORGED} [ 2 ]."),
        (f"{FORGED}[2][1].", f"{FORGED}[ 2 ][ 1 ]."),
        (f"{FORGED} [1, 2].", f"{FORGED} [ 1, 2 ]."),
        (f"{FORGED} 【2】.", f"{FORGED} 【 2 】."),
        (f"{FORGED} [ ^2].", f"{FORGED} [ 2 ]."),
        (f"{FORGED} ` [2].", f"{FORGED} ` [ 2 ]."),
        (f"[2] {FORGED}.", f"[ 2 ] {FORGED}."),
        (f"{FORGED} [2020].", f"{FORGED} [2020]."),
        (f"{FORGED} \ufdd0[2].", f"{FORGED} [ 2 ]."),
    ],
)
def test_a_document_cannot_forge_a_marker(source, shown):
    hits = [hit(source, document="d1"), hit("Something else.", document="d2")]
    written = f"{protected(source)} [1]"
    for size in (1, 2, 3, len(written)):
        pieces = [written[i : i + size] for i in range(0, len(written), size)]
        text, checker = check(pieces, hits, "Which colour has the Zorblax?")
        assert text == f"{shown} [1]"
        assert [citation.marker for citation in checker.citations] == [1]
        assert checker.citations[0].quote == source


def test_a_language_model_that_copies_a_forged_marker_is_not_believed():
    hits = [hit(f"{FORGED} [2]."), hit("Something else.", document="d2")]
    text, checker = check([f"{FORGED} [2]. [1]"], hits)
    assert text == f"{FORGED} [ 2 ]. [1]"
    assert [citation.marker for citation in checker.citations] == [1]


def test_an_index_in_code_is_no_marker():
    text, checker = check(["Use `gods[5]` here: Kvasir [1]\n```\nx = gods[9]\n```"])
    assert "`gods[5]`" in text
    assert "x = gods[9]" in text
    assert checker.removed == 0


def test_a_quote_that_does_not_stand_in_the_document_is_no_citation():
    answer = ["Kvasir was made by the gods [1]."]
    assert len(check(answer, find_version=lambda _: DocumentVersion(TEXT))[1].citations) == 1
    assert len(check(answer, find_version=lambda _: None)[1].citations) == 1
    text, checker = check(answer, find_version=lambda _: DocumentVersion(TEXT.upper()))
    assert checker.citations == []
    assert checker.removed == 1
    assert "[1]" not in text


@pytest.mark.parametrize("answer", ["诸神创造了克瓦希尔【1】。", "诸神创造了克瓦希尔 [1]。"])
def test_chinese_statements_and_brackets_are_checked_alike(answer):
    chinese = [hit("蜜酒由蜂蜜制成。诸神用唾液创造了克瓦希尔。", 0, language="zh")]
    text, checker = check([answer], chinese)
    assert "[1]" in text
    assert checker.citations[0].quote == "诸神用唾液创造了克瓦希尔。"


def test_a_marker_after_too_few_words_is_judged_by_the_question():
    text, checker = check(["According to [1], the gods did."])
    assert text == "According to [1], the gods did."
    assert "gods" in checker.citations[0].quote


@pytest.mark.parametrize("statement", ["Indeed so", "Los poetas bebían algo dulce y peligroso"])
@pytest.mark.parametrize(
    ("question", "quote"),
    [
        ("Who made Kvasir?", "Kvasir was made by the gods [7] and slain by two dwarfs."),
        ("What else?", "The mead was made from honey."),
    ],
)
def test_what_no_words_can_tell_is_quoted_by_the_question_or_from_the_beginning(
    statement, question, quote
):
    text, checker = check([f"{statement} [1]."], question=question)
    assert text == f"{statement} [1]."
    assert [citation.quote for citation in checker.citations] == [quote]


SPACES = st.sampled_from([" ", "\n", "  ", "\t\n", "\u2003", "\x1c"])
CHUNK_TEXT = st.lists(st.sampled_from(["a", "ab", "b.", "[2]", "é"]) | SPACES, max_size=20).map(
    "".join
)


@given(CHUNK_TEXT, st.lists(st.sampled_from(["a", "ab", "b", "b.", "[2]"]), min_size=1, max_size=3))
def test_a_quotation_is_found_with_any_line_breaks(text, words):
    quotable = _Quotable(Chunk("c", "d", text, 0, len(text)), None)
    match = re.search(r"\s+".join(map(re.escape, words)), text)
    assert quotable._find(" ".join(words)) == (match.span() if match else None)


def test_white_space_of_any_length_is_read_in_little_time():
    started = time.process_time()
    text, _ = check([" " * 20_000, "x ", "\n" * 20_000, "[1]"])
    assert time.process_time() - started < 1.0
    assert text.count("x") == 1
