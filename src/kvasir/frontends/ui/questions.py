"""The page of questions that are answered later."""

from __future__ import annotations

from typing import Any

import streamlit as st

from kvasir.core.errors import KvasirError
from kvasir.frontends.ui import elements, faults
from kvasir.frontends.ui.session import (
    Session,
    in_page_language,
    is_page_outdated,
    note_work,
    open_session,
)
from kvasir.frontends.ui.sources import count_passages, show_sources
from kvasir.frontends.ui.texts import text
from kvasir.frontends.ui.turns import Source, titles_of

_PAGE = 20
_LOOK_SECONDS = 2.0
"""Between two looks while questions wait."""
_OPEN = ("waiting", "answering")
_ICONS = {
    "waiting": "schedule",
    "answering": "edit_note",
    "answered": "check_circle",
    "dead": "error",
    "cancelled": "cancel",
}


def show() -> None:
    """Draw the page."""
    session = open_session()
    st.title(text("questions.title"), anchor=False)
    st.markdown(text("questions.intro"))
    _ask(session)
    before = st.session_state.get("before", "")
    note_work("questions", busy := _busy(_questions(session, before)))
    draw = st.fragment(in_page_language(_show_list), run_every=_LOOK_SECONDS if busy else None)
    draw(session, before)


def _questions(session: Session, before: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = session.api.get("/v1/questions", before=before, limit=_PAGE)
    return found


def _busy(questions: list[dict[str, Any]]) -> int:
    return sum(each["state"] in _OPEN for each in questions)


def _ask(session: Session) -> None:
    names = [each["name"] for each in session.api.get("/v1/collections", limit=1000)]
    if not names:
        return
    with (
        st.expander(text("questions.ask"), icon=":material/add:"),
        st.form("ask", clear_on_submit=True, border=False),
    ):
        question = st.text_area(text("questions.text"), max_chars=20_000, height=100)
        collection = st.selectbox(text("chat.collection"), names)
        mail = bool(session.email) and st.checkbox(text("questions.mail"), value=False)
        if not st.form_submit_button(text("questions.button"), type="primary"):
            return
    body = {"input": question, "collection": collection, "mail": mail}
    session.api.post("/v1/questions", body)
    st.session_state["before"] = ""
    st.success(text("questions.asked"), icon=":material/check:")


def _show_list(session: Session, before: str) -> None:
    with faults.shown():
        found = _questions(session, before)
        if not found and not before:
            title, more = text("questions.empty"), text("questions.empty_more")
            elements.empty_state(":material/contact_support:", title, more)
        for question in found:
            with st.container(border=True):
                _show_question(session, question)
        _show_paging(found, before)
        if is_page_outdated("questions", busy := _busy(found)) and not busy:
            st.rerun()


def _show_paging(found: list[dict[str, Any]], before: str) -> None:
    with st.container(horizontal=True):
        if before and st.button(text("questions.newest"), icon=":material/first_page:"):
            st.session_state["before"] = ""
            st.rerun()
        if len(found) == _PAGE and st.button(text("questions.earlier")):
            st.session_state["before"] = found[-1]["id"]
            st.rerun()


def _show_question(session: Session, question: dict[str, Any]) -> None:
    state = question["state"]
    st.markdown(f"**{elements.plain_lines(question['input'])}**")
    parts = [f":material/{_ICONS[state]}: {text(f'questions.{state}')}"]
    if state == "waiting" and question["position"]:
        parts.append(text("questions.position", position=question["position"]))
    parts.append(elements.plain(question["collection"]))
    parts.append(elements.plain(question["date"][:16].replace("T", " ")))
    st.caption(" · ".join(parts))
    if question["reason"]:
        st.caption(elements.plain(question["reason"]))
    if question["output"]:
        st.markdown(elements.answer_markdown(question["output"]))
    answer = question["answer"]
    if answer and answer["citations"]:
        titles = titles_of(answer)
        sources = [Source.of_citation(each, titles) for each in answer["citations"]]
        title = text("chat.sources", count=count_passages(sources))
        show_sources(session, question["collection"], question["id"], sources, title, is_open=False)
    if state in _OPEN:
        key = f"cancel-{question['id']}"
        if st.button(text("questions.cancel"), key=key, icon=":material/close:"):
            _cancel(session, question["id"])


def _cancel(session: Session, question_id: str) -> None:
    try:
        session.api.post(f"/v1/questions/{question_id}/cancel")
    except KvasirError as error:
        faults.show(error)
        return
    st.rerun()
