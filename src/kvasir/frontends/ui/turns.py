"""The questions and answers of one chat: what a page keeps of them between two runs.

Only what is shown is kept. The events themselves wait in the API, where an answer goes on also when
the page is drawn again in the middle of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from kvasir.core.errors import ComponentError, KvasirError, NotFoundError, StoppedError
from kvasir.frontends.ui.connection import Api, part
from kvasir.frontends.ui.elements import file_name
from kvasir.remote.client import Event, is_unreachable

_HISTORY = 20
"""Questions of the chat that are sent along."""
_NEAREST = 3
_PAUSE = 0.15
"""Seconds between two drawings of an answer that comes."""


@dataclass(frozen=True)
class Source:
    """A passage of a document."""

    marker: int
    document_id: str
    title: str
    quote: str
    start: int
    end: int
    page: int | None
    line: int | None
    headings: tuple[str, ...]
    box: str

    @classmethod
    def of_citation(cls, citation: dict[str, Any], titles: Mapping[str, str]) -> Source:
        """Return the source of a citation of the API; ``titles`` are known by document."""
        return cls(
            citation["marker"],
            citation["document_id"],
            titles.get(citation["document_id"], "") or file_name(citation["source_uri"]),
            citation["quote"],
            citation["start"],
            citation["end"],
            citation["page"],
            citation["line"],
            tuple(citation["headings"]),
            _box(citation["box"]),
        )

    @classmethod
    def of_hit(cls, number: int, hit: dict[str, Any]) -> Source:
        """Return the source of a hit of the API."""
        chunk = hit["chunk"]
        return cls(
            number,
            chunk["document_id"],
            _title(chunk),
            chunk["text"],
            chunk["start"],
            chunk["end"],
            chunk["page"],
            hit["line"],
            tuple(chunk["headings"]),
            _box(hit["box"]),
        )


def titles_of(answer: dict[str, Any]) -> dict[str, str]:
    """Return the titles of the documents that were found for an answer, by their ids."""
    chunks = [hit["chunk"] for hit in answer["hits"]]
    return {chunk["document_id"]: _title(chunk) for chunk in chunks}


def nearest_of(answer: dict[str, Any]) -> tuple[Source, ...]:
    """Return the best hits of an answer that look different on their cards, at most three."""
    found, seen = list[Source](), set[object]()
    for hit in answer["hits"]:
        source = Source.of_hit(len(found) + 1, hit)
        place = source.headings, source.page, source.line
        keys: set[object] = {(source.title, source.quote)}
        if any(place):
            keys.add((source.document_id, place))
        if not keys & seen:
            found.append(source)
        seen |= keys
    return tuple(found[:_NEAREST])


def _title(chunk: dict[str, Any]) -> str:
    metadata = chunk["metadata"]
    return str(metadata.get("title", "")) or file_name(str(metadata.get("source_uri", "")))


def _box(box: dict[str, float] | None) -> str:
    if not box:
        return ""
    edges = (box[name] for name in ("left", "top", "right", "bottom"))
    return ",".join(f"{min(1.0, max(0.0, edge)):.4f}" for edge in edges)


@dataclass
class Turn:
    """A question, and as much of its answer as has come.

    Attributes:
        answer_id: The answer's id in the API.
        next_event: The number of the first event that has not come.
        found: True when the search has ended.
        sources: The cited passages, or the nearest ones where the answer is not sure.
        certainty: ``sure``, ``not sure`` or ``no``; empty until the end.
        doubt: Why it is not sure, if that is not the passages alone.
        error: Why there is no more.
        rated: True after the user's feedback.
    """

    answer_id: str
    collection: str
    question: str
    answer: str = ""
    next_event: int = 0
    found: bool = False
    is_over: bool = False
    sources: tuple[Source, ...] = ()
    nearest: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    certainty: str = ""
    doubt: str = ""
    error: KvasirError | None = field(default=None, repr=False)
    rated: bool = False
    _follower: object = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def follow(self, api: Api) -> Iterator[None]:
        """Take the events that come, until the last one.

        It yields a few times a second, also while nothing comes, so that the page can be drawn and
        left. An error ends it. One of the connection leaves the answer going on, to be followed
        again, as does an end before the last event, which a proxy may cause. Streamlit draws a page
        again in another thread before the last drawing has ended: the later one goes on.
        """
        this = object()
        with self._lock:
            if self.is_over:
                return
            self.error, self._follower = None, this
            first = self.next_event
        items: SimpleQueue[Event | KvasirError | None] = SimpleQueue()
        left = threading.Event()
        reader = partial(self._read, api, first, items, left)
        threading.Thread(target=reader, name="answer", daemon=True).start()
        try:
            while True:
                yield
                end = time.monotonic() + _PAUSE
                with suppress(Empty):
                    while True:
                        item = items.get(timeout=max(0.0, end - time.monotonic()))
                        with self._lock:
                            if self._follower is not this or not self._accept(item):
                                return
        finally:
            left.set()

    def _read(
        self,
        api: Api,
        first: int,
        items: SimpleQueue[Event | KvasirError | None],
        left: threading.Event,
    ) -> None:
        """Put the events of the answer into a queue, then an error, or None; end when left."""
        path, query = f"/v1/answers/{self.answer_id}/events", {"first": first}
        try:
            with closing(api.events(path, params=query, is_left=left.is_set)) as events:
                for event in events:
                    items.put(event)
            items.put(None)
        except KvasirError as error:
            items.put(error)

    def _accept(self, item: Event | KvasirError | None) -> bool:
        """Take an event, or why there are no more; return whether others may come."""
        if item is None:
            self.error = _broken_off()
        elif isinstance(item, ComponentError):
            # The connection broke off, or something failed there, which is the last event.
            self.error, self.is_over = item, not is_unreachable(item, at_once=False)
        elif isinstance(item, KvasirError):
            self.error, self.is_over = item, True
        else:
            self._take(*item)
            return not self.is_over
        return False

    def _take(self, name: str, data: dict[str, Any]) -> None:
        self.next_event += 1
        if name == "hits":
            self.found = True
        elif name == "text":
            self.found = True
            self.answer += data["text"]
        elif name == "answer":
            self._finish(data["answer"])

    def _finish(self, answer: dict[str, Any]) -> None:
        self.answer, self.certainty = answer["text"], answer["certainty"]
        self.doubt = answer["doubt"]
        self.notes = tuple(answer["notes"])
        titles = titles_of(answer)
        self.sources = tuple(Source.of_citation(each, titles) for each in answer["citations"])
        if self.certainty != "sure":
            self.nearest = nearest_of(answer)
        self.is_over = True

    @property
    def is_stopped(self) -> bool:
        """True if the user stopped it."""
        return isinstance(self.error, StoppedError)

    @property
    def is_lost(self) -> bool:
        """True if the API does not know it any more."""
        return isinstance(self.error, NotFoundError)


def _broken_off() -> ComponentError:
    cause = "the answer broke off"
    return ComponentError("the server", "following", cause, kind="unreachable")


def ask(
    api: Api, collection: str, question: str, turns: list[Turn], conversation: str, **options: Any
) -> Turn:
    """Ask a question in a chat; return it with its answer's id.

    Args:
        api: Of the caller.
        collection: The collection's name.
        question: The question.
        turns: The chat so far.
        conversation: The chat's label, by which its answers are found again.
        options: ``rag``, ``filters`` and ``top_k`` as of the API; None for its default.
    """
    history = []
    for each in turns[-_HISTORY:]:
        if each.answer:
            history.append({"role": "user", "content": each.question})
            history.append({"role": "assistant", "content": each.answer})
    body = {
        "question": question,
        "history": history,
        "background": True,
        "conversation": conversation,
    } | {name: value for name, value in options.items() if value not in (None, "")}
    found = api.post(f"/v1/collections/{part(collection)}/replies", body)
    return Turn(found["id"], collection, question)


def kept(api: Api, conversation: str) -> list[Turn]:
    """Return the turns of a chat that the API keeps, after the page was loaded again."""
    found = api.get("/v1/answers", conversation=conversation)
    return [Turn(each["id"], each["collection"], each["question"]) for each in found]
