"""Sentences of a language model are held against the passages that they cite."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perturbed_answers import statements

from kvasir.answering.spelled_numbers import values
from kvasir.answering.support import NOT_FOUND, Support, SupportMarker, without_marks
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.types import Chunk, Hit
from kvasir.evaluation.datasets import load_dataset
from kvasir.language.sentences import sentence_spans

XQUAD = Path(__file__).resolve().parents[3] / "shared" / "data" / "retrieval"
MARK = NOT_FOUND["en"]
TEA = (
    "Green tea is grown in Uji near Kyoto. The harvest of 1998 was 1,250 tons, 12.5 % more than in "
    "May 1997. Sencha was not sold abroad. The model AX-2000-B dries the leaves."
)
COFFEE = "Coffee is grown by Maria Fernández in three valleys."


def _hit(number: int, text: str, language: str = "en") -> Hit:
    return Hit(Chunk(str(number), "d", text, 0, len(text), metadata={"language": language}), 1.0)


@pytest.fixture(scope="module")
def analyzer() -> Bm25Analyzer:
    return Bm25Analyzer()


def _missing(analyzer: Bm25Analyzer, statement: str, *markers: int) -> tuple[str, ...]:
    hits = [_hit(1, TEA), _hit(2, COFFEE)]
    return Support("How much tea was harvested?", hits, analyzer).missing(statement, markers)


@pytest.mark.parametrize(
    "statement",
    [
        "Tea from Uji, near Kyoto, is green.",
        "In 1998, 1250 tons were harvested.",
        "The harvest was 1.250 tons.",
        "The harvest rose by 12.5% from 5/1997.",
        "Leaves are dried by the AX-2000-B model.",
        "Maria Fernandez grows coffee in 3 valleys.",
        "KYOTO's green tea grows near Uji.",
        "Yes.",
    ],
)
def test_a_supported_sentence_lacks_nothing(analyzer: Bm25Analyzer, statement: str) -> None:
    assert _missing(analyzer, statement) == ()


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("The harvest of 1998 was 1,350 tons.", "1,350"),
        ("The harvest of 1989 was 1,250 tons.", "1989"),
        ("The harvest was compared with June 1997.", "June"),
        ("Green tea is grown in Osaka near Kyoto.", "Osaka"),
        ("The model AX-2001-B dries the leaves.", "ax-2001-b"),
        ("Coffee is grown in five valleys.", "five"),
        ("Sencha was sold abroad.", "negation"),
        ("Penguins swim under the frozen ocean.", "words"),
    ],
)
def test_what_the_sources_lack_is_named(
    analyzer: Bm25Analyzer, statement: str, missing: str
) -> None:
    assert missing in _missing(analyzer, statement)


def test_a_sentence_is_held_against_the_passage_that_it_cites(analyzer: Bm25Analyzer) -> None:
    statement = "Coffee is grown by Maria Fernández."
    assert _missing(analyzer, statement, 2) == ()
    assert _missing(analyzer, statement, 1) == ("Maria", "Fernández")
    assert _missing(analyzer, statement, 9) == ()  # no such passage: all of them


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_marks_stand_behind_the_sentence_and_its_markers(analyzer: Bm25Analyzer, size: int) -> None:
    marker = SupportMarker("What of tea?", [_hit(1, TEA), _hit(2, COFFEE)], analyzer)
    text = (
        "Green tea is grown near Kyoto [1]. The harvest was 9,999 tons. [1] Is that much?\n\n"
        "- Coffee is grown in Peru [2]\n\n```\nx = 4711\n```\n\nSencha is green tea [1]."
    )
    pieces = [marker.feed(text[i : i + size]) for i in range(0, len(text), size)]
    shown = "".join([*pieces, marker.finish()])
    assert (
        shown
        == marker.text
        == text.replace("tons. [1]", f"tons. [1] {MARK}").replace("Peru [2]", f"Peru [2] {MARK}")
    )
    assert (marker.unsupported, marker.checked) == (2, 4)


def test_the_beginning_of_a_sentence_does_not_wait_for_its_end(analyzer: Bm25Analyzer) -> None:
    marker = SupportMarker("What of tea?", [_hit(1, TEA)], analyzer)
    assert marker.feed("Green tea is grown ") == "Green tea is grown "
    assert marker.feed("near Kyoto.") == "near Kyoto."
    assert marker.feed(" The next ") == ""  # where the mark would stand is not known yet
    assert marker.finish() == " The next "


@pytest.mark.parametrize("language", ["en", "es", "vi"])
def test_changed_numbers_and_names_are_marked_and_true_sentences_are_not(
    analyzer: Bm25Analyzer, language: str
) -> None:
    marked: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    made = statements(load_dataset(XQUAD / f"xquad-{language}"), language)
    for statement in list(made)[::29]:
        support = Support(statement.question, [_hit(1, statement.paragraph, language)], analyzer)
        counts[statement.kind] += 1
        marked[statement.kind] += bool(support.missing(statement.text, [1]))
    assert min(counts.values()) > 5
    assert marked["number"] >= 0.9 * counts["number"]
    assert marked["name"] >= 0.9 * counts["name"]
    assert marked["true"] <= 0.05 * counts["true"]


@pytest.mark.parametrize(
    ("one", "other", "language"),
    [
        ("1,250", "1250", "en"),
        ("1.250", "1 250".replace(" ", "\u202f"), "de"),
        ("2.5 million", "2,500,000", "en"),
        ("twelve", "12", "en"),
        ("twenty-five", "25", "en"),
        ("doce", "12", "es"),
        ("二十五", "25", "zh"),
        ("3万", "30,000", "zh"),
        ("12,50", "12.5", "fr"),
        ("007", "7", "en"),
    ],
)
def test_forms_of_one_number_are_equal(one: str, other: str, language: str) -> None:
    assert _forms(one, language) & _forms(other, language)


@pytest.mark.parametrize(("one", "other"), [("1,250", "1,205"), ("12.5", "125"), ("may", "5")])
def test_other_numbers_are_not(one: str, other: str) -> None:
    assert not _forms(one, "en") & _forms(other, "en")


def _forms(text: str, language: str) -> frozenset[str]:
    return frozenset().union(*(forms for _, forms in values(text, language)))


@settings(max_examples=50)
@given(st.text(), st.text(), st.integers(1, 9))
def test_any_text_comes_through_unchanged_but_for_marks(
    question: str, answer: str, size: int
) -> None:
    marker = SupportMarker(question, [_hit(1, TEA)], Bm25Analyzer())
    pieces = [marker.feed(answer[i : i + size]) for i in range(0, len(answer), size)]
    shown = "".join([*pieces, marker.finish()])
    for mark in NOT_FOUND.values():
        shown = shown.replace(f" {mark}", "")
    assert shown == answer


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 400 + ".5", "9" * 400 + " million"])
def test_a_number_of_thousands_of_digits_equals_itself_alone(number: str) -> None:
    [(_, forms)] = values(f"It is {number}", "en")
    [(_, others)] = values(f"It is 8{number}", "en")
    assert forms
    assert not forms & others


def test_a_mark_stands_before_the_line_end_of_the_last_sentence(analyzer: Bm25Analyzer) -> None:
    marker = SupportMarker("How much tea was harvested?", [_hit(1, TEA)], analyzer)
    written = "".join(map(marker.feed, "The harvest was in 2003.\n")) + marker.finish()
    assert written == f"The harvest was in 2003. {MARK}\n"


def test_marks_are_taken_out_of_an_answer_and_nothing_else() -> None:
    text = "Green tea is sold in Rome. [1]\n\n- Sencha [2][3]"
    for mark in NOT_FOUND.values():
        assert without_marks(text.replace("Rome.", f"Rome. {mark}") + f" {mark}") == text


def test_the_time_for_a_sentence_without_an_end_grows_with_its_length(
    analyzer: Bm25Analyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = 0

    def counted(text: str, language: str | None = None) -> list[tuple[int, int]]:
        nonlocal looked_at
        looked_at += len(text)
        return sentence_spans(text, language)

    def read(length: int) -> int:
        nonlocal looked_at
        looked_at = 0
        text = "green tea and black tea and " * (length // 28)
        marker = SupportMarker("What of tea?", [_hit(1, TEA)], analyzer)
        shown = [marker.feed(text[i : i + 5]) for i in range(0, len(text), 5)]
        assert "".join([*shown, marker.finish()]) == marker.text
        assert marker.text.startswith(text.rstrip())
        return looked_at

    monkeypatch.setattr("kvasir.answering.support.sentence_spans", counted)
    short, long = read(10_000), read(40_000)
    assert long < 5 * short


@pytest.mark.parametrize("size", [1, 7, 900, 100_000])
def test_long_sentences_and_long_answers_are_marked_where_short_ones_are(
    analyzer: Bm25Analyzer, size: int
) -> None:
    true = "Green tea is grown near Kyoto [1]. "
    long = "Green tea is grown near Kyoto, " * 60 + "and in Peru [1]. "
    text = true * 30 + "The harvest was 9,999 tons. [1] " + long + true * 30
    marker = SupportMarker("What of tea?", [_hit(1, TEA)], analyzer)
    pieces = [marker.feed(text[i : i + size]) for i in range(0, len(text), size)]
    shown = "".join([*pieces, marker.finish()])
    assert shown == text.replace("tons. [1]", f"tons. [1] {MARK}").replace(
        "Peru [1].", f"Peru [1]. {MARK}"
    )
    assert (marker.unsupported, marker.checked) == (2, 62)
