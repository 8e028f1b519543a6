"""``search --explain``, ``ask --why`` and ``/why``: why a passage was found, why it was refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len

Kvasir = Callable[..., Any]

SURE = "How far away is the Moon?"
NOT_SURE = "Which tea do monks drink at the temple?"
NO = "Who won the football world cup?"
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x1b\x07]*(?:\x07|\x1b\\))")


def test_a_search_says_what_gave_each_passage_its_place(ingested: Kvasir) -> None:
    shown = ingested("search", "--explain", SURE).out
    assert "by meaning: rank 1, cosine 0." in shown
    assert "by words: rank 1, BM25" in shown
    assert re.search(r"1\.000 = 50% of 1\.000 for meaning \+ 50% of 1\.000 for words", shown)
    how = shown.partition("How the search was made")[2]
    assert "Language of the question: en" in how
    assert "The embedding model knows this language: meaning counts 50%, words 50%" in how
    assert "Candidates: " in how


def test_a_program_reads_the_same_hits_with_parts_that_add_up(ingested: Kvasir) -> None:
    plain = ingested("search", "--json", SURE).json
    explained = ingested("search", "--json", "--explain", SURE).json
    assert explained["hits"] == plain
    search = explained["explanation"]
    for hit, part in zip(plain, search["hits"], strict=True):
        share = search["dense_share"]
        score = share * part["scaled_dense"] + (1 - share) * part["scaled_lexical"]
        assert (part["chunk_id"], part["score"]) == (hit["chunk"]["id"], hit["score"])
        assert score == pytest.approx(hit["score"])


def test_excluded_passages_and_filters_are_named(ingested: Kvasir) -> None:
    shown = ingested("search", "--explain", "how hot is tea or the moon -craters").out
    assert re.search(r"Left out:\n.*1 with an excluded word: notes/moon\.md.*\(craters\)", shown)
    filtered = ingested("search", "--explain", SURE, "--filters", "language=en").out
    assert "Filter: language == en" in filtered


@pytest.mark.parametrize(
    ("question", "code", "said"),
    [
        (SURE, 0, "Outcome: sure; decided by the evidence"),
        (NOT_SURE, 0, "Outcome: not sure; decided by the evidence"),
        (NO, 5, "Outcome: no, the question was refused; decided by the evidence"),
    ],
    ids=["sure", "not sure", "no"],
)
def test_an_answer_says_why_it_is_sure_or_refused(
    ingested: Kvasir, question: str, code: int, said: str
) -> None:
    why = ingested("ask", "--why", question, code=code).out.partition("Why\n")[2]
    assert said in why
    assert re.search(r"Confidence by the evidence: 0\.\d\d; refused below 0\.\d\d, sure from", why)
    assert "share of the question's words in the best passage" in why
    assert "How the search was made" in why
    assert ("more, and it would have been answered" in why) == (question == NO)
    assert ("more, and it would have been sure" in why) == (question == NOT_SURE)


@pytest.mark.parametrize(("question", "code"), [(SURE, 0), (NOT_SURE, 0), (NO, 5)])
def test_a_program_computes_the_confidence_from_the_evidence(
    ingested: Kvasir, question: str, code: int
) -> None:
    answer = ingested("ask", "--json", "--why", question, code=code).json
    why = answer["explanation"]
    logit = why["bias"] + sum(part["value"] * part["weight"] for part in why["evidence"])
    assert 1 / (1 + math.exp(-logit)) == pytest.approx(answer["confidence"])
    assert (answer["confidence"] < why["refuse_below"]) == answer["refused"]
    assert (answer["confidence"] >= why["sure_from"]) == (answer["certainty"] == "sure")
    assert ingested("ask", "--json", question, code=code).json["explanation"] is None


def test_the_words_are_in_the_language_of_the_question(ingested: Kvasir) -> None:
    shown = ingested("ask", "--why", "¿Quién ganó el campeonato mundial de fútbol?", code=5).out
    assert "Resultado: no, la pregunta se rechazó" in shown
    assert "palabras de la pregunta" in shown


@pytest.mark.parametrize("width", [40, 100])
@pytest.mark.parametrize("command", [("search", "--explain"), ("ask", "--why")], ids=" ".join)
def test_lines_are_not_wider_than_the_terminal(
    ingested: Kvasir, command: tuple[str, str], width: int
) -> None:
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(width)}
    shown = ESCAPES.sub("", ingested(*command, NOT_SURE, **terminal).out)
    assert "Candidates" in shown
    assert [line for line in shown.splitlines() if cell_len(line) > width] == []


def test_a_chat_says_it_for_its_last_answer(ingested: Kvasir) -> None:
    typed = f"/why\n{SURE}\n/why\n{NO}\n/why\nthank you\n/why\n"
    shown = ingested("chat", "--rag", code=None, typed=typed).out
    first, second, third = shown.split("Why\n")
    assert "there is no response yet" in first
    assert "Outcome: sure" in second
    assert "Outcome: no, the question was refused" in third
    assert "was not made from your documents" in third
