"""What a page says when the API is gone, a sign-in has expired or an upload fails: words."""

import contextlib
import logging

import httpx
import pytest
from live_server import live_server
from streamlit.runtime.context import ContextProxy
from streamlit.testing.v1 import AppTest

from kvasir.core.services.accounts import Role, Scope
from kvasir.frontends.ui import elements
from kvasir.frontends.ui.connection import Connection, use
from kvasir.frontends.ui.session import LANGUAGE_COOKIE, SESSION_COOKIE
from kvasir.frontends.ui.texts import LANGUAGES, chosen, table

PAGES = ("chat", "knowledge", "questions", "evaluation", "services", "tuning", "models", "guide")
OFFLINE = ("guide",)
"""Pages that ask the API nothing."""
SCRIPT = """
from kvasir.frontends.ui import faults, {page}
from kvasir.frontends.ui.session import choose_language
choose_language()
with faults.shown():
    {page}.show()
"""


@pytest.fixture
def cookies(monkeypatch):
    """The cookies of the browser."""
    found = {}
    monkeypatch.setattr(ContextProxy, "cookies", property(lambda _: found))
    monkeypatch.setattr(ContextProxy, "headers", property(lambda _: {"host": "kb.example.org"}))
    return found


@pytest.fixture
def ending():
    """Ends what is entered into it, at the latest with the test."""
    with contextlib.ExitStack() as opened:
        yield opened


@pytest.fixture
def server(tmp_path, ending, cookies):
    running = ending.enter_context(live_server(tmp_path))
    owner = running.add_user("ana", role=Role.ADMIN)
    for name in ("tea", "green-tea_2"):
        running.add_document(name, "tea.md", "Green tea is brewed at 80 degrees.", owner=owner)
    use(Connection(running.url))
    cookies[SESSION_COOKIE] = running.keys["ana"]
    return running


def draw(page):
    return AppTest.from_string(SCRIPT.format(page=page), default_timeout=60).run()


def said(page):
    assert not page.exception
    return [each.value for each in page.error]


def press(page, words):
    (button,) = [each for each in page.button if words in each.label]
    return button.click().run()


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [each for each in PAGES if each not in OFFLINE])
def test_a_page_without_its_api_is_words_and_a_way_to_try_again(cookies, name, language):
    use(Connection("http://127.0.0.1:9"))
    cookies |= {SESSION_COOKIE: "x.y.z", LANGUAGE_COOKIE: language}
    page = draw(name)
    assert said(page) == [table()["error.component_unreachable"][language]]
    assert [each.label for each in page.button] == [table()["app.retry"][language]]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [each for each in PAGES if each not in OFFLINE])
def test_a_sign_in_that_has_expired_is_words(server, cookies, name, language):
    cookies |= {SESSION_COOKIE: "x.y.z", LANGUAGE_COOKIE: language}
    assert said(draw(name)) == [table()["error.not_authenticated"][language]]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_drawn_without_a_fault(server, name):
    assert said(draw(name)) == []


def test_a_cookie_of_another_server_does_not_keep_the_owner_out(
    tmp_path, ending, cookies, monkeypatch
):
    running = ending.enter_context(live_server(tmp_path))
    running.add_user("ana", *Scope, role=Role.ADMIN)
    monkeypatch.setattr(ContextProxy, "headers", property(lambda _: {"host": "127.0.0.1:8501"}))
    use(Connection(running.url, owner_token=lambda: running.keys["ana"], is_local=True))
    cookies[SESSION_COOKIE] = "x.y.z"
    assert said(draw("knowledge")) == []


DIALOG = """
from kvasir.frontends.ui import knowledge
from kvasir.frontends.ui.session import choose_language, open_session
choose_language()
knowledge._make(open_session())
"""
"""The dialog of a new knowledge base; a test of a page does not keep a dialog open."""


@pytest.fixture
def administrator(server, cookies):
    server.add_user("eva", Scope.READ, Scope.WRITE, Scope.ADMIN, role=Role.ADMIN)
    cookies[SESSION_COOKIE] = server.keys["eva"]


@pytest.mark.usefixtures("administrator")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_opened_makes_the_server_log_no_error(name, caplog):
    assert said(draw(name)) == []
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.mark.usefixtures("administrator")
def test_tuning_without_its_services_is_explained():
    (shown,) = [each for each in draw("tuning").markdown if each.value.startswith("### ")]
    assert table()["tuning.off"]["en"] in shown.value


@pytest.mark.usefixtures("administrator")
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("wrong", ["My papers 2026!", "", "a/b"])
def test_a_name_that_breaks_the_rule_is_explained_before_it_is_sent(wrong, language, cookies):
    cookies[LANGUAGE_COOKIE] = language
    row = {key: each[language] for key, each in table().items()}
    page = AppTest.from_string(DIALOG, default_timeout=60).run()
    rule = elements.plain(row["knowledge.name_help"])
    assert rule in [each.value for each in page.caption]
    page.text_input[0].set_value(wrong)
    token = chosen.set(language)  # A test names a choice by its text, which it makes itself.
    page = press(page, row["knowledge.create"])
    chosen.reset(token)
    assert said(page) == [elements.plain(row["knowledge.name_invalid"])]


@pytest.mark.usefixtures("administrator")
def test_a_name_with_letters_of_any_script_is_taken():
    page = AppTest.from_string(DIALOG, default_timeout=60).run()
    page.text_input[0].set_value(" Año_2026.v-1 ")
    page = press(page, "Create")
    assert said(page) == []
    assert page.session_state["opened"] == "Año_2026.v-1"


