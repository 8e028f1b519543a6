"""Two questions share an answer only if they ask the same."""

import pytest

from kvasir.answering.same_question import asks_the_same, exact_form, form_of
from kvasir.components.analyzers.bm25 import Bm25Analyzer

ANALYZER = Bm25Analyzer()


def share(one, other):
    first, second = form_of(one, ANALYZER), form_of(other, ANALYZER)
    assert asks_the_same(first, second) == asks_the_same(second, first)
    return asks_the_same(first, second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is a pump?", "what is a PUMP"),
        ("What is a pump?", "  What   is a pump ?! "),
        ("¿Qué es una bomba?", "que es una bomba".replace("que", "qué")),
        ("什么是水泵?", "什么是水泵"),
        ("How do I reset my password?", "How can I reset my password?"),
        ("Which planets have rings?", "What planets have rings?"),
        ("Norway's capital is what?", "What is the capital of Norway?"),
    ],
)
def test_the_same_question_shares_its_answer(one, other):
    assert share(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("When was the treaty signed?", "Where was the treaty signed?"),
        ("Who signed the treaty?", "When did they sign the treaty?"),
        ("What is the limit in 2024?", "What is the limit in 2025?"),
        ("What is the dose at 1.5 mg?", "What is the dose at 15 mg?"),
        ("What does C++ mean?", "What does C mean?"),
        ("What does error E42 mean?", "What does error E43 mean?"),
        ("Which drugs may be combined?", "Which drugs may not be combined?"),
        ("What happens before the trial?", "What happens after the trial?"),
        ("How do I convert miles to kilometres?", "How do I convert kilometres to miles?"),
        ("Did France defeat Prussia?", "Did Prussia defeat France?"),
        ("Does the cat chase the dog?", "Does the dog chase the cat?"),
        ("How many people live there?", "How do people live there?"),
        ("Which team won the first cup?", "Which team won the last cup?"),
        ("¿Quién ganó la copa?", "¿Cuándo se ganó la copa?"),
        ("¿Qué pasa antes del examen?", "¿Qué pasa después del examen?"),
        ("Khi nào nộp bài?", "Nộp bài ở đâu?"),
        ("从上海到北京多远?", "从北京到上海多远?"),
        ("什么时候交论文?", "在哪里交论文?"),
        ("Is green tea hot?", "Is black tea hot?"),
        ("the", "of"),
    ],
)
def test_near_misses_share_none(one, other):
    assert not share(one, other)


def test_the_exact_form_keeps_signs_within_numbers_and_identifiers():
    assert exact_form("What is 1.5 + C++, really?!") == "what is 1.5 c++ really"
    assert exact_form("Is -5 colder?") != exact_form("Is 5 colder?")
