"""Questions for lists and differences, in several languages, are told from others."""

import time

import pytest

from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.language.list_questions import asks_for_several, listed_thing
from kvasir.language.question_kinds import QuestionKind, compares_all, question_kind
from kvasir.language.question_sides import (
    described_by,
    is_entry,
    is_item_about,
    own_names,
    sides_of,
)
from kvasir.language.question_words import without_asking_phrases


@pytest.mark.parametrize(
    "question",
    [
        "What do I need for the picnic?",
        "What should I bring to the fair?",
        "What must not go into the kiln?",
        "What can go wrong when firing?",
        "What can the dial be set to?",
        "What is included in the ticket?",
        "What is not allowed in the hall?",
        "What are all the parts of a loom?",
        "Which people sit on the council?",
        "What equipment is needed?",
        "Which two glazes are kept?",
        "Give me a list of the glazes.",
        "Name three glazes.",
        "Can you list the glazes?",
        "Under what conditions may I cancel?",
        "¿Qué necesito para la excursión?",
        "¿Qué debo llevar?",
        "¿Qué hace falta para inscribirse?",
        "¿Qué no se puede tirar?",
        "¿Qué información pide el formulario?",
        "Nombre tres ventajas.",
        "Mencione los esmaltes.",
        "Was brauche ich für den Ausflug?",
        "Was ist im Preis enthalten?",
        "Was für Glasuren gibt es?",
        "Welche drei Glasuren gibt es?",
        "Nennen Sie die Teile.",
        "Zählen Sie die Teile auf.",
        "Que dois-je emporter ?",
        "Que faut-il emporter ?",
        "Qu'est-ce qu'il faut apporter ?",
        "Citez trois émaux.",
        "Énumérez les étapes.",
        "Lesquels sont gratuits ?",
        "需要准备什么材料？",
        "请列举三个原因。",
        "这种窑的优点是什么？",
        "釉料分为哪几类？",
        "Tôi cần những gì?",
        "Liệt kê các bước.",
        "Các loại men là gì?",
    ],
)
def test_questions_after_several_things_ask_for_a_list(question):
    assert question_kind(question) is QuestionKind.LIST


@pytest.mark.parametrize(
    "question",
    [
        "What happens if the kiln is opened?",
        "What limits the heat of the kiln?",
        "Which address does the office have?",
        "Which is warmer?",
        "What theorem defines the role of primes?",
        "What can result from a crack?",
        "Do I need a ticket?",
        "¿Qué equipo ganó la final?",
        "¿Qué puede derivarse de una grieta?",
        "¿Qué es un esmalte?",
        "Welche Farbe ist die häufigste?",
        "Was ist eine Glasur?",
        "Was kostet der Eintritt?",
        "Qu'est-ce que le vernis ?",
        "Quelle est la couleur du four ?",
        "窑是什么？",
        "转子安装在什么东西上？",
        "Những người thợ đến khi nào?",
    ],
)
def test_questions_after_one_thing_do_not(question):
    assert question_kind(question) is not QuestionKind.LIST
    assert not asks_for_several(question)


def test_a_condition_with_when_asks_for_no_time():
    assert question_kind("What happened when the kiln cracked?") is not QuestionKind.WHEN
    assert question_kind("When the kiln is hot, who opens it?") is not QuestionKind.WHEN
    assert question_kind("Que se passe-t-il quand il pleut ?") is not QuestionKind.WHEN
    assert question_kind("When is the kiln opened?") is QuestionKind.WHEN
    assert question_kind("Quand le four est-il ouvert ?") is QuestionKind.WHEN
    assert question_kind("What year was it built?") is QuestionKind.WHEN


@pytest.mark.parametrize(
    ("question", "thing"),
    [
        ("What glazes are there?", "glazes"),
        ("List all the glazes.", "glazes"),
        ("Was sind die Schritte des Brennens?", "Schritte"),
        ("Was für Glasuren gibt es?", "Glasuren"),
        ("¿Cuáles son los esmaltes?", "esmaltes"),
        ("Quelles sont les étapes ?", "étapes"),
        ("有哪些釉料？", "釉料"),
        ("How hot is the kiln?", ""),
        ("Wie heiß ist der Ofen?", ""),
        ("炉子多热？", ""),
    ],
)
def test_the_word_for_the_things_is_read_in_every_form(question, thing):
    assert listed_thing(question) == thing


