"""A collection that another process owns: the methods of ``Collection``, over HTTP."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

from kvasir.answering.answers import check_question
from kvasir.core.answer_stream import AnswerStream
from kvasir.core.document_metadata import check_metadata
from kvasir.core.errors import ClosedError, DocumentNotFoundError, RequestError
from kvasir.core.filters import Comparison, Filter, parse_filter, replaced, values_of
from kvasir.core.ledger import CollectionRecord, DocumentRecord
from kvasir.core.reports import (
    IngestReport,
    WebIngestReport,
)
from kvasir.core.run import Run
from kvasir.core.text import replace_surrogates, spellings
from kvasir.core.types import (
    Answer,
    AnswerEvent,
    ExplainedSearch,
    Finished,
    Hit,
    Message,
    Metadata,
    Retrieved,
    Stage,
    Text,
    document_id,
)
from kvasir.core.wire import from_json, to_json
from kvasir.remote.client import ServerClient
from kvasir.remote.jobs import search_web
from kvasir.remote.maintenance import RemoteMaintenance

if TYPE_CHECKING:
    from kvasir.ingesting.preparing import OnConflict
    from kvasir.ingesting.sources import Input
    from kvasir.remote.uploading import Uploads

T = TypeVar("T")
FilterLike = str | Mapping[str, Any] | Filter | None

_PAGE = 1000
_EVENTS = {"stage": Stage, "hits": Retrieved, "text": Text, "answer": Finished}


class RemoteCollection(RemoteMaintenance):
    """A collection at a server; close it, or use it in a ``with``.

    Safe to use from several threads. Its methods are those of ``Collection``, which describes
    them. Further errors: ``ComponentError`` of the kind ``unreachable`` where the server does not
    answer, and ``NotAuthenticatedError`` and ``ForbiddenError`` where it refuses the caller.

    Attributes:
        name: The collection's name.
    """

    def __init__(
        self,
        client: ServerClient,
        name: str,
        uploads: Uploads,
        *,
        search: Mapping[str, Any] | None = None,
        on_conflict: OnConflict | None = None,
        logs: bool = True,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        """Connect to nothing yet; a collection that does not exist is made by its first ingest.

        Args:
            client: The server's client, which the caller closes.
            name: The collection's name.
            uploads: Sends files.
            search: ``top_k``, ``min_score_threshold`` and ``filters`` where a call gives none.
            on_conflict: As of ``ingest``, where a call gives none.
            logs: Whether the server adds answers to its log.
            on_close: Called once, by ``close``.
        """
        self.name = name
        self._client = client
        self._uploads = uploads
        self._search = search or {}
        self._on_conflict = on_conflict
        self._logged = {} if logs else {"log": False}
        self._on_close = on_close
        self._path = f"/v1/collections/{quote(replace_surrogates(name), safe='')}"
        self._lock = threading.Lock()
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the use of the collection; a second call does nothing."""
        with self._lock:
            was_open, self._is_open = self._is_open, False
        if was_open:
            self._on_close()

    def source_uri(self, path: str) -> str:
        """Return the source URI of a file of this machine."""
        return self._uploads.label(path)

    def search(
        self,
        query: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: FilterLike = None,
    ) -> list[Hit]:
        """Find the passages that belong to a query, best first."""
        asked = self._search_body(query, top_k, min_score_threshold, filters)
        found = self._open().post(f"{self._path}/search", "searching", asked)
        return from_json(list[Hit], found)

    def explain(
        self,
        query: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: FilterLike = None,
    ) -> ExplainedSearch:
        """Return the hits of ``search``, and how they were found."""
        asked = self._search_body(query, top_k, min_score_threshold, filters) | {"explain": True}
        found = self._open().post(f"{self._path}/search", "searching", asked)
        return from_json(ExplainedSearch, found)

    def ask(
        self,
        question: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: FilterLike = None,
        explain: bool = False,
        fresh: bool = False,
    ) -> Answer:
        """Answer a question from the documents."""
        # As a stream: however long the generator takes, the server sends something meanwhile.
        with self.stream(
            question,
            top_k=top_k,
            min_score_threshold=min_score_threshold,
            filters=filters,
            explain=explain,
            fresh=fresh,
        ) as stream:
            return stream.answer

    def stream(
        self,
        question: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: FilterLike = None,
        explain: bool = False,
        fresh: bool = False,
    ) -> AnswerStream:
        """Answer as ``ask`` does, in events; close the stream, or use it in a ``with``."""
        check_question(question)
        asked = self._request("question", question, top_k, min_score_threshold, filters)
        asked |= {"stream": True} | self._logged | _explained(explain)
        headers = {"Cache-Control": "no-cache"} if fresh else {}
        return AnswerStream(self._events("answers", asked, headers=headers))

    def reply(
        self,
        message: str,
        history: Sequence[Message] = (),
        *,
        system: str = "",
        explain: bool = False,
    ) -> AnswerStream:
        """Reply to a message of a chat from the documents.

        Args:
            message: The message, as typed.
            history: Earlier messages, oldest first.
            system: The system message; may be empty.
            explain: As of ``ask``.
        """
        asked = self._request("question", message, None, None, None)
        asked |= {"history": to_json(list(history)), "system": replace_surrogates(system)}
        return AnswerStream(self._events("replies", asked | _explained(explain)))

    def _search_body(
        self, query: str, top_k: int | None, threshold: float | None, filters: FilterLike
    ) -> dict[str, Any]:
        if not query.strip():
            raise RequestError("the query is empty: type one")
        return self._request("query", query, top_k, threshold, filters)

    def _request(
        self, name: str, text: str, top_k: int | None, threshold: float | None, filters: FilterLike
    ) -> dict[str, Any]:
        given = {"top_k": top_k, "min_score_threshold": threshold, "filters": filters}
        chosen = dict(self._search) | {k: each for k, each in given.items() if each is not None}
        filters = parse_filter(chosen.get("filters"))
        chosen["filters"] = to_json(filters and replaced(filters, self._labelled))
        content = {key: value for key, value in chosen.items() if value is not None}
        return {name: replace_surrogates(text)} | content

    def _labelled(self, comparison: Comparison) -> Filter:
        """Return a comparison of sources that also finds files of this machine by their label."""
        operator = {"==": "in", "!=": "not in"}.get(comparison.operator, comparison.operator)
        if comparison.field != "source" or operator not in ("in", "not in"):
            return comparison
        values = values_of(comparison)
        labels = (self.source_uri(value) for value in values if isinstance(value, str))
        return Comparison("source", operator, tuple(dict.fromkeys((*values, *labels))))

    def _events(
        self, route: str, asked: Mapping[str, Any], **more: Any
    ) -> Generator[AnswerEvent, None, None]:
        path = f"{self._path}/{route}"
        with closing(self._open().events(path, "answering", asked, **more)) as events:
            for event, data in events:
                if (kind := _EVENTS.get(event)) is not None:
                    yield from_json(kind, data)

    def record(self) -> CollectionRecord:
        """Return the collection's record in the catalog."""
        found = self._open().get(self._path, "reading the collection")
        return from_json(CollectionRecord, found)

    def chunk_count(self) -> int:
        """Return how many chunks the collection's documents have."""
        return int(self._open().get(f"{self._path}/count", "counting")["chunks"])

    def documents(
        self, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[DocumentRecord]:
        """Return documents, ordered by source URI, which begins with ``prefix``."""
        found: list[DocumentRecord] = []
        prefix = replace_surrogates(prefix)
        while limit is None or len(found) < limit:
            most = _PAGE if limit is None else min(_PAGE, limit - len(found))
            page = self._open().get(
                f"{self._path}/documents", "listing", prefix=prefix, after=after, limit=most
            )
            found += from_json(list[DocumentRecord], page)
            if len(page) < most:
                break
            after = found[-1].source_uri
        return found

    def document(self, source: str) -> DocumentRecord:
        """Return a document by its id or source URI."""
        return self._of_document(source, lambda path, _: self._record(path))

    def match(self, *typed: str) -> list[DocumentRecord]:
        """Return the documents that something typed means, ordered by source URI."""
        spellings = list(map(replace_surrogates, typed))
        found = self._open().get(f"{self._path}/documents", "looking up", match=spellings)
        return from_json(list[DocumentRecord], found)

    def text(self, source: str) -> str:
        """Return the extracted text of a document, into which all offsets point."""

        def read(path: str, _: str) -> str:
            return self._open().send("GET", f"{path}/text", "reading a document").text

        return self._of_document(source, read)

    def set_metadata(self, source: str, metadata: Metadata) -> None:
        """Replace the metadata given for a document; nothing is embedded again."""
        content = {"metadata": check_metadata(metadata)}

        def write(path: str, _: str) -> None:
            self._open().send("PUT", f"{path}/metadata", "relabelling", json=content)

        self._of_document(source, write)

    def delete(self, *sources: str) -> int:
        """Delete documents, by id or source URI; return how many."""
        ids = [self.document(source).id for source in sources]
        content = {"documents": list(dict.fromkeys(ids))}
        done = self._open().post(f"{self._path}/documents/delete", "deleting", content)
        return int(done["deleted"])

    def ingest(
        self,
        *sources: Input,
        on_conflict: OnConflict | None = None,
        prune: bool = False,
        metadata: Metadata | None = None,
        metadata_of_new: Metadata | None = None,
        gone: Sequence[str] = (),
        re_split: bool = False,
        run: Run | None = None,
        build_graph: bool = True,
    ) -> IngestReport:
        """Send files, addresses and uploads to the collection; it is made if it is new.

        Files are uploaded; the server fetches addresses. What was sent is indexed by jobs, which
        go on if this process ends. The rest as of ``Collection.ingest``.
        """
        self._open()
        return self._uploads.ingest(
            self,
            sources,
            {
                "on_conflict": on_conflict or self._on_conflict,
                "build_graph": build_graph,
                "re_split": re_split,
                "metadata_of_new": metadata_of_new,
                "gone": gone,
            },
            prune=prune,
            metadata=metadata,
            run=run or Run(),
        )

    def split_check(self) -> Callable[[DocumentRecord], bool]:
        """Return what takes every document for split as now: the server alone knows how it does."""
        return lambda record: True

    def ingest_web(
        self,
        query: str,
        *,
        max_results: int | None = None,
        on_conflict: OnConflict | None = None,
        metadata: Metadata | None = None,
        run: Run | None = None,
        build_graph: bool = True,
    ) -> WebIngestReport:
        """Let the server search the web, and read the pages that it finds into the collection."""
        if not query.strip():
            raise RequestError("the query is empty: type one")
        content = {
            "query": replace_surrogates(query),
            "max_results": max_results,
            "on_conflict": on_conflict or self._on_conflict,
            "metadata": None if metadata is None else check_metadata(metadata),
            "build_graph": build_graph,
        }
        return search_web(self._open(), self.name, content, self._uploads.pending, run or Run())

    def drop(self) -> None:
        """Delete the collection with everything in it."""
        self._open().send("DELETE", self._path, "deleting the collection")

    def _record(self, path: str) -> DocumentRecord:
        return from_json(DocumentRecord, self._open().get(path, "reading a document"))

    def _of_document(self, source: str, act: Callable[[str, str], T]) -> T:
        """Act on the path of a document, by its id or source URI."""
        clean = replace_surrogates(source)
        # A source URI has slashes, which a path of HTTP cannot hold; its id is known from it.
        for each in (
            *((clean,) if _is_id(clean) else ()),
            *map(document_id, spellings(clean)),
        ):
            try:
                return act(f"{self._path}/documents/{each}", each)
            except DocumentNotFoundError as error:
                missing = DocumentNotFoundError(clean, error.collection)
        raise missing

    def _open(self) -> ServerClient:
        if not self._is_open:
            raise ClosedError(f"this lease of collection '{self.name}' is closed")
        return self._client


def _explained(explain: bool) -> dict[str, Any]:
    """Return what a request says; servers of before know no such field."""
    return {"explain": True} if explain else {}


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
