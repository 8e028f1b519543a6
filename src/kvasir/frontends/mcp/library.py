"""What a client of the Model Context Protocol may read: the documents of one caller.

``search`` and ``fetch`` have the arguments and results that clients such as ChatGPT look for. An id
names a document, or a passage by its offsets: ``COLLECTION/DOCUMENT`` and
``COLLECTION/DOCUMENT/START-END``.

Source: https://platform.openai.com/docs/mcp
"""

from __future__ import annotations

import heapq
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from kvasir.collection import Collection
from kvasir.core.answer_stream import AnswerStream
from kvasir.core.deadline import stopping
from kvasir.core.errors import (
    CollectionNotFoundError,
    KvasirError,
    NotFoundError,
    RequestError,
    StoppedError,
    UnknownFieldError,
)
from kvasir.core.explanations import AnswerExplanation, SearchExplanation
from kvasir.core.ledger import CollectionRecord, DocumentRecord, VersionStatus
from kvasir.core.places import LineFinder
from kvasir.core.run import StopToken
from kvasir.core.text import one_line
from kvasir.core.types import KNOWS_ENGLISH_ONLY, Answer, Hit, PageBox
from kvasir.core.wire import to_json
from kvasir.frontends.mcp.document_links import DocumentLinks
from kvasir.frontends.mcp.results import (
    Cited,
    DocumentList,
    FetchedDocument,
    GivenAnswer,
    ListedDocument,
    Place,
    SearchResult,
    SearchResults,
)
from kvasir.settings.schema import Settings

logger = logging.getLogger(__name__)

MOST_CHARACTERS = 60_000
"""Most characters of a fetched text; of a longer document those around the passage."""
_PASSAGE_ID = re.compile(r"(?P<collection>.+)/(?P<document>[^/]+)/(?P<start>\d+)-(?P<end>\d+)")
_DOCUMENT_ID = re.compile(r"(?P<collection>.+)/(?P<document>[^/]+)")
_LONGEST_TITLE = 200
_CHANGE_MODEL = "whoever runs this server can have the collection embedded again with one"

Record = Callable[[str, str, Answer], None]
"""Adds an answer to the log: collection, question, answer."""
Start = Callable[[Collection, str, str | None, bool], AnswerStream]
"""Starts the answer to a question, from what a filter leaves, with its explanation or without."""


def _stream(
    collection: Collection, question: str, filters: str | None, explain: bool
) -> AnswerStream:
    return collection.stream(question, filters=filters, explain=explain)


class Service(Protocol):
    """Anything that has collections: the process's application, or a server."""

    def collection(self, name: str | None = None) -> Collection:
        """Lease a collection."""

    def collections(self) -> list[CollectionRecord]:
        """Return the records of all collections."""


