"""A quoted answer that disregards what its question excludes or limits is not sure."""

import time

import pytest

from kvasir.answering.asked_scope import (
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
        ("除Sales之外的员工有哪些？", "zh"),
        ("¿Quiénes son todos los empleados menos Ann?", "es"),
        ("Những nhân viên nào không thuộc Sales?", "vi"),
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
        "How many accidents were there in 2021 on roads?",
        "What does the law of 2019 on data protection say?",
        "Which halls hold up to 2000 people?",
        "Welche Geräte haben bis 2000 Watt?",
        "Welche Geräte haben bis 2000 kg?",
        "¿Qué salas tienen hasta 2000 plazas?",
        "What is the population as of 2023?",
        "What was built after the 1906 earthquake?",
        "What changed after the 2008 crisis?",
        "Which halls hold from 1500 to 2000 people?",
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
    assert not doubt(question, "Before 2024 pumps failed twice.")


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


HOURS = "Library opening hours\n\n| Day | Hours |\n|---|---|\n| Monday | 9:00-17:00 |"
TICKETS = "Tickets\n\n| Category | Price |\n|---|---|\n| Adult | 12 EUR |"
WARRANTY = "| Product | Warranty |\n|---|---|\n| Notebook | 24 months |"


@pytest.mark.parametrize(
    ("question", "passage", "language"),
    [
        ("When does the library close?", HOURS, "en"),
        ("How much does a ticket cost?", TICKETS, "en"),
        ("¿Cuánto cuesta una entrada?", TICKETS, "es"),
        ("¿Cuánto cuesta una entrada?", TICKETS, "en"),
        ("How long is the warranty of laptops?", WARRANTY, "en"),
        ("Wie lange gilt die Garantie von Laptops?", WARRANTY, "en"),
    ],
)
def test_a_table_answers_in_other_words_than_the_question(question, passage, language):
    table = passage[passage.index("|") :]
    assert not doubt(question, table, passage, language=language)


VAT = (
    "| Product | Price without VAT | Price excluding VAT |\n|---|---|---|\n"
    "| Chair (sin desayuno) | 12 EUR | 12 EUR |"
)


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Giá của Chair có VAT không?", "vi"),
        ("未成年人的价格是多少？", "zh"),
        ("不动产的价格是多少？", "zh"),
        ("What is the phone no. of the Chair?", "en"),
        ("What is the price of a chair without VAT?", "en"),
        ("What is the price excluding VAT of a chair?", "en"),
        ("¿Qué precio tiene sin desayuno?", "es"),
        ("¿Qué producto tiene menos precio?", "es"),
    ],
)
def test_a_negative_word_that_excludes_nothing_does_not_doubt_rows(question, language):
    assert doubt(question, VAT, language=language) != ROWS_OF_EXCLUSION


@pytest.mark.parametrize(
    ("question", "text", "language"),
    [
        ("Which form must be submitted?", "Form A must be submitted no later than 30 June.", "en"),
        (
            "What must a visitor wear?",
            "A visitor must wear a helmet at all times, without exception.",
            "en",
        ),
        ("What can members borrow?", "Members can borrow up to ten books at no charge.", "en"),
        (
            "What should I do if the printer does not print?",
            "If the printer stops, you should open the lid of the printer.",
            "en",
        ),
        (
            "Which form must I send if I cannot attend the exam?",
            "You must send form B for the exam.",
            "en",
        ),
        (
            "Was muss ich vorlegen, wenn ich nicht zur Prüfung kommen kann?",
            "Zur Prüfung muss ein Attest vorgelegt werden.",
            "de",
        ),
        (
            "Welches Formular muss eingereicht werden?",
            "Das Formular muss nicht später als am 30. Juni eingereicht werden.",
            "de",
        ),
        ("¿Qué debe llevar el visitante?", "El visitante debe llevar casco sin excepción.", "es"),
        ("¿Qué debo hacer si no puedo ir al examen?", "Debe enviar el formulario examen.", "es"),
        ("如果不能参加考试，必须提交什么？", "考试必须提交表格。", "zh"),
    ],
)
def test_a_negation_that_is_not_the_modal_s_is_no_opposite(question, text, language):
    assert doubt(question, text, language=language) != OTHER_POLARITY


@pytest.mark.parametrize(
    ("question", "text", "language"),
    [
        ("What may visitors carry?", "Visitors are not allowed to carry bags.", "en"),
        ("What may visitors carry?", "Visitors cannot carry bags.", "en"),
        ("¿Qué puede llevar el visitante?", "El visitante no puede llevar bolsos.", "es"),
        ("¿Qué no se puede llevar?", "El visitante puede llevar bolsos.", "es"),
        ("Que peut porter le visiteur ?", "Le visiteur ne peut pas porter de sac.", "fr"),
        ("游客可以带什么？", "游客不得带包。", "zh"),
    ],
)
def test_a_negated_modal_is_the_opposite_in_each_language(question, text, language):
    assert doubt(question, text, language=language) == OTHER_POLARITY


@pytest.mark.parametrize("part", ["before 2021 ", "everything ", "the ", "2021-", "| ", "不"])
def test_the_time_is_linear_in_the_length(part):
    def seconds(times):
        text = part * times
        start = time.perf_counter()
        doubt(f"Which may {text}?", text)
        return time.perf_counter() - start

    seconds(10)
    assert seconds(8000) < 40 * max(seconds(1000), 0.01)
