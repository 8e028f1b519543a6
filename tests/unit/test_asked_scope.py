"""A quoted answer that disregards what its question excludes or limits is not sure."""

import time

import pytest

from kvasir.answering.asked_scope import (
    NO_ROW,
    OTHER_POLARITY,
    OTHER_TIME,
    ROWS_OF_EXCLUSION,
    ROWS_OF_TIME,
)
from kvasir.answering.asked_time import limit_of
from kvasir.answering.asked_value import find_doubt
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.types import Chunk, Hit

ANALYZER = Bm25Analyzer()
STAFF = (
    "| Name | Department | Start |\n|---|---|---|\n"
    "| Ann Lee | Sales | 2019-05-01 |\n| Bo Chen | IT | 2021-02-11 |"
)
PRICES = "| Item | City | Price |\n|---|---|---|\n| Chair | Oslo | 120 |\n| Lamp | Bergen | 45 |"


def doubt(question, text, passage="", language="en"):
    passage = passage or text
    chunk = Chunk("c", "d", passage, 0, len(passage), metadata={"language": language})
    return find_doubt(question, text, [Hit(chunk, 1.0)], ANALYZER)


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("List all staff except Sales", "en"),
        ("Everyone but Ann Lee", "en"),
        ("Which staff are neither in Sales nor in HR?", "en"),
        ("List all names with Department other than Sales", "en"),
        ("Welche Mitarbeiter sind nicht in Sales?", "de"),
        ("Alle außer Ann Lee", "de"),
        ("¿Qué empleados no están en Sales, excepto Bo?", "es"),
        ("Tous les employés sauf Ann Lee", "fr"),
        ("除了Sales以外的员工有哪些？", "zh"),
    ],
)
def test_rows_are_not_a_sure_answer_to_a_question_that_excludes_some(question, language):
    assert doubt(question, STAFF, language=language) == ROWS_OF_EXCLUSION


def test_rows_answer_a_question_that_excludes_nothing():
    assert not doubt("Which department is Ann Lee in?", STAFF)
    assert not doubt("List all staff and their departments", STAFF)


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Who started before 2021?", "en"),
        ("Which staff started since 2021?", "en"),
        ("Who started between 2020 and 2022?", "en"),
        ("Wer hat nach 2020 angefangen?", "de"),
        ("¿Quién empezó antes de 2021?", "es"),
        ("Qui a commencé depuis 2021 ?", "fr"),
        ("2021年之前入职的是谁？", "zh"),
    ],
)
def test_rows_are_not_a_sure_answer_to_a_question_that_limits_time(question, language):
    assert doubt(question, STAFF, language=language) == ROWS_OF_TIME


@pytest.mark.parametrize(
    ("question", "within", "outside"),
    [
        ("What happened before 2024?", "On 3 May 2023 it failed.", "On 2 June 2024 it failed."),
        ("What happened after March 2023?", "In June 2024 it failed.", "On 14 March 2023 it ran."),
        ("What failed since March 2023?", "On 14 March 2023 it failed.", "In 2022 it failed."),
        ("What failed until 2023?", "It failed in 2023.", "It failed in 2024."),
        ("What failed 2021 or later?", "It failed in 2021.", "It failed in 2020."),
        ("What failed between March and June 2024?", "It failed in May 2024.", "2023: it failed."),
        ("What failed from 2020 to 2022?", "It failed in 2021.", "It failed in 2023."),
        ("Was ist zwischen 2020 und 2022 passiert?", "2021 brannte es.", "2023 brannte es."),
        ("Was war bis März 2023?", "Am 3. März 2023 war es.", "Am 3. April 2023 war es."),
        ("Was war vor dem 3. März 2023?", "Es war am 2. März 2023.", "Es war am 3. März 2023."),
        ("¿Qué pasó desde 2021?", "Pasó en 2022.", "Pasó en 2020."),
        ("¿Qué pasó después de marzo de 2023?", "En abril de 2023.", "En marzo de 2023."),
        ("Que s'est-il passé entre 2020 et 2022 ?", "C'était en 2021.", "C'était en 2019."),
        ("2020年到2022年发生了什么？", "2021年3月发生。", "2023年发生。"),
        ("2020年以后发生了什么？", "2021年发生。", "2020年发生。"),
    ],
)
def test_a_date_outside_of_the_limit_is_known(question, within, outside):
    is_outside = limit_of(question)
    assert not is_outside(within)
    assert not is_outside("It failed.")
    assert is_outside(outside)


