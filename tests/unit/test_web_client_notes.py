"""Notes of an answer are in the language of the page, and name the way out."""

import ast
import re
from pathlib import Path

import pytest

from kvasir.answering import asked_scope, asked_value, table_answers, tables
from kvasir.answering.answers import EMPTY, INCOMPLETE, IS_CUT, NOTHING_FOUND, Answerer
from kvasir.frontends.ui import notes
from kvasir.frontends.ui.texts import LANGUAGES, chosen, table
from kvasir.testing.fakes import FakeEmbedder

CELL = "Mill [3]"


@pytest.fixture
def spanish():
    token = chosen.set("es")
    yield
    chosen.reset(token)


class EnglishOnly(FakeEmbedder):
    languages = frozenset({"en"})


def language_note(question, *held):
    answerer = object.__new__(Answerer)
    answerer.embedder, answerer.languages = EnglishOnly(), held
    (note,) = answerer._language_note(question)
    return note


QUESTION = "¿Cuántos días de vacaciones tienen los empleados de la empresa cada año?"


@pytest.mark.usefixtures("spanish")
def test_a_question_in_another_language_is_explained_in_that_of_the_page():
    said = notes.words(language_note(QUESTION, "en"), is_admin=True)
    assert "(español)" in said and "(inglés)" in said and "compararlos" in said
    assert "`kvasir models use multilingual`" in said
    assert "cannot" not in said


@pytest.mark.usefixtures("spanish")
def test_who_is_no_administrator_is_sent_to_one():
    said = notes.words(language_note(QUESTION, "en"), is_admin=False)
    assert "administrador" in said and "kvasir" not in said


def test_documents_in_several_languages_are_named():
    question = "How many days of vacation do the employees of the company have each year?"
    said = notes.words(language_note(question, "en", "es", "sv"), is_admin=True)
    assert "(English)" in said and "(Spanish, sv)" in said


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("note", "key", "values"),
    [
        (NOTHING_FOUND, "note.nothing_found", {}),
        (EMPTY, "note.empty", {}),
        *((note, f"note.{reason}", {}) for reason, note in INCOMPLETE.items()),
        (
            "3 of 10 passages fit into the model's window",
            "note.passages",
            {"read": 3, "found": 10},
        ),
        (
            "left out, as the model's window is full: the 4 oldest messages of the chat",
            "note.messages",
            {"count": 4},
        ),
        (
            "the question was searched for as typed, not refined: no model",
            "note.not_refined",
            {},
        ),
    ],
)
def test_each_note_of_the_service_has_a_text(note, key, values, language):
    check_text(note, key, values, language)


@pytest.mark.xdist_group("rwkv")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_note_of_passages_that_were_read_apart_has_a_text(language):
    composition = pytest.importorskip("kvasir.rwkv.composition", reason="no extra 'torch'")
    check_text(composition.APPROXIMATE, "note.approximate", {}, language)


def check_text(note, key, values, language):
    token = chosen.set(language)
    try:
        assert notes.words(note, is_admin=False) == table()[key][language].format(**values)
    finally:
        chosen.reset(token)


def refusals_of_tables():
    """Return each reason for which no table answers, as it stands in the modules."""
    for module in (tables, table_answers):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "UnreadableError":
                continue
            if isinstance(node.args[0], ast.Name):
                continue  # It puts the column before a reason of the other module.
            pieces = getattr(node.args[0], "values", node.args)
            said = "".join(
                each.value if isinstance(each, ast.Constant) else CELL for each in pieces
            )
            yield said if module is table_answers else f"nothing is computed over 'Price': {said}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_reason_of_a_table_has_a_text(language):
    found = set(refusals_of_tables())
    row = {key: each[language] for key, each in table().items()}
    token = chosen.set(language)
    try:
        said = {notes.words(each, is_admin=False) for each in found}
    finally:
        chosen.reset(token)
    reasons = {row[key] for key in row if key.startswith("table.")} - {row["table.no_unit"]}
    assert len(found) == len(reasons) >= 7
    cell = r"Mill \[3\]"
    shown = {each.format(cell=cell, units=cell, other=cell) for each in reasons}
    assert {each.replace("Price", cell) for each in said} == {
        row["note.table"].format(column=cell, reason=each) for each in shown
    }


@pytest.mark.usefixtures("spanish")
def test_a_value_without_a_unit_is_said_in_the_language_of_the_page():
    note = "nothing is computed over 'it's': its values have different units: EUR, none"
    said = "No se calcula nada sobre «it's»: sus valores tienen unidades distintas: EUR, ninguna."
    assert notes.words(note, is_admin=False) == said


def test_a_note_that_is_not_known_is_shown_as_it_is():
    assert notes.words("*new*", is_admin=False) == r"\*new\*"


def doubts_of_the_answers():
    """Return each reason that the answers give, as it stands in their module."""
    sources = [Path(each.__file__).read_text("utf-8") for each in (asked_value, asked_scope)]
    pattern = r'"((?:what is quoted|the passages|rows are) [^"\n]+)"'
    found = re.findall(pattern, "\n".join(sources))
    return [*found, IS_CUT]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_doubt_of_an_answer_has_a_text(language):
    found = doubts_of_the_answers()
    assert len(found) >= 6
    token = chosen.set(language)
    try:
        said = {notes.doubt(each.format("Mill [3]")) for each in found}
    finally:
        chosen.reset(token)
    unsure = table()["chat.not_sure"][language]
    known = {table()[key][language] for key in table() if key.startswith("doubt.")}
    name = r"Mill \[3\]"
    assert said == {f"{unsure} {each.format(name=name)}" for each in known}


def test_an_answer_that_is_not_sure_without_a_reason_says_that_alone():
    assert notes.doubt("") == table()["chat.not_sure"]["en"]
    assert notes.doubt("a *new* one").endswith(r" a \*new\* one")
