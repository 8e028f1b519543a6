"""An answer that lacks the kind of thing that is asked for is doubted."""

import time

import pytest

from kvasir.answering.asked_value import find_doubt
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
    return bool(find_doubt(question, text or passage, [Hit(chunk, 1.0)], ANALYZER))


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


@pytest.mark.parametrize(
    ("question", "passage", "language", "is_doubted"),
    [
        ("What does the Brisa 5 cost?", "The Brisa 3 costs 90 euros.", "en", True),
        ("What does the Brisa 3 cost?", "The Brisa 3 costs 90 euros.", "en", False),
        ("What happens when the lid opens?", "The pump stops.", "en", False),
        ("Who was there when the bridge fell?", "Ada Tarn was there.", "en", False),
        ("When the lid is open, what stops?", "The pump stops.", "en", False),
        ("When did the movement begin?", "It began in the mid-18th century.", "en", False),
        ("When was the tower built?", "The tower was built in the 1950s.", "en", False),
        ("Wann entstand das Tal?", "Es entstand vor 9000 Jahren.", "de", False),
        ("¿Cuándo empezó?", "Empezó en el siglo XVIII.", "es", False),
        ("How long does it take?", "It takes several years.", "en", False),
        ("What interfered with the launch?", "A typhoon did.", "en", False),
        ("Who invented the lock?", "The lock was invented early. It is old.", "en", True),
        ("Who invented the lock?", "It was invented by Ada Tarn.", "en", False),
        ("Wer erfand das Schloss?", "Das Schloss erfand ein Schmied.", "de", False),
        ("How many points had Tarn versus Wyk?", "Tarn had 11 points.", "en", False),
        ("What happened on March 3?", "On 3 March the bridge fell.", "en", False),
        ("¿Cuánto cuesta la silla?", "La silla tiene 4 patas y 2 brazos.", "es", True),
        ("¿Cuánto cuesta la silla?", "La silla vale 40 euros.", "es", False),
        ("扫地机器人的售价是多少？", "机器人只支持 2.4 GHz。", "zh", True),
        ("扫地机器人的售价是多少？", "扫地机器人卖 1299 元。", "zh", False),
        ("第 50 届比赛的名称是什么？", "它叫超级碗。", "zh", False),
        ("mutt 的作者是谁？", "mutt 是历史悠久的邮件程序。", "zh", True),
        ("In which version was --force added?", "--force: moves it nevertheless.", "en", True),
        ("In which version was --force added?", "Version 2.1 brought --force.", "en", False),
        ("How heavy is the bench?", "The bench has 4 legs.", "en", True),
        ("How heavy is the bench?", "The bench weighs 40 kg.", "en", False),
        ("What is the phone number of Tarn?", "Tarn has 12 rooms.", "en", True),
        ("What is the phone number of Tarn?", "Ring Tarn: 0171 23 45 67.", "en", False),
        ("Wie viele Kartons bringt er mit?", "Kartons kosten 2,40 Euro.", "de", True),
        ("Wie viele Kartons bringt er mit?", "Er bringt 40 Kartons mit.", "de", False),
        ("How many pounds is the fee?", "The fee is 40 pounds.", "en", False),
    ],
)
def test_a_value_has_the_form_of_what_is_asked_for(question, passage, language, is_doubted):
    chunk = Chunk("c", "d", passage, 0, len(passage), metadata={"language": language})
    assert bool(find_doubt(question, passage, [Hit(chunk, 1.0)], ANALYZER)) is is_doubted


def test_a_numbered_name_may_stand_in_the_title_of_the_document():
    passage = "He was 39 when he played."
    metadata = {"language": "en", "title": "Super_Bowl_50"}
    hit = Hit(Chunk("c", "d", passage, 0, len(passage), metadata=metadata), 1.0)
    question = "How old was he when he played in Super Bowl {}?"
    assert not find_doubt(question.format(50), passage, [hit], ANALYZER)
    assert find_doubt(question.format(51), passage, [hit], ANALYZER)


def test_a_day_is_no_name_and_the_number_of_an_item_no_amount():
    assert lacks("Who steers the ferry?", "en", "It came on Friday. On Mondays it stays here.")
    assert not lacks("Who steers the ferry?", "en", "On Mondays it is Captain Ruth Oyelaran.")
    assert lacks("How many cars does the ferry take?", "en", "1. Open the gate. [1]\n2. Drive on.")
    assert lacks("How often does the ferry leave?", "en", "The ferry leaves at 9:30.")
    assert not lacks("How often does the ferry leave?", "en", "The ferry leaves every hour.")


@pytest.mark.parametrize(
    ("question", "passage", "doubt"),
    [
        ("When was the bridge opened?", "The bridge is of steel.", "has no date or time"),
        ("How many vertebrae does a snake have?", "A snake has 33 of them.", "'vertebrae'"),
        ("How heavy is the Brisa 5?", "The Brisa 3 weighs 12 kg.", "do not name 'Brisa 5'"),
        ("Who built the bridge?", "The bridge was built in three years.", "names nobody"),
    ],
)
def test_a_doubt_says_what_is_lacking(question, passage, doubt):
    chunk = Chunk("c", "d", passage, 0, len(passage), metadata={"language": "en"})
    assert doubt in find_doubt(question, passage, [Hit(chunk, 1.0)], ANALYZER)


@pytest.mark.parametrize("piece", ["how a ", "how a in b ", " ", "1", "1,", "四"])
def test_the_time_for_a_long_question_and_answer_is_linear_in_their_length(piece):
    text = piece * (10_000 // len(piece)) + "?"
    started = time.process_time()
    lacks(text, "en", text)
    assert time.process_time() - started < 1.0


def test_a_unit_is_asked_for_in_a_later_line_too():
    assert lacks("We take the ferry.\nHow fast is it in knots?", "en")


@pytest.mark.parametrize(
    "question",
    [
        "Was macht die IT- und HR-Abteilung?",
        "Was macht die IT-, HR- und Finanzabteilung?",
        "Was gilt für EU- und US-Bürger?",
        "Which rules hold for EU- and US-citizens?",
        "What were the pre- and post-war rules?",
    ],
)
def test_the_hyphen_before_and_is_no_sign(question):
    passage = "HR und IT: Für EU und US gilt dasselbe."
    chunk = Chunk("c", "d", passage, 0, len(passage), metadata={"language": "de"})
    assert "-'" not in find_doubt(question, passage, [Hit(chunk, 1.0)], ANALYZER)


def test_a_name_with_a_sign_is_another_one_than_that_with_another_sign():
    table = "| Group | Units |\n|---|---|\n| AB+ | 3 |\n| O- | 7 |\n| C | 5 |"
    hits = [Hit(Chunk("c", "d", table, 0, len(table), metadata={"language": "en"}), 1.0)]
    for question, lacking in (
        ("How many units of AB- are there?", "AB-"),
        ("How many units of O+ are there?", "O+"),
        ("How many units of C#?", "C#"),
        ("How many units of AB+ are there?", ""),
        ("How many units of O-?", ""),
    ):
        doubt = find_doubt(question, table, hits, ANALYZER)
        assert doubt == (f"the passages do not name '{lacking}'" if lacking else "")