def test_a_page_whose_api_has_gone_since_says_so_and_goes_on_when_it_is_back(
    server, ending, tmp_path
):
    page = draw("knowledge")
    assert said(page) == []
    port = int(server.url.rpartition(":")[2])
    ending.close()
    page.run()
    assert said(page) == [table()["error.component_unreachable"]["en"]]
    with live_server(tmp_path, port=port):
        assert said(press(page, "Try again")) == []


@pytest.fixture
def adding(server):
    """The page to add documents, with a file chosen."""
    page = press(draw("knowledge"), "Open tea")
    page.segmented_control[0].set_value("add").run()
    page.file_uploader[0].set_value([("notes-1.md", b"Mate is drunk.", "text/markdown")]).run()
    return page


def test_an_upload_whose_api_has_gone_is_words(adding, ending):
    ending.close()
    reason = table()["error.component_unreachable"]["en"]
    found = said(press(adding, "Upload (1)"))
    assert rf"notes\-1\.md was not uploaded: {reason}" in found or reason in found


def test_each_file_that_the_server_refuses_is_named_with_the_reason(server):
    # The key of the fixture may read only.
    page = press(draw("knowledge"), "Open tea")
    page.segmented_control[0].set_value("add").run()
    files = [(name, b"Mate is drunk.", "text/markdown") for name in ("oolong.md", "mate.md")]
    page.file_uploader[0].set_value(files).run()
    press(page, "Upload (2)")
    reason = table()["error.forbidden"]["en"]
    assert said(page) == [rf"{name}\.md was not uploaded: {reason}" for name in ("oolong", "mate")]
    assert not page.success


@pytest.fixture
def writing(server, cookies):
    """The page to add documents, of somebody who may."""
    server.add_user("eva", Scope.READ, Scope.WRITE, Scope.ADMIN, role=Role.ADMIN)
    cookies[SESSION_COOKIE] = server.keys["eva"]
    page = press(draw("knowledge"), "Open tea")
    return page.segmented_control[0].set_value("add").run()


def waiting(server):
    """The names and ways of the uploads that wait for a worker."""
    headers = {"Authorization": f"Bearer {server.keys['eva']}"}
    jobs = httpx.get(f"{server.url}/v1/jobs?collection=tea", headers=headers).json()
    given = [job["arguments"] for job in reversed(jobs)]
    return [(each["uri"].removeprefix("upload:eva/"), each["on_conflict"]) for each in given]


def test_two_files_of_one_name_are_two_documents(server, writing):
    files = [("README.md", text, "text/markdown") for text in (b"Mate is drunk.", b"Tea, too.")]
    writing.file_uploader[0].set_value(files).run()
    press(writing, "Upload (2)")
    assert said(writing) == []
    assert waiting(server) == [("README.md", None), ("README (2).md", None)]
    assert r"Files of the same name got a number: README \(2\)\.md" in [
        each.value for each in writing.info
    ]


def paste(page, title, words):
    page.text_input[0].set_value(title)
    page.text_area[0].set_value(words)
    press(page, "Add the text")


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        ("Replace it", [("Tea.md", "replace")]),
        ("Keep both", [("Tea (2).md", "error")]),
        ("Do not add it", []),
    ],
)
def test_a_pasted_text_replaces_another_only_if_that_is_wanted(server, writing, answer, sent):
    paste(writing, "Tea", "Green tea is brewed at 80 degrees.")
    assert waiting(server) == [("Tea.md", "error")]
    paste(writing, "Tea", "Black tea is brewed at 95 degrees.")
    assert waiting(server) == [("Tea.md", "error")]
    asked = "There is already a text “Tea”. Replace it with the new one?"
    assert asked in [each.value for each in writing.warning]
    press(writing, answer)
    assert said(writing) == []
    assert waiting(server) == [("Tea.md", "error"), *sent]
    assert asked not in [each.value for each in writing.warning]


def test_the_label_that_screen_readers_read_has_the_name_as_it_is(server):
    page = press(draw("knowledge"), "Open green\\-tea\\_2")
    page.segmented_control[0].set_value("delete").run()
    (field,) = page.text_input
    assert field.label == "Type the name green-tea_2 to confirm"


@pytest.mark.usefixtures("administrator")
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_knowledge_base_whose_name_is_mistyped_is_not_deleted(cookies, language):
    cookies[LANGUAGE_COOKIE] = language
    row = {key: each[language] for key, each in table().items()}
    page = press(draw("knowledge"), row["knowledge.open"].format(name="tea"))
    token = chosen.set(language)  # A test names a choice by its text, which it makes itself.
    page.segmented_control[0].set_value("delete").run()
    page.text_input[0].set_value("coffee")
    page = press(page, row["knowledge.delete_button"])
    expected = row["knowledge.not_deleted"].format(name="tea")
    assert [each.value for each in page.warning] == [expected]
    page.text_input[0].set_value("tea")
    page = press(page, row["knowledge.delete_button"])
    chosen.reset(token)
    assert said(page) == [] and not page.warning


@pytest.mark.usefixtures("administrator")
def test_an_evaluation_without_a_file_says_what_is_missing():
    page = press(draw("evaluation"), table()["evaluation.run"]["en"])
    assert table()["evaluation.file_missing"]["en"] in [each.value for each in page.warning]
