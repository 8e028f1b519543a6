"""The page of knowledge bases: make, open, fill, share and delete collections."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from kvasir.core.errors import CollectionNotFoundError, ForbiddenError, KvasirError
from kvasir.frontends.ui import adding, elements, faults, files
from kvasir.frontends.ui.connection import part
from kvasir.frontends.ui.session import Session, in_page_language, open_session
from kvasir.frontends.ui.texts import text

VISIBILITIES = ("private", "shared", "public")
_MOST = 1000
_NAME = re.compile(r"[\w.-]+")
"""Names of knowledge bases, as the API takes them."""


def show() -> None:
    """Draw the page: one knowledge base if it was opened, or the list."""
    session = open_session()
    if name := st.session_state.get("opened"):
        _show_one(session, name)
    else:
        _show_list(session)


def _show_list(session: Session) -> None:
    st.title(text("knowledge.title"), anchor=False)
    st.markdown(text("knowledge.intro"))
    said = st.session_state.pop("said", "")
    if said:
        st.success(said, icon=":material/check:")
    if st.button(text("knowledge.new"), icon=":material/add:", type="primary"):
        st.dialog(text("knowledge.new"))(in_page_language(_make))(session)
    rights = {each["collection"]: each for each in session.api.get("/v1/access")}
    indexed = {each["name"] for each in session.api.get("/v1/collections", limit=_MOST)}
    if not rights and not indexed:
        elements.empty_state(
            ":material/library_add:", text("knowledge.empty"), text("knowledge.empty_more")
        )
    for name in sorted(indexed | rights.keys()):
        _show_row(name, rights.get(name))


def _show_row(name: str, rights: dict[str, Any] | None) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        with st.container():
            st.markdown(f"#### {elements.plain(name)}")
            if rights is not None:
                parts = [text(f"knowledge.{rights['visibility']}")]
                if rights["owner"]:
                    parts.append(text("knowledge.owner", name=elements.plain(rights["owner"])))
                st.caption(" · ".join(parts))
        label = text("knowledge.open", name=elements.plain(name))
        if st.button(label, key=f"open-{name}", icon=":material/folder_open:"):
            st.session_state["opened"] = name
            st.rerun()


def _make(session: Session) -> None:
    with st.form("new-collection", border=False):
        name = st.text_input(text("knowledge.name"), max_chars=64).strip()
        st.caption(elements.plain(text("knowledge.name_help")))
        visibility = _visibility("private")
        if not st.form_submit_button(text("knowledge.create"), type="primary"):
            return
    if not _NAME.fullmatch(name):
        st.error(elements.plain(text("knowledge.name_invalid")), icon=":material/error:")
        return
    try:
        session.api.post("/v1/collections", {"name": name, "visibility": visibility})
    except KvasirError as error:
        faults.show(error)
        return
    st.session_state["opened"] = name
    st.session_state["said"] = text("knowledge.created", name=elements.plain(name))
    st.rerun()


def _visibility(present: str) -> str:
    return st.radio(
        text("knowledge.visibility"),
        VISIBILITIES,
        index=VISIBILITIES.index(present),
        format_func=lambda each: text(f"knowledge.{each}"),
    )


def _show_one(session: Session, name: str) -> None:
    if st.button(text("knowledge.back"), icon=":material/arrow_back:", type="tertiary"):
        st.session_state.pop("opened")
        st.rerun()
    st.title(elements.plain(name), anchor=False)
    said = st.session_state.pop("said", "")
    if said:
        st.success(said, icon=":material/check:")
    sections = {
        "files": lambda: files.show(session, name),
        "add": lambda: adding.show(session, name),
        "share": lambda: _share(session, name),
        "delete": lambda: _delete(session, name),
    }
    chosen = st.segmented_control(
        text("knowledge.title"),
        list(sections),
        format_func=lambda each: text(f"knowledge.{each}"),
        default="files",
        required=True,
        label_visibility="collapsed",
        key=f"section-{name}",
    )
    with faults.shown():
        sections[chosen or "files"]()


def _share(session: Session, name: str) -> None:
    place = f"/v1/collections/{part(name)}/access"
    try:
        rights = session.api.get(place)
    except (ForbiddenError, CollectionNotFoundError):
        st.info(text("knowledge.not_yours"), icon=":material/lock:")
        return
    with st.form("share"):
        visibility = _visibility(rights["visibility"])
        readers = st.text_input(
            text("knowledge.readers"),
            ", ".join(rights["readers"]),
            help=text("knowledge.names_help"),
        )
        writers = st.text_input(
            text("knowledge.writers"),
            ", ".join(rights["writers"]),
            help=text("knowledge.names_help"),
        )
        if not st.form_submit_button(text("app.save"), type="primary"):
            return
    body = {
        "visibility": visibility,
        "readers": _names(readers),
        "writers": _names(writers),
    }
    session.api.send("PUT", place, json=body)
    st.success(text("knowledge.shared_now"), icon=":material/check:")


def _names(typed: str) -> list[str]:
    return [each.strip() for each in typed.split(",") if each.strip()]


def _delete(session: Session, name: str) -> None:
    with st.form("delete"):
        st.markdown(f"**{text('knowledge.delete_title', name=elements.plain(name))}**")
        st.markdown(text("knowledge.delete_confirm", name=elements.plain(name)))
        # Screen readers read a label as it is, with the backslashes of Markdown.
        label = text("knowledge.delete_confirm", name=name)
        typed = st.text_input(label, label_visibility="collapsed")
        pressed = st.form_submit_button(text("knowledge.delete_button"), type="primary")
    if not pressed:
        return
    if typed.strip() != name:
        said = text("knowledge.not_deleted", name=elements.plain(name))
        st.warning(said, icon=":material/warning:")
        return
    try:
        session.api.send("DELETE", f"/v1/collections/{part(name)}")
    except ForbiddenError:
        st.info(text("knowledge.not_yours"), icon=":material/lock:")
        return
    st.session_state.pop("opened")
    st.session_state["said"] = text("knowledge.deleted", name=elements.plain(name))
    st.rerun()
