"""The page to ask: a chat whose answers run in the API, with their sources as cards."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import streamlit as st

from kvasir.core.errors import KvasirError
from kvasir.frontends.ui import elements, faults, notes
from kvasir.frontends.ui.session import Session, open_session
from kvasir.frontends.ui.sources import count_passages, show_sources
from kvasir.frontends.ui.texts import text
from kvasir.frontends.ui.turns import Turn, ask, kept

_SHOWN = 30
"""Questions that are drawn; earlier ones by a button, because a long page is slow."""
_LONGEST_LABEL = 64
"""Of a chat, as the API takes it."""
_MOST_TOP_K = 30
"""Of passages that can be chosen, where the server does not read more by itself."""
_CHOICE = "chosen-collection"
"""Key of the widget that chooses the knowledge base."""

_RATINGS = (
    (1, "chat.good", ":material/thumb_up:"),
    (-1, "chat.bad", ":material/thumb_down:"),
)


def show() -> None:
    """Draw the page."""
    session = open_session()
    st.title(text("chat.title"), anchor=False)
    names = [each["name"] for each in session.api.get("/v1/collections", limit=1000)]
    if not names:
        elements.empty_state(
            ":material/library_books:", text("chat.nothing"), text("chat.nothing_more")
        )
        st.page_link(st.session_state["pages"]["knowledge"], label=text("chat.to_knowledge"))
        return
    options = _options(session, names)
    turns = _turns(session)
    hidden = max(0, len(turns) - st.session_state.get("shown", _SHOWN))
    if hidden and st.button(text("chat.earlier", count=hidden), icon=":material/history:"):
        st.session_state["shown"] = len(turns)
        st.rerun()
    asked = _input(turns)
    if not turns and not asked:
        elements.empty_state(":material/forum:", text("chat.title"), text("chat.empty"))
    for turn in turns[hidden:]:
        _show_turn(session, turn)
    if asked:
        with faults.shown():
            _ask(session, asked, turns, options)


def _options(session: Session, names: list[str]) -> dict[str, Any]:
    """Draw what is searched and how, beside the chat; return it."""
    with st.sidebar:
        collection = _choose_collection(names)
        with st.expander(text("chat.options"), icon=":material/tune:"):
            rag = st.toggle(
                text("chat.rag"),
                value=True,
                disabled=not session.has_language_model,
                help=text("chat.rag_help" if session.has_language_model else "chat.rag_only"),
                key="rag",
            )
            filters = st.text_input(
                text("chat.filters"), help=text("chat.filters_help"), key="filters"
            )
            most = max(_MOST_TOP_K, session.top_k)
            top_k = st.slider(text("chat.top_k"), 1, most, session.top_k, key="top_k")
        if st.button(text("chat.new"), icon=":material/add_comment:", width="stretch"):
            _begin_again()
    return {"collection": collection, "rag": rag, "filters": filters.strip(), "top_k": top_k}


def _choose_collection(names: list[str]) -> str:
    """Draw the choice of a knowledge base; return it.

    Streamlit forgets a widget's choice when another page is drawn, so it is kept beside it.
    """
    if st.session_state.get(_CHOICE) not in names:
        kept = st.session_state.get("collection")
        st.session_state[_CHOICE] = kept if kept in names else names[0]
    collection: str = st.selectbox(text("chat.collection"), names, key=_CHOICE)
    st.session_state["collection"] = collection
    return collection


def choose_collection(name: str) -> None:
    """Choose a knowledge base for the next question, on another page."""
    st.session_state["collection"] = st.session_state[_CHOICE] = name


def _begin_again() -> None:
    st.session_state["turns"] = []
    st.session_state.pop("shown", None)
    st.query_params["chat"] = str(uuid4())
    st.rerun()


def _turns(session: Session) -> list[Turn]:
    """Return the chat; after the page was loaded again, what the API keeps of it."""
    wanted = st.query_params.get("chat", "")[:_LONGEST_LABEL]
    conversation = wanted or st.session_state.get("chat") or str(uuid4())
    turns: list[Turn] | None = st.session_state.get("turns")
    if turns is None or st.session_state.get("chat") not in (None, conversation):
        turns = kept(session.api, conversation)
        st.session_state["turns"] = turns
    st.session_state["chat"] = conversation
    st.query_params["chat"] = conversation
    return turns


def _input(turns: list[Turn]) -> str:
    """Draw the field for a question, and the button that stops an answer; return the question."""
    is_running = bool(turns) and not turns[-1].is_over
    typed = st.chat_input(text("chat.input"), key="question", max_chars=20_000, disabled=is_running)
    return (typed or "").strip()


def _ask(session: Session, question: str, turns: list[Turn], options: dict[str, Any]) -> None:
    collection = options.pop("collection")
    turn = ask(session.api, collection, question, turns, st.session_state["chat"], **options)
    turns.append(turn)
    # Drawn again, the field is disabled while the answer comes.
    st.rerun()


def _show_turn(session: Session, turn: Turn) -> None:
    with st.chat_message("user", avatar=":material/person:"):
        st.html(f'<h2 class="kvasir-heading">{text("chat.you")}</h2>')
        st.markdown(elements.plain_lines(turn.question))
    with st.chat_message("assistant", avatar=":material/menu_book:"):
        st.html(f'<h2 class="kvasir-heading">{text("chat.answer")}</h2>')
        if not turn.is_over:
            _follow(session, turn)
        else:
            _show_answer(session, turn)


def _follow(session: Session, turn: Turn) -> None:
    """Draw an answer as it comes.

    A click draws the page again, which leaves this loop; the next drawing goes on where it was.
    """
    stop, place = st.empty(), st.empty()
    key = f"stop-{turn.answer_id}"
    if stop.button(text("chat.stop"), key=key, icon=":material/stop_circle:"):
        session.api.post(f"/v1/answers/{turn.answer_id}/stop")
    for _ in turn.follow(session.api):
        _draw(place, turn)
    if turn.is_over:
        st.rerun()
    _draw(place, turn)
    _show_error(turn)


def _draw(place: Any, turn: Turn) -> None:
    if turn.answer:
        place.markdown(elements.answer_markdown(turn.answer))
    else:
        place.caption(text("chat.writing" if turn.found else "chat.searching"))


def _show_answer(session: Session, turn: Turn) -> None:
    if turn.answer:
        st.markdown(elements.answer_markdown(turn.answer))
    if turn.error is not None:
        _show_error(turn)
        return
    for note in turn.notes:
        st.caption(notes.words(note, is_admin=session.is_admin))
    if turn.certainty == "not sure" and turn.sources:
        st.caption(f":material/help: {notes.doubt(turn.doubt)}")
    place = turn.collection, turn.answer_id
    if turn.sources:
        title = text("chat.sources", count=count_passages(turn.sources))
        show_sources(session, *place, turn.sources, title)
    elif turn.nearest:
        show_sources(session, *place, turn.nearest, text("chat.nearest"))
    _feedback(session, turn)


def _show_error(turn: Turn) -> None:
    if turn.error is None:
        return
    if turn.is_stopped:
        st.caption(f":material/stop_circle: {text('chat.stopped')}")
    elif turn.is_lost:
        st.warning(text("chat.lost"), icon=":material/warning:")
    elif not turn.is_over:
        st.warning(text("chat.broken"), icon=":material/cloud_off:")
        st.button(text("app.retry"), key=f"again-{turn.answer_id}", icon=":material/refresh:")
    else:
        faults.show(turn.error)


def _feedback(session: Session, turn: Turn) -> None:
    if turn.rated:
        st.caption(text("chat.thanks"))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(text("chat.feedback"))
        for rating, label, icon in _RATINGS:
            key = f"rate-{turn.answer_id}-{rating}"
            if st.button(text(label), key=key, type="tertiary", icon=icon):
                _rate(session, turn, rating)


def _rate(session: Session, turn: Turn, rating: int) -> None:
    try:
        session.api.post(f"/v1/answers/{turn.answer_id}/feedback", {"rating": rating})
    except KvasirError as error:
        faults.show(error)
        return
    turn.rated = True
    st.rerun()
