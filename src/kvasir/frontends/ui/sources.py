"""Sources as cards, and the document at the quoted passage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from kvasir.core.errors import KvasirError, NotFoundError
from kvasir.core.text import one_line
from kvasir.frontends.ui import elements, faults
from kvasir.frontends.ui.connection import part
from kvasir.frontends.ui.session import Session, in_page_language
from kvasir.frontends.ui.texts import text
from kvasir.frontends.ui.turns import Source

_QUOTE = 240
"""Characters of a quote on its card."""
_AROUND = 300
_WIDER = 3000
"""Characters of the text around a passage, before and after a click."""
_PDF = "application/pdf"


def show_sources(
    session: Session,
    collection: str,
    answer_id: str,
    sources: Sequence[Source],
    title: str,
    *,
    is_open: bool = True,
) -> None:
    """Draw the cards of an answer's sources."""
    with st.expander(title, expanded=is_open, icon=":material/library_books:"):
        for number, quotes in enumerate(_by_marker(sources)):
            with st.container(border=True):
                _show_card(session, collection, f"open-{answer_id}-{number}", quotes)


def count_passages(sources: Sequence[Source]) -> int:
    """Return the number of cards that an answer's sources make."""
    return len(_by_marker(sources))


def _by_marker(sources: Sequence[Source]) -> list[list[Source]]:
    """Return the different quotes of each marker and page, in the order of markers and text."""
    found: dict[tuple[int, int], dict[int, Source]] = {}
    for each in sources:
        found.setdefault((each.marker, each.page or 0), {}).setdefault(each.start, each)
    return [[own[start] for start in sorted(own)] for _, own in sorted(found.items())]


def _show_card(session: Session, collection: str, key: str, quotes: Sequence[Source]) -> None:
    """Draw one passage with all that is quoted from it."""
    source = quotes[0]
    place = _place(source)
    tail = f" · {elements.plain(place)}" if place else ""
    st.markdown(f"**\\[{source.marker}\\] {elements.plain(source.title)}**{tail}")
    for each in quotes:
        quote = one_line(elements.without_grid(each.quote), _QUOTE)
        st.markdown(f"> {elements.plain(quote)}")
    label = text("chat.open", marker=source.marker)
    if st.button(label, key=key, icon=":material/open_in_new:", type="secondary"):
        open_document(session, collection, quotes)


def _place(source: Source) -> str:
    parts = [" › ".join(source.headings)] if source.headings else []
    if source.page is not None:
        parts.append(text("chat.page", page=source.page))
    elif source.line is not None:
        parts.append(text("chat.line", line=source.line))
    return " · ".join(parts)


def open_document(session: Session, collection: str, quotes: Sequence[Source]) -> None:
    """Open a document at the quotes of a passage, in a dialog over the page."""
    source = quotes[0]
    st.session_state.pop("page", None)
    st.session_state.pop("wider", None)
    title = one_line(source.title, 80) or text("document.title")
    st.dialog(elements.plain(title), width="large")(in_page_language(_show_document))(
        session, collection, quotes
    )


def _show_document(session: Session, collection: str, quotes: Sequence[Source]) -> None:
    source = quotes[0]
    with faults.shown():
        place = f"/v1/collections/{part(collection)}/documents/{part(source.document_id)}"
        record = session.api.get(place)
        if record["state"]["media_type"] == _PDF and source.page is not None:
            _show_page(session, place, record, source)
        _show_passage(session, place, quotes)
        _show_download(session, place, record)


def _show_page(session: Session, place: str, record: dict[str, Any], source: Source) -> None:
    """Draw the page of a PDF document, if its bytes are kept."""
    page = st.session_state.get("page", source.page)
    query: dict[str, Any] = {"width": 1100}
    if page == source.page:
        query |= {"box": source.box} if source.box else {"start": source.start, "end": source.end}
    try:
        picture = session.api.send("GET", f"{place}/pages/{page}", params=query).content
    except NotFoundError:
        return
    except KvasirError as error:
        st.caption(faults.words(error))
        return
    last = _page_count(record["metadata"]) or page
    st.image(picture, width="stretch", alt=text("document.picture", page=page))
    st.caption(text("document.page_of", page=page))
    with st.container(horizontal=True):
        if st.button(text("document.previous"), disabled=page <= 1, icon=":material/arrow_back:"):
            st.session_state["page"] = page - 1
            st.rerun(scope="fragment")
        if st.button(text("document.next"), disabled=page >= last, icon=":material/arrow_forward:"):
            st.session_state["page"] = page + 1
            st.rerun(scope="fragment")


def _page_count(metadata: dict[str, Any]) -> int | None:
    """Return a document's number of pages; its metadata may be anything that a person gave."""
    pages = metadata.get("pages")
    return pages if isinstance(pages, int) else None


def _show_passage(session: Session, place: str, quotes: Sequence[Source]) -> None:
    around = _WIDER if st.session_state.get("wider") else _AROUND
    start, end = quotes[0].start, max(each.end for each in quotes)
    found = session.api.get(f"{place}/passage", start=start, end=end, around=around)
    st.markdown(f"#### {text('document.text')}")
    begins = found["start"] <= len(found["before"])
    ends = len(found["after"]) < around
    before, after = elements.whole_words(found["before"], found["after"], begins=begins, ends=ends)
    marked = [(each.start - start, each.end - start) for each in quotes]
    elements.passage(before, found["quote"], after, marked)
    shown = {"first": found["start"] + 1, "last": found["end"]}
    parts = [_place(quotes[0]), text("document.part", **shown)]
    st.caption(" · ".join(elements.plain(each) for each in parts if each))
    is_cut = not (begins and ends)
    if (
        is_cut
        and around == _AROUND
        and st.button(text("document.wider"), icon=":material/unfold_more:")
    ):
        st.session_state["wider"] = True
        st.rerun(scope="fragment")


def _show_download(session: Session, place: str, record: dict[str, Any]) -> None:
    name = elements.file_name(record["source_uri"])

    def load() -> bytes:
        return session.api.send("GET", f"{place}/original").content

    if not record["source_uri"].startswith("upload:"):
        return  # Its bytes are where it was ingested from.
    st.download_button(
        text("document.download"),
        load,
        file_name=name,
        icon=":material/download:",
        on_click="ignore",
    )