class Library:
    """The collections that one caller may read.

    Safe to use from several threads, as the service is.
    """

    def __init__(
        self,
        service: Service,
        *,
        readable: Callable[[], list[str]],
        base_url: str,
        settings: Settings,
        record: Record | None = None,
        start: Start = _stream,
        finds_lines: bool = False,
    ) -> None:
        """Look at nothing yet.

        Args:
            service: What has the collections.
            readable: Returns the names of the collections that the caller may read now.
            base_url: The address of the server, for links; empty: links to the sources.
            settings: How many passages a search returns, and the usual collection.
            record: Adds answers to the log; None keeps none.
            start: Starts answers, within the server's limits.
            finds_lines: Look for passages in the files of this machine; for its user alone.
        """
        self._service = service
        self._readable = readable
        self._links = DocumentLinks(base_url)
        self._top_k = settings.chat.rag.retriever.top_k
        self._usual = settings.question_collection
        self._record = record
        self._start = start
        self._finds_lines = finds_lines

    def search(
        self, query: str, filters: str | None = None, *, explain: bool = False
    ) -> SearchResults:
        """Return the passages that belong to a query, best first.

        Raises:
            FilterError: The filter is malformed, or no collection has a field of it.
        """
        explanations: dict[str, SearchExplanation] | None = {} if explain else None
        found = self._search(query, filters, explanations)
        if not found and not any(map(self._has_documents, self._readable())):
            raise NotFoundError("there are no documents yet in what you may read")
        return SearchResults(
            results=[self._result(name, hit) for name, hit in found],
            explanations=None
            if explanations is None
            else {name: _shown(each) for name, each in explanations.items()},
        )

    def fetch(self, id: str) -> FetchedDocument:
        """Return the text of a document, if it is long the part around the passage."""
        match = _PASSAGE_ID.fullmatch(id) or _DOCUMENT_ID.fullmatch(id)
        if match is None or match["collection"] not in self._readable():
            raise NotFoundError(f"there is no document '{id}': take an id of a search's results")
        name, document = match["collection"], match["document"]
        with self._service.collection(name) as collection:
            record = collection.document(document)
            text = collection.text(record.id)
        span = match.groupdict()
        is_passage = "start" in span
        start, end = (int(span["start"]), int(span["end"])) if is_passage else (0, len(text))
        if is_passage and not start < end <= len(text):
            raise NotFoundError("the document has changed: search again")
        first, last = _window(len(text), start, end)
        url = (
            self._links.passage(name, (record.id, start, end), record.source_uri)
            if is_passage
            else self._links.document(name, record.id, record.source_uri)
        )
        metadata = {**record.metadata, "collection": name, "characters": len(text)}
        if is_passage:
            metadata["passage"] = text[start : min(end, last)]
        if (first, last) != (0, len(text)):
            metadata |= {"text_start": first, "text_end": last}
        return FetchedDocument(
            id=id, title=_title(record), text=text[first:last], url=url, metadata=metadata
        )

    def list_documents(
        self, collection: str | None = None, after: str | None = None, limit: int = 100
    ) -> DocumentList:
        """Return documents by collection and source; ``after`` is ``next`` of the page before."""
        names = [collection] if collection else sorted(self._readable())
        self._check_readable(names)
        from_name, _, from_source = (after or "").partition(" ")
        found: list[ListedDocument] = []
        for name in names:
            if name < from_name:
                continue
            source = from_source if name == from_name else ""
            with self._service.collection(name) as opened:
                # One more, to see whether there is a next page.
                records = opened.documents(after=source, limit=limit + 1 - len(found))
            found.extend(self._listed(name, record) for record in records)
            if len(found) > limit:
                last = found[limit - 1]
                page = found[:limit]
                return DocumentList(documents=page, next=f"{last.collection} {last.source}")
        return DocumentList(documents=found)

    def ask(
        self,
        question: str,
        collection: str | None,
        stop: StopToken,
        filters: str | None = None,
        *,
        explain: bool = False,
    ) -> GivenAnswer:
        """Answer a question from a collection, by default from that of the best passage.

        Raises:
            FilterError: The filter is malformed, or the collection lacks a field of it.
            StoppedError: The token was set.
        """
        with stopping(stop):
            name = collection or self._best_collection(question, filters)
            self._check_readable([name])
            with (
                self._service.collection(name) as opened,
                self._start(opened, question, filters, explain) as stream,
            ):
                answer = stream.answer
                if self._finds_lines:
                    answer = LineFinder(opened.text).answer(answer)
        if self._record is not None:
            self._record(name, question, answer)
        return self._given(name, answer)

    def _best_collection(self, question: str, filters: str | None) -> str:
        names = self._readable()
        if len(names) == 1:
            return names[0]
        found = self._search(question, filters)
        if found:
            return found[0][0]
        return self._usual if self._usual in names else sorted(names)[0]

    def _search(
        self,
        query: str,
        filters: str | None,
        explanations: dict[str, SearchExplanation] | None = None,
    ) -> list[tuple[str, Hit]]:
        """Return the hits of all collections; keep how they were found, if that is wanted."""
        names = sorted(self._readable())
        if not names:
            raise RequestError("there is no collection that you may read")
        found: list[list[tuple[str, Hit]]] = []
        failures: list[KvasirError] = []
        for name in names:
            try:
                with self._service.collection(name) as collection:
                    if explanations is None:
                        hits = collection.search(query, filters=filters)
                    else:
                        explained = collection.explain(query, filters=filters)
                        hits, explanations[name] = list(explained.hits), explained.explanation
                    if self._finds_lines:
                        hits = LineFinder(collection.text).hits(hits)
                    found.append([(name, hit) for hit in hits])
            except CollectionNotFoundError:
                continue  # It was deleted just now.
            except UnknownFieldError as error:
                failures.append(error)  # Another collection may have the field.
            except (RequestError, StoppedError):
                raise
            except KvasirError as error:
                logger.error("collection '%s' was not searched: %s", name, error)
                failures.append(error)
        if failures and not found:
            raise failures[0]
        # Each collection's order stays; the scores of several compare by the cosine alone.
        merged = heapq.merge(*found, key=lambda each: -(each[1].dense_score or 0.0))
        return list(merged)[: self._top_k]

    def _has_documents(self, name: str) -> bool:
        try:
            with self._service.collection(name) as collection:
                return collection.chunk_count() > 0
        except CollectionNotFoundError:
            return False

    def _check_readable(self, names: list[str]) -> None:
        readable = self._readable()
        for name in names:
            if name not in readable:
                raise CollectionNotFoundError(name, sorted(readable))

    def _result(self, name: str, hit: Hit) -> SearchResult:
        chunk = hit.chunk
        place = chunk.document_id, chunk.start, chunk.end
        title = one_line(str(chunk.metadata.get("title", "")), _LONGEST_TITLE)
        uri = str(chunk.metadata.get("source_uri", ""))
        page = "" if chunk.page is None else f", p. {chunk.page}"
        return SearchResult(
            id=f"{name}/{chunk.document_id}/{chunk.start}-{chunk.end}",
            title=f"{title or 'document'}{page}",
            url=self._links.passage(name, place, uri, chunk.page),
            place=_place(hit.box, chunk.page, chunk.headings, hit.line),
            copies=list(hit.copies),
        )

    def _listed(self, name: str, record: DocumentRecord) -> ListedDocument:
        return ListedDocument(
            id=f"{name}/{record.id}",
            title=_title(record),
            url=self._links.document(name, record.id, record.source_uri),
            collection=name,
            source=record.source_uri,
            language=record.language,
            readable=record.status is VersionStatus.LIVE,
        )

    def _given(self, name: str, answer: Answer) -> GivenAnswer:
        cited = []
        for citation in answer.citations:
            place = citation.document_id, citation.start, citation.end
            passage = f"{name}/{citation.document_id}/{citation.start}-{citation.end}"
            titles = (
                str(hit.chunk.metadata.get("title", ""))
                for hit in answer.hits
                if hit.chunk.document_id == citation.document_id
            )
            cited.append(
                Cited(
                    marker=citation.marker,
                    id=passage,
                    title=one_line(next(titles, ""), _LONGEST_TITLE) or citation.source_uri,
                    url=self._links.passage(name, place, citation.source_uri, citation.page),
                    quote=citation.quote,
                    page=citation.page,
                    place=_place(citation.box, citation.page, citation.headings, citation.line),
                    checked=bool(citation.content_hash),
                )
            )
        return GivenAnswer(
            answer=answer.text,
            refused=answer.refused,
            certainty=answer.certainty.value,
            confidence=answer.confidence,
            doubt=answer.doubt,
            nearest=[self._result(name, hit) for hit in answer.nearest],
            collection=name,
            citations=cited,
            notes=list(map(_advised, answer.notes)),
            explanation=_shown_decision(answer.explanation),
        )


