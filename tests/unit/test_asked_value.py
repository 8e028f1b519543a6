"""An answer that lacks the kind of thing that is asked for is doubted."""

import pytest

from kvasir.answering.asked_value import lacks_what_is_asked
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.types import Chunk, Hit

ANALYZER = Bm25Analyzer()
PASSAGES = {
    "en": "The ferry Alma leaves at 9:30 with 40 cars. Captain Ruth Oyelaran steers it.",
    "es": "El barco Alma sale a las 9:30 con 40 coches. Lo lleva la capitana Rut Olano.",
    "de": "Die Fähre Alma fährt um 9:30 Uhr mit 40 Autos ab. Kapitänin Ruth Olden steuert sie.",
    "fr": "Le bac Alma part à 9:30 avec 40 voitures. La capitaine Ruth Olan le conduit.",
    "zh": "渡船阿尔玛号早上九点半开，可以载四十辆汽车。",
}


WITHOUT_NAMES = {
    "en": "The ferry leaves at 9:30.",
    "es": "El barco sale a las 9:30.",
    "de": "Die Fähre fährt um 9:30 Uhr ab.",
    "fr": "Le bac part à 9:30.",
}


def lacks(question, language, text=""):
    passage = PASSAGES[language]
    chunk = Chunk("c", "d", passage, 0, len(passage), metadata={"language": language})
    return lacks_what_is_asked(question, text or passage, [Hit(chunk, 1.0)], ANALYZER)


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("How many cars does the ferry take?", "en"),
        ("When does the ferry leave?", "en"),
        ("Who steers the ferry?", "en"),
        ("Which ferry leaves at 9:30?", "en"),
        ("How does the ferry leave?", "en"),
        ("¿Cuántos coches lleva el barco?", "es"),
        ("¿A qué hora sale el barco?", "es"),
        ("Wie viele Autos nimmt die Fähre mit?", "de"),
        ("Um wie viel Uhr fährt die Fähre ab?", "de"),
        ("Combien de voitures prend le bac ?", "fr"),
        ("渡船可以载多少辆汽车？", "zh"),
    ],
)
def test_an_answer_with_what_is_asked_for_is_not_doubted(question, language):
    assert not lacks(question, language)


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("How many sailors work on the ferry?", "en"),
        ("Which company runs the ferry?", "en"),
        ("How heavy is the ferry in tonnes?", "en"),
        ("¿Cuántos marineros trabajan en el barco?", "es"),
        ("¿Qué empresa lleva el barco?", "es"),
        ("Wie viele Matrosen arbeiten auf der Fähre?", "de"),
        ("Welche Firma betreibt die Fähre?", "de"),
        ("Combien de matelots travaillent sur le bac ?", "fr"),
        ("Quelle est la longueur du bac ?", "fr"),
    ],
)
def test_an_answer_is_doubted_if_no_passage_speaks_of_what_is_asked_for(question, language):
    assert lacks(question, language, WITHOUT_NAMES[language])


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Which sailor steers the ferry?", "en"),
        ("What kind of ship is the Alma?", "en"),
        ("¿Qué marinera lleva el barco?", "es"),
        ("Quelle femme conduit le bac ?", "fr"),
    ],
)
def test_an_answer_with_a_name_may_be_the_thing_that_is_asked_for(question, language):
    assert not lacks(question, language)


def test_an_answer_is_doubted_if_it_has_no_date_or_number():
    assert lacks("When does the ferry leave?", "en", "The ferry leaves early. [1]")
    assert lacks("How many cars does the ferry take?", "en", "The ferry takes cars. [1]")
    assert lacks("渡船什么时候开？", "zh", "渡船开得很早。[1]")


def test_a_question_in_another_language_than_the_passages_is_not_doubted_for_its_words():
    assert not lacks("¿Qué empresa lleva el barco?", "en")
