"""The citations of an answer with what other programs show of them: title, address, place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request

from kvasir.app import App
from kvasir.core.links import passage_url
from kvasir.core.text import one_line
from kvasir.core.types import Answer, Citation, Hit

_MARKER = re.compile(r"\[(\d+)\]")
_CONTEXT = 12
"""Characters before a bracketed number that show whether a document has it, too."""
_LONGEST_TITLE = 200
_ESCAPED = r"\\\1"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~])")


@dataclass(frozen=True, slots=True)
class CitedSource:
    """A citation of an answer.

    Attributes:
        title: The document's title.
        url: The passage's address, for those who are signed in.
        start: Offset of the marker, such as ``[1]``, in the answer's text.
        end: Offset after it.
    """

    citation: Citation
    title: str
    url: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class NearPassage:
    """One of the nearest passages, where the documents may not hold the answer.

    Attributes:
        title: The document's title.
        url: The passage's address, for those who are signed in.
        page: Page on which it starts, from 1, or None.
    """

    document_id: str
    title: str
    url: str
    start: int
    end: int
    page: int | None


def base_url(kvasir: App, request: Request) -> str:
    """Return the address of the server as its clients see it."""
    return kvasir.settings.server.public_url or str(request.base_url)


def path_prefix(kvasir: App, request: Request) -> str:
    """Return the path below which clients see the server, such as ``/kvasir``; mostly empty."""
    return urlsplit(base_url(kvasir, request)).path.rstrip("/")


def public_path(kvasir: App, request: Request, path: str) -> str:
    """Return a path of this server as its clients see it."""
    return path_prefix(kvasir, request) + path


def cited_sources(answer: Answer, collection: str, base: str) -> list[CitedSource]:
    """Return the citations of an answer in order of appearance."""
    found = []
    for citation, (start, end) in zip(answer.citations, _marker_spans(answer), strict=False):
        place = citation.document_id, citation.start, citation.end
        url = passage_url(base, collection, *place)
        found.append(CitedSource(citation, _title(answer, citation), url, start, end))
    return found


def near_passages(answer: Answer, collection: str, base: str) -> list[NearPassage]:
    """Return the nearest passages of an answer that is refused or not sure, best first."""
    found = []
    for hit in answer.nearest:
        chunk = hit.chunk
        place = chunk.document_id, chunk.start, chunk.end
        url = passage_url(base, collection, *place)
        title = _title_of(hit, str(chunk.metadata.get("source_uri", "")))
        found.append(NearPassage(chunk.document_id, title, url, chunk.start, chunk.end, chunk.page))
    return found


def markdown_list(sources: Sequence[CitedSource], nearest: Sequence[NearPassage] = ()) -> str:
    """Return a Markdown list of the sources, one line for each marker, and the nearest passages.

    It follows the answer's text, and has no heading, because the answer may be in any language.
    """
    lines: dict[int, str] = {}
    for source in sources:
        marker, page = source.citation.marker, source.citation.page
        lines.setdefault(marker, f"- [{marker}] {_linked(source.title, page, source.url)}")
    near = [f"- {_linked(each.title, each.page, each.url)}" for each in nearest]
    lists = ["\n".join(each) for each in (lines.values(), near) if each]
    return "".join(f"\n\n{each}" for each in lists)


def _linked(title: str, page: int | None, url: str) -> str:
    place = "" if page is None else f", p. {page}"
    return f"[{_MARKDOWN.sub(_ESCAPED, title)}{place}]({url})"


def _title(answer: Answer, citation: Citation) -> str:
    hit = next((hit for hit in answer.hits if hit.chunk.document_id == citation.document_id), None)
    return _title_of(hit, citation.source_uri)


def _title_of(hit: Hit | None, source_uri: str) -> str:
    own = str(hit.chunk.metadata.get("title", "")) if hit else ""
    last = re.split(r"[/\\]", source_uri.rstrip("/\\"))[-1]
    return one_line(own or last, _LONGEST_TITLE) or "document"


def _marker_spans(answer: Answer) -> list[tuple[int, int]]:
    """Return the spans of the checked markers in the text, in the order of the citations.

    A bracketed number may also belong to a quoted document. Such a number is left out if it stands
    in a document in the same way, unless the rest are then not the citations' markers.
    """
    wanted = [citation.marker for citation in answer.citations]
    every = [match for match in _MARKER.finditer(answer.text) if int(match[1]) in wanted]
    own = [match for match in every if not _is_in_a_document(answer, match)]
    for chosen in (every, own):
        if [int(match[1]) for match in chosen] == wanted:
            return [match.span() for match in chosen]
    spans, rest = [], list(every)
    for marker in wanted:
        while rest and int(rest[0][1]) != marker:
            rest.pop(0)
        # Without a place the citation stands at the end.
        spans.append(rest.pop(0).span() if rest else (len(answer.text), len(answer.text)))
    return spans


def _is_in_a_document(answer: Answer, match: re.Match[str]) -> bool:
    context = answer.text[max(0, match.start() - _CONTEXT) : match.end()]
    words = " ".join(context.split())
    return any(words in " ".join(hit.chunk.text.split()) for hit in answer.hits)