def _advised(note: str) -> str:
    """Return a note about an answer, with what a caller can do."""
    return f"{note}: {_CHANGE_MODEL}" if KNOWS_ENGLISH_ONLY in note else note


def _shown(explanation: SearchExplanation) -> dict[str, Any]:
    """Return how a search was made, without the operator's filters, as JSON."""
    shown: dict[str, Any] = to_json(replace(explanation, operator_filters=None))
    return shown


def _shown_decision(explanation: AnswerExplanation | None) -> dict[str, Any] | None:
    if explanation is None:
        return None
    shown: dict[str, Any] = to_json(explanation)
    return shown | {"searches": [_shown(each) for each in explanation.searches]}


def _window(length: int, start: int, end: int) -> tuple[int, int]:
    """Return the span to show: the whole text, or the most characters around a passage."""
    if length <= MOST_CHARACTERS:
        return 0, length
    before = max(0, MOST_CHARACTERS - (end - start)) // 2
    first = min(max(0, start - before), length - MOST_CHARACTERS)
    return first, first + MOST_CHARACTERS


def _place(
    box: PageBox | None, page: int | None, headings: Sequence[str], line: int | None
) -> Place:
    return Place(page=box.page if box else page, headings=list(headings), line=line, box=box)


def _title(record: DocumentRecord) -> str:
    last = re.split(r"[/\\]", record.source_uri.rstrip("/\\"))[-1]
    return one_line(record.title or last, _LONGEST_TITLE) or "document"


def local_library(
    service: Service, settings: Settings, only: str | None = None, address: str | None = None
) -> Library:
    """Return the library of this machine's user: all collections, or one of them.

    ``address`` is that of the server, if the collections are not in this process. Without it, a
    server may not run: links lead to ``server.public_url``, or to the sources.
    """
    base = address or settings.server.public_url or ""

    def readable() -> list[str]:
        names = [record.name for record in service.collections()]
        return [name for name in names if only in (None, name)]

    return Library(
        service, readable=readable, base_url=base, settings=settings, finds_lines=address is None
    )
