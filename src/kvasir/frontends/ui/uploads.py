"""What became of documents that were just added: being indexed, ready or failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from kvasir.core.errors import NotFoundError
from kvasir.frontends.ui import elements, faults
from kvasir.frontends.ui.chat import choose_collection
from kvasir.frontends.ui.connection import part
from kvasir.frontends.ui.session import Session, in_page_language, is_page_outdated, note_work
from kvasir.frontends.ui.texts import text

_LOOK_SECONDS = 1.0
_MOST_LOOKED_AT = 20
"""Jobs that are asked for at once; jobs are done in their order."""


@dataclass
class Added:
    """Documents that were added together.

    Attributes:
        collection: The collection's name.
        open: The names of those that are not indexed yet, by their jobs.
        ready: How many can be asked about.
        failures: Why others cannot, as Markdown.
        numbered: The names of those that got a number.
    """

    collection: str
    open: dict[str, str]
    ready: int = 0
    failures: list[str] = field(default_factory=list)
    numbered: list[str] = field(default_factory=list)
    count: int = field(init=False)

    def __post_init__(self) -> None:
        self.count = len(self.open)

    def look(self, session: Session) -> None:
        """Ask for the jobs that were not over."""
        for job_id, name in list(self.open.items())[:_MOST_LOOKED_AT]:
            try:
                job: dict[str, Any] = session.api.get(f"/v1/jobs/{part(job_id)}")
            except NotFoundError:
                del self.open[job_id]
                self.count -= 1
                continue
            if job["state"] in ("waiting", "running"):
                continue
            del self.open[job_id]
            if job["state"] == "done":
                self.ready += 1
            elif job["state"] == "failed":
                values = {"name": elements.plain(name), "reason": elements.plain(job["message"])}
                self.failures.append(text("knowledge.not_indexed", **values))
            else:
                self.count -= 1  # It was cancelled.


def note(
    kind: str,
    collection: str,
    jobs: Iterable[tuple[str, str]],
    refused: Sequence[str] = (),
    numbered: Sequence[str] = (),
) -> None:
    """Keep what was added until the next time.

    Args:
        kind: Of the form by which it was added.
        collection: The collection's name.
        jobs: The id of each job with the name of its document.
        refused: Why others were not added, as Markdown.
        numbered: The names of documents that got a number, because others have their own.
    """
    added = Added(collection, dict(jobs), failures=[*refused], numbered=[*numbered])
    st.session_state[f"added-{kind}"] = added


def show(session: Session, kind: str, collection: str) -> None:
    """Draw what became of the documents that were added last by a form."""
    added: Added | None = st.session_state.get(f"added-{kind}")
    if added is None or added.collection != collection:
        return
    note_work(f"added-{kind}", len(added.open))
    every = _LOOK_SECONDS if added.open else None
    st.fragment(in_page_language(_show), run_every=every)(session, kind, added)


def _show(session: Session, kind: str, added: Added) -> None:
    with faults.shown():
        added.look(session)
        if added.open:
            values = {"count": added.count, "ready": added.ready, "open": len(added.open)}
            st.info(text("knowledge.uploaded", **values), icon=":material/hourglass_top:")
        elif added.ready:
            values = {"count": added.count, "ready": added.ready}
            st.success(text("knowledge.uploaded_ready", **values), icon=":material/check:")
        if added.numbered:
            names = ", ".join(map(elements.plain, added.numbered))
            st.info(text("knowledge.numbered", names=names), icon=":material/content_copy:")
        for each in added.failures:
            st.error(each, icon=":material/error:")
        if added.count:
            _show_ways(kind, added)
        if is_page_outdated(f"added-{kind}", len(added.open)) and not added.open:
            st.rerun()  # There is nothing to look for any more.


def _show_ways(kind: str, added: Added) -> None:
    def choose_files() -> None:
        st.session_state[f"section-{added.collection}"] = "files"

    with st.container(horizontal=True):
        key, icon = f"files-{kind}", ":material/folder_open:"
        if st.button(text("knowledge.to_files"), key=key, icon=icon, on_click=choose_files):
            st.rerun()
        key, icon = f"ask-{kind}", ":material/forum:"
        if added.ready and st.button(text("knowledge.to_chat"), key=key, icon=icon):
            choose_collection(added.collection)
            st.switch_page(st.session_state["pages"]["chat"])