@pytest.mark.parametrize(
    ("question", "sides"),
    [
        ("How is a ketch different from a yawl?", ("ketch", "yawl")),
        ("How does a ketch compare to a yawl?", ("ketch", "yawl")),
        ("Is a ketch the same as a yawl?", ("ketch", "yawl")),
        ("How do I tell a ketch from a yawl?", ("ketch", "yawl")),
        ("Which is faster, a ketch or a yawl?", ("ketch", "yawl")),
        ("When do I use a ketch and when a yawl?", ("ketch", "yawl")),
        ("What is the difference between class A and class B?", ("class A", "class B")),
        ("¿Es lo mismo el té que el café?", ("té", "café")),
        ("Compara el té con el café.", ("té", "café")),
        ("¿Cuándo se usa el té y cuándo el café?", ("té", "café")),
        ("Ist Tee dasselbe wie Kaffee?", ("Tee", "Kaffee")),
        ("Vergleiche Tee mit Kaffee.", ("Tee", "Kaffee")),
        ("Wann nimmt man Tee, wann Kaffee?", ("Tee", "Kaffee")),
        ("Quelle différence y a-t-il entre le thé et le café ?", ("thé", "café")),
        ("En quoi le thé diffère-t-il du café ?", ("thé", "café")),
        ("Le thé est-il la même chose que le café ?", ("thé", "café")),
        ("比较茶和咖啡。", ("茶", "咖啡")),
        ("茶和咖啡一样吗？", ("茶", "咖啡")),
        ("什么时候用茶，什么时候用咖啡？", ("茶", "咖啡")),
        ("Trà và cà phê khác nhau thế nào?", ("Trà", "cà phê")),
    ],
)
def test_a_difference_is_asked_for_in_many_forms(question, sides):
    assert question_kind(question) is QuestionKind.DIFFERENCE
    assert sides_of(question) == sides


@pytest.mark.parametrize(
    "question",
    [
        "Is the tea the same every day?",
        "Compare the prices.",
        "When is tea served?",
        "Wann gibt es Tee?",
        "¿Cuándo se sirve el té?",
        "茶多久换一次：绿茶还是红茶？",
    ],
)
def test_other_questions_ask_for_no_difference(question):
    assert question_kind(question) is not QuestionKind.DIFFERENCE


def test_sides_are_named_without_the_word_for_both():
    assert own_names(("modes soft", "mixed")) == ("soft", "mixed")
    assert own_names(("Programme Eco", "Kurz")) == ("Eco", "Kurz")
    assert own_names(("Mill 3", "farm")) == ("Mill 3", "farm")
    assert own_names(("VACUUM FULL", "VACUUM")) == ("VACUUM FULL", "VACUUM")
    names = described_by("What is the difference between git stash pop and git stash apply?")
    assert names == ("git stash pop", "git stash apply", "pop", "apply")


def test_an_entry_may_name_an_option_without_dashes_and_have_arguments():
    assert is_entry("- --soft: keeps the files", "soft")
    assert not is_entry("- --soft-wrap: breaks lines", "soft")
    arguments = "sequence, value, low=0, high=None, *, key=None, default=None"
    assert is_entry(f"- find_left({arguments}), find({arguments}): Finds a place.", "find_left")
    assert not is_entry(f"The function {'very ' * 30}find_left: Finds a place.", "find_left")


def test_an_item_that_begins_with_a_name_is_about_it():
    assert is_item_about("- NAT changes addresses", "NAT")
    assert is_item_about("- NAT 转换地址。", "NAT")
    assert not is_item_about("NAT changes addresses", "NAT")
    assert not is_item_about("- the NAT changes it", "router")


