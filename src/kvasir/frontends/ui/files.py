"""The files of a knowledge base with their state, and the work on them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import streamlit as st

from kvasir.core.error_forms import error_from
from kvasir.core.errors import (
    CollectionNotFoundError,
    DocumentNotFoundError,
    ExtractionError,
    FetchError,
    KvasirError,
    RequestError,
)
from kvasir.frontends.ui import elements, faults
from kvasir.frontends.ui.connection import part
from kvasir.frontends.ui.session import (
    Session,
    in_page_language,
    is_page_outdated,
    note_work,
)
from kvasir.frontends.ui.texts import text

_PAGE = 25
_LOOK_SECONDS = 1.0
"""Between two looks at the jobs while there are any."""
_MOST_JOBS = 20
_FAULTS_OF_FILES = ("encrypted", "empty", "malformed", "unsupported", "too_large")
"""Reasons for which reading the same file again fails again."""


def show(session: Session, name: str) -> None:
    """Draw jobs in progress, then the documents by their names, the failed ones first."""
    jobs = _jobs(session, name, "waiting", "running")
    if jobs:
        note_work("files", len(jobs))
        st.fragment(in_page_language(_show_jobs), run_every=_LOOK_SECONDS)(session, name)
    said = st.session_state.pop("file_said", "")
    if said:
        st.success(said, icon=":material/check:")
    wanted = st.text_input(text("knowledge.find"), key=f"find-{name}", icon=":material/search:")
    after = _after(name, wanted)
    found = _documents(session, name, wanted, after)
    if after and not found:  # The files of the page were deleted.
        after = ""
        found = _documents(session, name, wanted, after)
    failed = [] if wanted or after else _failed(session, name)
    for job in failed:
        _show_job(session, job)
    if not found:
        if wanted:
            st.info(text("knowledge.not_found"))
        elif not jobs and not failed:
            title, more = text("knowledge.no_documents"), text("knowledge.no_documents_more")
            elements.empty_state(":material/note_add:", title, more)
        return
    for record in found[:_PAGE]:
        _show_document(session, name, record)
    _show_paging(name, wanted, found, after)


def _after(name: str, wanted: str) -> str:
    """Return the source URI before the page of a list or a search; empty for its first page."""
    searched, after = st.session_state.get(f"after-{name}", ("", ""))
    return str(after) if searched == wanted else ""


def _turn_to(name: str, wanted: str, after: str) -> None:
    st.session_state[f"after-{name}"] = wanted, after
    st.rerun()


def _documents(session: Session, name: str, wanted: str, after: str) -> list[dict[str, Any]]:
    """Return the documents of a page and all behind it, or at least the first of these."""
    query: dict[str, Any] = {"match": wanted} if wanted else {"after": after, "limit": _PAGE + 1}
    try:
        found: list[dict[str, Any]] = session.api.get(
            f"/v1/collections/{part(name)}/documents", **query
        )
    except (CollectionNotFoundError, DocumentNotFoundError):
        return []  # A knowledge base has no index before its first document.
    if wanted:  # The API returns all that match.
        uris = [each["source_uri"] for each in found]
        return found[uris.index(after) + 1 :] if after in uris else found
    return found


def _jobs(session: Session, name: str, *states: str) -> list[dict[str, Any]]:
    """Return the jobs that are in one of some states, the oldest first."""
    query = {"collection": name, "state": [*states], "limit": _MOST_JOBS}
    found: list[dict[str, Any]] = session.api.get("/v1/jobs", **query)
    return found[::-1]


def _failed(session: Session, name: str) -> list[dict[str, Any]]:
    """Return the last jobs that failed, one for each source, whose failure no document shows."""
    last: dict[tuple[str, str], dict[str, Any]] = {}
    for job in _jobs(session, name, "failed", "done"):
        last[job["task"], _uri(job) or json.dumps(job["arguments"], sort_keys=True)] = job
    return [
        job
        for job in last.values()
        if job["state"] == "failed"
        # A file that cannot be read is among the documents, with the reason.
        and not isinstance(error_from(job["code"], job["message"]), ExtractionError)
        and not _is_settled(session, name, job)
    ]


def _is_settled(session: Session, name: str, job: dict[str, Any]) -> bool:
    """Return True if the source was read later than a job failed, or shows the same failure."""
    if not (uri := _uri(job)) or not job["finished"]:
        return False
    try:
        record = session.api.get(f"/v1/collections/{part(name)}/documents", source=uri)[0]
    except (CollectionNotFoundError, DocumentNotFoundError):
        return False
    if record["error_message"]:
        return bool(record["error_message"] == job["message"])
    finished = datetime.fromisoformat(job["finished"])
    return datetime.fromisoformat(record["indexed"]) > finished


def _uri(job: dict[str, Any]) -> str:
    """Return the source of a job; empty if it has several."""
    given = job["arguments"]
    return str(given.get("uri") or given.get("url") or "")


def _may_help_again(job: dict[str, Any]) -> bool:
    """Return True if a failed job may succeed when it is tried again: the request was no fault."""
    error = error_from(job["code"], job["message"])
    return isinstance(error, FetchError) or not isinstance(error, RequestError)


def _show_jobs(session: Session, name: str) -> None:
    with faults.shown():
        jobs = _jobs(session, name, "waiting", "running")
        if is_page_outdated("files", len(jobs)):
            st.rerun()  # Documents were added, which the list below lacks.
        if not jobs:
            return
        st.subheader(text("knowledge.working"), anchor=False)
        for job in jobs:
            _show_job(session, job)


def _show_job(session: Session, job: dict[str, Any]) -> None:
    name = elements.file_name(_uri(job) or job["task"])
    with st.container(border=True):
        if job["state"] == "waiting":
            said = text("knowledge.job_waiting", position=job["position"])
        elif job["state"] == "running":
            said = text("knowledge.job_running")
        else:
            said = text("knowledge.job_failed", reason=elements.plain(job["message"]))
        st.markdown(f"**{elements.plain(name)}** · {said}")
        progress = job["progress"]
        if progress and progress["total"]:
            st.progress(min(1.0, progress["done"] / progress["total"]))
        is_failed = job["state"] == "failed"
        if is_failed and not _may_help_again(job):
            return
        action, label = ("retry", "job_retry") if is_failed else ("cancel", "job_cancel")
        icon = ":material/refresh:" if is_failed else ":material/close:"
        shown = text(f"knowledge.{label}", name=elements.plain(name))
        if st.button(shown, key=f"{action}-{job['id']}", icon=icon):
            session.api.post(f"/v1/jobs/{job['id']}/{action}")
            st.rerun()


def _show_document(session: Session, name: str, record: dict[str, Any]) -> None:
    title = elements.plain(record["title"] or elements.file_name(record["source_uri"]))
    file = elements.plain(elements.file_name(record["source_uri"]))
    is_failed = record["status"] == "failed"
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        with st.container():
            st.markdown(f"**{title}**")
            state = text("knowledge.state_failed" if is_failed else "knowledge.state_live")
            icon = "error" if is_failed else "check_circle"
            parts = [f":material/{icon}: {state}", file]
            if record["chunk_count"]:
                parts.append(text("knowledge.passages", count=record["chunk_count"]))
            st.caption(" · ".join(parts))
            if record["error_message"]:
                st.caption(faults.of_file(record["error_reason"], record["error_message"]))
        key = record["id"]
        place = f"/v1/collections/{part(name)}/documents/{part(key)}"
        label = text("knowledge.reindex", name=file)
        is_useful = not is_failed or record["error_reason"] not in _FAULTS_OF_FILES
        if is_useful and st.button(
            label, key=f"reindex-{key}", icon=":material/refresh:", type="tertiary"
        ):
            _do(session, "POST", f"{place}/reindex", text("knowledge.reindexed", name=file))
        label = text("knowledge.delete_file", name=file)
        if st.button(label, key=f"delete-{key}", icon=":material/delete:", type="tertiary"):
            _do(session, "DELETE", place, text("knowledge.deleted_file", name=file))


def _do(session: Session, method: str, path: str, said: str) -> None:
    try:
        session.api.send(method, path)
    except KvasirError as error:
        faults.show(error)
        return
    st.session_state["file_said"] = said
    st.rerun()


def _show_paging(name: str, wanted: str, found: list[dict[str, Any]], after: str) -> None:
    with st.container(horizontal=True):
        if after and st.button(text("knowledge.first_files"), icon=":material/first_page:"):
            _turn_to(name, wanted, "")
        if len(found) > _PAGE and st.button(
            text("knowledge.next_files"), icon=":material/navigate_next:"
        ):
            _turn_to(name, wanted, found[_PAGE - 1]["source_uri"])