@pytest.mark.parametrize(
    "question",
    [
        "What happened in 2024?",
        "Which prices of 2020 and 2022 are there?",
        "What must I do before the 2nd meeting?",
        "Which one is not before 2021?",
        "What happens before lunch?",
        "Is it cheaper after 2000 euros?",
    ],
)
def test_a_question_without_a_limit_has_none(question):
    assert limit_of(question) is None


def test_sentences_outside_of_the_limit_are_not_a_sure_answer():
    question = "What happened to the pump before 2024?"
    inside, outside = "On 3 January 2023 the pump failed.", "On 2 June 2024 the pump ran."
    assert not doubt(question, inside)
    assert doubt(question, f"{inside} {outside}") == OTHER_TIME
    assert not doubt(question, "Before 2024 the pump failed twice.")


@pytest.mark.parametrize(
    ("question", "denied", "affirmed", "language"),
    [
        (
            "Which pump {} be used with petrol?",
            "It must not be used with petrol.",
            "It may be used with petrol.",
            "en",
        ),
        (
            "Welche Pumpe {} mit Benzin betrieben werden?",
            "Sie darf nicht mit Benzin betrieben werden.",
            "Sie darf mit Benzin betrieben werden.",
            "de",
        ),
    ],
)
def test_a_sentence_that_says_the_opposite_is_not_a_sure_answer(
    question, denied, affirmed, language
):
    positive, negative = ("may", "must not") if language == "en" else ("darf", "darf nicht")
    for modal, right, wrong in ((positive, affirmed, denied), (negative, denied, affirmed)):
        asked = question.format(modal)
        pump = "The pump" if language == "en" else "Die Pumpe"
        assert doubt(asked, f"{pump} is 3 kg. {wrong}", language=language) == OTHER_POLARITY
        assert not doubt(asked, f"{pump} is 3 kg. {wrong} {right}", language=language)


def test_why_and_how_and_yes_or_no_are_answered_in_either_way():
    text = "Petrol must not be used with the pump, because it burns."
    for question in ("Why can petrol damage the pump?", "May I use petrol with the pump?"):
        assert doubt(question, text) != OTHER_POLARITY


@pytest.mark.parametrize(
    ("question", "is_doubted"),
    [
        ("What is the price of the wardrobe?", True),
        ("In which city is the bed?", True),
        ("What is the price of the lamp?", False),
        ("What are the prices in Oslo?", False),
        ("What is the price of each item?", False),
    ],
)
def test_a_table_without_the_thing_that_is_asked_for_is_not_a_sure_answer(question, is_doubted):
    assert (doubt(question, PRICES) == NO_ROW) is is_doubted


def test_a_table_answers_if_the_text_around_it_names_the_thing():
    passage = f"Prices of the furniture\n\n{PRICES}"
    assert doubt("What is the price of the furniture?", PRICES, passage) != NO_ROW


@pytest.mark.parametrize("part", ["before 2021 ", "everything ", "the ", "2021-", "| ", "不"])
def test_the_time_is_linear_in_the_length(part):
    def seconds(times):
        text = part * times
        start = time.perf_counter()
        doubt(f"Which may {text}?", text)
        return time.perf_counter() - start

    seconds(10)
    assert seconds(8000) < 40 * max(seconds(1000), 0.01)
