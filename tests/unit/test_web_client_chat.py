"""What the page to ask sends: the knowledge base and the options that it shows."""

from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.runtime.context import ContextProxy
from streamlit.testing.v1 import AppTest

from kvasir.core.errors import NotFoundError
from kvasir.frontends.ui import chat
from kvasir.frontends.ui.uploads import Added

PAGES = """
import streamlit as st
from kvasir.frontends.ui import chat, uploads
st.session_state["pages"] = {"chat": "chat"}
match st.session_state["page"]:
    case "chat":
        chat.show()
    case "uploads":
        uploads.show(st.session_state["session"], "files", "course")
"""
NAMES = ["book", "course", "law", "tea"]


class Server:
    """Has collections, and keeps what is asked."""

    def __init__(self):
        self.names, self.asked = list(NAMES), []

    def get(self, path, **query):
        if path == "/v1/collections":
            return [{"name": each} for each in self.names]
        assert path == "/v1/answers"
        return []

    def post(self, path, body):
        self.asked.append((path.split("/")[3], body))
        return {"id": "1"}

    def events(self, path, **content):
        raise NotFoundError("there is no such answer")


@pytest.fixture(autouse=True)
def browser(monkeypatch):
    monkeypatch.setattr(ContextProxy, "cookies", property(lambda _: {}))
    monkeypatch.setattr(ContextProxy, "headers", property(lambda _: {}))
    monkeypatch.setattr(chat, "open_session", lambda: st.session_state["session"])
    monkeypatch.setattr(st, "switch_page", switch_page)


def switch_page(name):
    st.session_state["page"] = name
    st.rerun()


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def page(server):
    """The page to ask."""
    page = AppTest.from_string(PAGES, default_timeout=30)
    session = SimpleNamespace(api=server, has_language_model=True, top_k=40)
    page.session_state["session"] = session
    return go(page, "chat")


def go(page, name):
    page.session_state["page"] = name
    return drawn(page)


def drawn(page):
    page.run()
    assert not page.exception
    return page


def choose(page, name):
    page.sidebar.selectbox[0].select(name)
    assert drawn(page).sidebar.selectbox[0].value == name


def test_each_choice_of_a_knowledge_base_holds(page):
    for name in ("course", "law", "tea", "book", "law"):
        choose(page, name)


def test_a_choice_holds_when_another_page_was_open(page):
    choose(page, "law")
    go(page, "")
    go(page, "chat")
    assert page.sidebar.selectbox[0].value == "law"


def test_a_knowledge_base_that_is_gone_is_not_chosen(page, server):
    choose(page, "law")
    server.names.remove("law")
    drawn(page)
    assert page.sidebar.selectbox[0].value == "book"
    choose(page, "tea")


def test_a_question_goes_to_the_knowledge_base_that_is_shown(page, server):
    for name in ("law", "tea", "course"):
        choose(page, name)
        page.session_state["turns"] = []
        page.chat_input[0].set_value("How hot?")
        page.run()
    assert [name for name, _ in server.asked] == ["law", "tea", "course"]


def test_as_many_passages_are_read_as_the_server_says_until_another_number_is_chosen(page, server):
    slider = page.sidebar.slider[0]
    assert (slider.value, slider.max) == (40, 40)
    page.chat_input[0].set_value("How hot?").run()
    page.sidebar.slider[0].set_value(7)
    page.chat_input[0].set_value("How long?").run()
    assert [body["top_k"] for _, body in server.asked] == [40, 7]


def test_the_button_behind_an_upload_chooses_its_knowledge_base(page):
    choose(page, "law")
    added = Added("course", {})
    added.count = added.ready = 1
    page.session_state["added-files"] = added
    go(page, "uploads")
    next(each for each in page.button if each.label == "Ask about it").click()
    assert drawn(page).sidebar.selectbox[0].value == "course"
    choose(page, "tea")
