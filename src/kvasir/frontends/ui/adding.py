"""Adds documents to a knowledge base: files, a pasted text, a web page, a search of the web."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import streamlit as st

from kvasir.core.errors import CollectionNotFoundError, DocumentNotFoundError, KvasirError
from kvasir.frontends.ui import elements, faults, uploads
from kvasir.frontends.ui.connection import part
from kvasir.frontends.ui.session import Session, in_page_language
from kvasir.frontends.ui.texts import text

_MOST_PAGES = 100
_MOST_JOBS = 100
_PASTED = "pasted"
_LOOK_SECONDS = 1.0
_THERE = ("added", "replaced", "unchanged", "relabelled")
"""What became of pages that the knowledge base has."""
_NOT_IN_NAMES = re.compile(r"[\\/\x00-\x1f]+")


def show(session: Session, name: str) -> None:
    """Draw the ways to add documents."""
    place = f"/v1/collections/{part(name)}/documents"
    _upload(session, name, place)
    _paste(session, name, place)
    uploads.show(session, "paste", name)
    _fetch(session, name, place)
    uploads.show(session, "web", name)
    _search(session, place)


def _upload(session: Session, collection: str, place: str) -> None:
    st.subheader(text("knowledge.upload"), anchor=False)
    # With a new key the field is empty, and Streamlit forgets the bytes of the former files.
    number = st.session_state.setdefault("upload", 0)
    chosen = st.file_uploader(
        text("knowledge.upload"),
        accept_multiple_files=True,
        label_visibility="collapsed",
        max_upload_size=session.max_file_mb,
        key=f"upload-{number}",
    )
    st.caption(text("knowledge.upload_help", size=session.max_file_mb))
    elements.refused_files(text("knowledge.refused_file", size=session.max_file_mb))
    uploads.show(session, "files", collection)
    if not chosen or not st.button(
        text("knowledge.upload_button", count=len(chosen)), type="primary", icon=":material/upload:"
    ):
        return
    bar, failures = st.progress(0.0), list[str]()
    jobs = list[tuple[str, str]]()
    names = distinct_names([file.name for file in chosen])
    for position, (file, name) in enumerate(zip(chosen, names, strict=True)):
        values = {"name": elements.plain(name), "number": position + 1, "count": len(chosen)}
        bar.progress(position / len(chosen), text("knowledge.uploading", **values))
        try:
            sent = {"file": (name, file, file.type or "")}
            jobs.append((session.api.send("POST", place, files=sent).json()["id"], name))
        except KvasirError as error:
            reason = faults.words(error)
            failures.append(text("knowledge.not_uploaded", name=values["name"], reason=reason))
    numbered = [name for file, name in zip(chosen, names, strict=True) if name != file.name]
    uploads.note("files", collection, jobs, failures, numbered)
    st.session_state["upload"] = number + 1
    st.rerun()


def distinct_names(names: Sequence[str]) -> list[str]:
    """Return names of files, with a number in each that an earlier file has: ``a (2).md``."""
    found: list[str] = []
    for name in names:
        others = found if name not in found else {*found, *names}
        found.append(next(each for each in _numbered(name) if each not in others))
    return found


def _numbered(name: str) -> Iterator[str]:
    """Yield a name as it is, and then with the numbers from 2."""
    yield name
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    for number in count(2):
        yield f"{stem} ({number}){dot}{ending}"


@dataclass(frozen=True)
class _Pasted:
    """A pasted text whose title another document has."""

    collection: str
    name: str
    content: str


def _paste(session: Session, collection: str, place: str) -> None:
    st.subheader(text("knowledge.paste"), anchor=False)
    with st.form("paste", clear_on_submit=True):
        title = st.text_input(text("knowledge.paste_title"), max_chars=200)
        pasted = st.text_area(text("knowledge.paste_text"), height=160)
        is_sent = st.form_submit_button(text("knowledge.paste_button"))
    if is_sent and not (title.strip() and pasted.strip()):
        st.warning(text("knowledge.paste_missing"), icon=":material/edit:")
    elif is_sent:
        new = _Pasted(collection, _NOT_IN_NAMES.sub(" ", title).strip() + ".md", pasted)
        if _is_there(session, place, new):
            st.session_state[_PASTED] = new
        else:
            st.session_state.pop(_PASTED, None)
            _send(session, place, new, "error")
    waiting: _Pasted | None = st.session_state.get(_PASTED)
    if waiting is not None and waiting.collection == collection:
        _ask_to_replace(session, place, waiting)


def _is_there(session: Session, place: str, pasted: _Pasted) -> bool:
    """Return True if a document has the name of a pasted text, or will have it."""
    uri = f"upload:{session.username or 'owner'}/{pasted.name}"
    query = {"collection": pasted.collection, "state": ["waiting", "running"]}
    jobs = session.api.get("/v1/jobs", **query, limit=_MOST_JOBS)
    if any(job["arguments"].get("uri") == uri for job in jobs):
        return True
    try:
        session.api.get(place, source=uri)
    except (CollectionNotFoundError, DocumentNotFoundError):
        return False
    return True


def _ask_to_replace(session: Session, place: str, waiting: _Pasted) -> None:
    title = elements.plain(waiting.name.removesuffix(".md"))
    st.warning(text("knowledge.paste_exists", name=title), icon=":material/content_copy:")
    with st.container(horizontal=True):
        is_replacing = st.button(text("knowledge.paste_replace"), type="primary")
        is_another = st.button(text("knowledge.paste_both"))
        is_dropped = st.button(text("knowledge.paste_drop"))
    if is_replacing:
        _send(session, place, waiting, "replace")
    elif is_another:
        others = (replace(waiting, name=name) for name in _numbered(waiting.name))
        free = next(each for each in others if not _is_there(session, place, each))
        _send(session, place, free, "error")
    if is_replacing or is_another or is_dropped:
        del st.session_state[_PASTED]
        st.rerun()


def _send(session: Session, place: str, pasted: _Pasted, on_conflict: str) -> None:
    sent = {"file": (pasted.name, pasted.content.encode(), "text/markdown")}
    given = {"on_conflict": on_conflict}
    job = session.api.send("POST", place, files=sent, data=given).json()
    uploads.note("paste", pasted.collection, [(job["id"], pasted.name)])


def _fetch(session: Session, collection: str, place: str) -> None:
    st.subheader(text("knowledge.web"), anchor=False)
    with st.form("web", clear_on_submit=True):
        address = st.text_input(text("knowledge.web_address"), placeholder="https://")
        if not st.form_submit_button(text("knowledge.web_button")):
            return
    address = address.strip()
    job = session.api.post(f"{place}/from-url", {"url": address})
    uploads.note("web", collection, [(job["id"], address)])


def _search(session: Session, place: str) -> None:
    st.subheader(text("knowledge.search"), anchor=False)
    with st.form("search-web"):
        query = st.text_input(text("knowledge.search_words"), max_chars=2000)
        most = st.number_input(text("knowledge.search_count"), 1, _MOST_PAGES, 10)
        pressed = st.form_submit_button(text("knowledge.search_button"), icon=":material/search:")
    if pressed and not query.strip():
        st.warning(text("knowledge.search_missing"), icon=":material/edit:")
    elif pressed:
        body = {"query": query.strip(), "max_results": most}
        st.session_state["web_search"] = session.api.post(f"{place}/from-web", body)["id"]
    if job_id := st.session_state.get("web_search", ""):
        st.fragment(in_page_language(_show_search), run_every=_LOOK_SECONDS)(session, job_id)


def _show_search(session: Session, job_id: str) -> None:
    with faults.shown():
        job = session.api.get(f"/v1/jobs/{part(job_id)}")
        query = elements.plain(job["arguments"]["query"])
        state = job["state"]
        if state in ("waiting", "running"):
            st.info(text("knowledge.search_running", query=query), icon=":material/travel_explore:")
            return
        if state != "done":
            reason = elements.plain(job["message"] or state)
            said = text("knowledge.search_failed", query=query, reason=reason)
            st.error(said, icon=":material/error:")
            return
        pages = job["result"]["pages"]
        there = [each for each in pages if each["outcome"] in _THERE]
        said = text("knowledge.search_done", query=query, count=len(there))
        st.success(said, icon=":material/check:")
        for each in pages:
            if each["message"]:
                name, reason = elements.plain(each["url"]), elements.plain(each["message"])
                st.warning(text("knowledge.not_uploaded", name=name, reason=reason))
