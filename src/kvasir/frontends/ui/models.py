"""The page of models: what llm runs, models of the hub, and those on the server's machine."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import streamlit as st

from kvasir.core.errors import KvasirError
from kvasir.frontends.ui import elements, faults
from kvasir.frontends.ui.session import Session, open_session
from kvasir.frontends.ui.texts import text


def show() -> None:
    """Draw the page."""
    session = open_session()
    st.title(text("models.title"), anchor=False)
    if not session.is_admin:
        st.info(text("app.admins"), icon=":material/lock:")
        return
    st.markdown(text("models.intro"))
    if said := st.session_state.pop("models_said", ""):
        st.success(said, icon=":material/check:")
    _switch(session)
    _fetch(session)
    _list(session)


def _switch(session: Session) -> None:
    st.subheader(text("models.llm"), anchor=False)
    found = session.api.get("/v1/llm")
    base = elements.plain(found["base"]) if found["base"] else text("models.extractive")
    tuned = found["state"] or found["adapter"]
    said = text("models.now", base=base)
    if tuned:
        said += " " + text("models.now_tuned", tuned=_tuned_label(found["files"], tuned))
    st.markdown(said)
    if not found["can_change"]:
        st.caption(f":material/info: {text('models.fixed')}")
        return
    bases = ["", *(each["name"] for each in found["files"] if each["kind"] == "base")]
    index = bases.index(found["base"]) if found["base"] in bases else 0
    wanted = st.selectbox(
        text("models.base"),
        bases,
        index=index,
        format_func=lambda name: name or text("models.extractive"),
        key="models-base",
    )
    formats = {each["name"]: each["format"] for each in found["files"]}
    state = ""
    if formats.get(wanted) == "rwkv":
        choices = ["", *_tuned(found["files"], wanted)]
        state = st.selectbox(
            text("models.tuned"),
            choices,
            index=choices.index(tuned) if tuned in choices else 0,
            format_func=lambda name: _tuned_label(found["files"], name),
            key=f"models-tuned-{wanted}",
        )
    if st.button(text("models.use"), type="primary", icon=":material/swap_horiz:"):
        try:
            session.api.send("PUT", "/v1/llm", json={"base": wanted, "tuned": state})
        except KvasirError as error:
            faults.show(error)
            return
        st.session_state["models_said"] = text("models.used")
        st.rerun()


def _tuned(files: list[dict[str, Any]], base: str) -> list[str]:
    """Return the names of states and adapters that may belong to a base."""
    return [
        each["name"]
        for each in files
        if each["kind"] != "base" and (not each["base"] or each["base"] == base)
    ]


def _tuned_label(files: list[dict[str, Any]], name: str) -> str:
    if not name:
        return text("models.no_tuned")
    kinds = {each["name"]: each["kind"] for each in files}
    kind = text(f"models.{kinds.get(name, 'state')}")
    return f"{kind} · {name.removeprefix('job/')[:40]}"


def _fetch(session: Session) -> None:
    st.subheader(text("models.fetch"), anchor=False)
    with st.form("fetch-model"):
        name = st.text_input(
            text("models.name"),
            placeholder=text("models.name_example"),
            help=text("models.name_help"),
        )
        if not st.form_submit_button(text("models.fetch_button"), icon=":material/download:"):
            return
    bar = st.progress(0.0, text("models.fetching"))
    try:
        content = {"method": "POST", "content": {"name": name.strip()}}
        with closing(session.api.events("/v1/model-files/fetch", **content)) as events:
            for kind, data in events:
                if kind == "progress" and data["total"]:
                    share = min(1.0, data["done"] / data["total"])
                    done, total = map(elements.size_words, (data["done"], data["total"]))
                    bar.progress(share, text("models.fetched_part", done=done, total=total))
    except KvasirError as error:
        bar.empty()
        faults.show(error)
        return
    st.session_state["models_said"] = text("models.fetched", name=elements.plain(name.strip()))
    st.rerun()


def _list(session: Session) -> None:
    st.subheader(text("models.here"), anchor=False)
    found = session.api.get("/v1/model-files")
    if not found:
        title, more = text("models.none"), text("models.none_more")
        elements.empty_state(":material/deployed_code:", title, more)
        return
    for each in found:
        with st.container(border=True):
            st.markdown(f"**{elements.plain(each['name'])}**")
            parts = [each["format"], elements.size_words(each["size"])]
            if each["dimension"]:
                parts.append(text("models.dimension", count=each["dimension"]))
            parts.append(text(f"models.{each['origin']}"))
            st.caption(" · ".join(parts))
