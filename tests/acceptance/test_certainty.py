"""The three outcomes of a question: sure, not sure, no; what each front door says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Kvasir = Callable[..., Any]

SURE = "How far away is the Moon?"
NOT_SURE = "Which tea do monks drink at the temple?"
NO = "Who won the football world cup?"


@pytest.mark.parametrize(
    ("question", "certainty", "code"), [(SURE, "sure", 0), (NOT_SURE, "not sure", 0), (NO, "no", 5)]
)
def test_a_program_reads_how_sure_an_answer_is(
    ingested: Kvasir, question: str, certainty: str, code: int
) -> None:
    answer = ingested("ask", "--json", question, code=code).json
    assert (answer["certainty"], answer["refused"]) == (certainty, certainty == "no")
    assert answer["hits"]


def test_a_sure_answer_names_its_sources_alone(ingested: Kvasir) -> None:
    said = ingested("ask", SURE).out
    assert "384,400" in said and "nearest" not in said


def test_an_answer_that_is_not_sure_says_so_and_names_the_nearest_passages(
    ingested: Kvasir,
) -> None:
    quoted, _, nearest = ingested("ask", NOT_SURE).out.partition("Not sure that this answers")
    assert "[1]" in quoted
    assert "(confidence 0." in nearest and "tea.txt" in nearest


def test_a_refusal_names_the_nearest_passages(ingested: Kvasir) -> None:
    refusal, _, nearest = ingested("ask", NO, code=5).out.partition("The nearest passages")
    assert "I cannot find the answer" in refusal
    assert "moon.md" in nearest and "tea.txt" in nearest


def test_a_chat_says_it_as_well(ingested: Kvasir) -> None:
    assert "The nearest passages" in ingested("chat", "--rag", "-qq", NO, code=5).out
    assert "Not sure that this answers" in ingested("chat", "--rag", "-qq", NOT_SURE).out
