"""The data of a tuning: upload examples, take them from the log of answers, prepare them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from kvasir.core.errors import KvasirError
from kvasir.frontends.ui import elements, faults, tuning_jobs
from kvasir.frontends.ui.session import Session
from kvasir.frontends.ui.texts import text

_DATA = ("jsonl", "prepared")


def show(session: Session) -> str | None:
    """Draw the choice of the data, and ways to add some; return the name of what is chosen."""
    st.subheader(text("tuning.data"), anchor=False)
    files = {each["name"]: each for each in session.api.get("/v1/tuning/files")}
    names = [name for name, each in files.items() if each["kind"] in _DATA]
    chosen = None
    if names:
        if (new := st.session_state.get("tuning_new")) in names:
            st.session_state["tuning-file"] = new
            del st.session_state["tuning_new"]
        chosen = st.selectbox(
            text("tuning.file"),
            names,
            format_func=lambda name: _label(files[name]),
            key="tuning-file",
        )
    else:
        st.caption(text("tuning.no_files"))
    with st.expander(text("tuning.upload"), icon=":material/upload:", expanded=not names):
        _upload(session)
    with st.expander(text("tuning.answers"), icon=":material/forum:"):
        _take_answers(session)
    if chosen is None:
        return None
    if files[chosen]["kind"] == "jsonl":
        _prepare(session, chosen)
    return str(chosen)


def _label(file: dict[str, Any]) -> str:
    kind = text(f"tuning.{file['kind']}")
    return f"{file['name']} · {kind} · {elements.size_words(file['size'])}"


def _prepare(session: Session, name: str) -> None:
    st.caption(text("tuning.prepare_more"))
    if st.button(text("tuning.prepare"), icon=":material/construction:"):
        target = name.rpartition(".")[0].replace(".", "_")
        job = {"runner": "j2b", "arguments": {"files": [name], "name": target}}
        _choose(target)
        tuning_jobs.submit(session, "j2b", job, text("tuning.preparing", name=target))


def _choose(name: str) -> None:
    """Choose a new file when it is there."""
    st.session_state["tuning_new"] = name


def _upload(session: Session) -> None:
    number = st.session_state.setdefault("tuning_upload", 0)
    file = st.file_uploader(
        text("tuning.jsonl_file"),
        type=["jsonl"],
        help=text("tuning.jsonl_help"),
        max_upload_size=session.max_file_mb,
        key=f"tuning-upload-{number}",
    )
    elements.refused_files(text("knowledge.refused_file", size=session.max_file_mb))
    if file is None or not st.button(text("tuning.upload_button"), icon=":material/upload:"):
        return
    try:
        files = {"file": (file.name, file, "application/jsonl")}
        kept = session.api.send("POST", "/v1/tuning/files", files=files).json()
    except KvasirError as error:
        faults.show(error)
        return
    st.session_state["tuning_upload"] = number + 1
    _say(kept)


def _take_answers(session: Session) -> None:
    with st.form("tuning-answers", border=False):
        name = st.text_input(text("tuning.answers_name"), "answers.jsonl", max_chars=128)
        only_good = st.checkbox(text("tuning.only_good"), value=True)
        if not st.form_submit_button(text("tuning.answers_button"), icon=":material/download:"):
            return
    try:
        body = {"name": name.strip(), "only_good": only_good}
        kept = session.api.post("/v1/tuning/files/from-answers", body)
    except KvasirError as error:
        faults.show(error)
        return
    _say(kept)


def _say(kept: dict[str, Any]) -> None:
    _choose(kept["name"])
    name = elements.plain(kept["name"])
    st.session_state["tuning_said"] = text("tuning.kept", name=name, count=kept["examples"])
    st.rerun()