@pytest.mark.parametrize(
    ("question", "language", "rest"),
    [
        ("Was ist der Reihe nach zu tun?", "de", "Was ist   zu tun?"),
        ("Which clubs exist at the moment?", "en", "Which clubs exist  ?"),
        ("Quels clubs existent en ce moment ?", "fr", "Quels clubs existent   ?"),
        ("¿Qué clubes hay ahora mismo?", "es", "¿Qué clubes hay  ?"),
        ("目前有哪些俱乐部？", "zh", " 有哪些俱乐部？"),
        ("Wie lang ist die Reihe?", "de", "Wie lang ist die Reihe?"),
        ("What is a moment of inertia?", "en", "What is a moment of inertia?"),
        ("At the moment", "en", "At the moment"),
    ],
)
def test_phrases_of_order_and_time_say_not_what_is_asked_about(question, language, rest):
    assert without_asking_phrases(question, language) == rest


@pytest.mark.parametrize(
    ("language", "asking", "about"),
    [
        ("en", "What could the potter pay?", "potter pay"),
        ("es", "¿Qué puede pagar el alfarero?", "pagar alfarero"),
        ("de", "Was muss der Töpfer in welcher Reihenfolge zahlen?", "Töpfer zahlen"),
        ("fr", "Que doit payer le potier en ce moment ?", "payer potier"),
    ],
)
def test_a_search_leaves_out_what_only_asks(language, asking, about):
    analyzer = Bm25Analyzer()
    found, wanted = analyzer.query_terms([asking, about], [language] * 2)
    assert {*found.indices.tolist()} == {*wanted.indices.tolist()}


@pytest.mark.parametrize(
    ("language", "question", "word"),
    [
        ("en", "What happened in May?", "may"),
        ("en", "How is grape must made?", "must"),
        ("en", "Which order was cancelled?", "order"),
        ("es", "¿Cuánto poder tiene el presidente?", "poder"),
        ("de", "Was ist der Unterschied zwischen Soll und Haben?", "soll"),
    ],
)
def test_a_search_keeps_what_a_question_is_about(language, question, word):
    analyzer = Bm25Analyzer()
    said = without_asking_phrases(question, language)
    found, wanted = analyzer.query_terms([said, word], [language] * 2)
    assert {*wanted.indices.tolist()} <= {*found.indices.tolist()}


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When does the pool open and when does it close?", QuestionKind.WHEN),
        ("Wann beginnt der Kurs und wann endet er?", QuestionKind.WHEN),
        ("¿Cuándo abre y cuándo cierra la piscina?", QuestionKind.WHEN),
        ("什么时候开门，什么时候关门？", QuestionKind.WHEN),
        ("Dime cuándo abre el museo", QuestionKind.WHEN),
        ("Cita con el médico: ¿a qué hora es?", QuestionKind.WHEN),
        ("这个表需要什么时候交？", QuestionKind.WHEN),
        ("Whom do I tell about goods from China?", QuestionKind.WHO),
        ("Does it cost the same as last year?", None),
        ("What data type is the id column?", None),
        ("Which software version is required?", None),
        ("What media type does the endpoint return?", None),
        ("Was soll das kosten?", None),
        ("When do I use a kiln, and when an oven?", QuestionKind.DIFFERENCE),
        ("How do I tell oolong from sencha?", QuestionKind.DIFFERENCE),
        ("What data is collected?", QuestionKind.LIST),
        ("Dime las dos salas del museo", QuestionKind.LIST),
    ],
)
def test_words_of_lists_and_differences_with_another_meaning_change_no_kind(question, kind):
    assert question_kind(question) is kind


@pytest.mark.parametrize(
    "words",
    [
        "tell from ",
        "compare a to ",
        "compara con ",
        "is and ",
        "when use ",
        "compare and ",
        "ist das ",
        "total ",
        "not how many ",
        "没",
        "-",
    ],
)
def test_a_long_question_is_understood_in_little_time(words):
    question = words * (20_000 // len(words))
    started = time.process_time()
    question_kind(question)
    sides_of(question)
    compares_all(question)
    assert time.process_time() - started < 2.0
