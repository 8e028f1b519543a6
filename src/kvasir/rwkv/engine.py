"""A thread that writes texts for all others: their requests share the steps of one batch."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

from kvasir.core.daemon_threads import start_daemon
from kvasir.core.deadline import current_stop
from kvasir.core.errors import ClosedError, ComponentError, StoppedError
from kvasir.core.pieces import CutReason, Incomplete
from kvasir.rwkv.adapters import Adapter, applied
from kvasir.rwkv.bases import Base
from kvasir.rwkv.batching import ROWS, Batch, Request, Written

_IDLE_SECONDS = 30.0
"""Seconds without a request after which the thread ends, so that nothing keeps the model."""

_Reply = Written | BaseException


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A text, the mean logarithm of its tokens' probabilities, and if ``max_tokens`` cut it."""

    text: str
    score: float
    is_cut: bool = False


def _replies(queue: SimpleQueue[_Reply]) -> Iterator[Written]:
    """Yield what is written of a text until it is finished; raise what is put in its place."""
    while True:
        reply = queue.get()
        if isinstance(reply, BaseException):
            raise reply
        yield reply
        if reply.is_finished:
            return


class Engine:
    """Writes texts with one base and one adapter. Safe to use from several threads."""

    def __init__(self, base: Base, adapter: Adapter | None = None, *, rows: int = ROWS) -> None:
        """Start no thread yet; at most ``rows`` texts are written at once, others wait."""
        self._batch = Batch(base.model, base.tokenizer, rows=rows)
        self._adapter = adapter
        self._changed = threading.Condition()
        self._joining: list[tuple[Request, SimpleQueue[_Reply]]] = []
        self._leaving: list[SimpleQueue[_Reply]] = []
        self._replies: dict[int, SimpleQueue[_Reply]] = {}
        self._is_running = self._is_closed = self._is_retired = False

    def write(self, request: Request) -> Generator[str, None, None]:
        """Yield the text of a request as it is written; closing it takes the request out.

        The last piece is an ``Incomplete`` if the text reached ``max_tokens``.

        Raises:
            ValueError: The request has no tokens.
            ComponentError: Computing failed.
            ClosedError: The engine was closed.
            StoppedError: The token of the present call was set.
        """
        with self._joined([request]) as (replies,):
            for reply in _replies(replies):
                if reply.text:
                    yield reply.text
                if reply.is_cut:
                    yield Incomplete(CutReason.LENGTH)

    def write_together(self, requests: Sequence[Request]) -> list[ScoredText]:
        """Return the texts of requests, which are written at the same time; errors as ``write``."""
        found = []
        with self._joined(requests) as queues:
            for queue in queues:
                pieces = list(_replies(queue))
                text, last = "".join(piece.text for piece in pieces), pieces[-1]
                found.append(ScoredText(text, last.score, last.is_cut))
        return found

    @contextmanager
    def _joined(self, requests: Sequence[Request]) -> Iterator[list[SimpleQueue[_Reply]]]:
        """Have requests join the batch; take out at the end what is not finished."""
        if not all(request.tokens for request in requests):
            raise ValueError("a request needs at least one token")
        queues: list[SimpleQueue[_Reply]] = [SimpleQueue() for _ in requests]
        with self._changed:
            if self._is_closed:
                raise ClosedError("the language model was unloaded")
            if not self._is_running:  # Set after the thread has started, which may fail.
                start_daemon(self._work)
                self._is_running = True
            self._joining += zip(requests, queues, strict=True)
            self._changed.notify_all()

        def break_off() -> None:
            for queue in queues:
                queue.put(StoppedError())

        stop = current_stop()
        try:
            if stop is None:
                yield queues
            else:
                with stop.calling(break_off):
                    yield queues
        finally:
            with self._changed:
                self._leaving += queues
                self._changed.notify_all()

    def close(self) -> None:
        """End the thread; texts that are being written break off."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_running)

    def retire(self) -> None:
        """End the thread as soon as no text is being written; texts go on, and new ones may come.

        So a model that was replaced does not stay in memory.
        """
        with self._changed:
            self._is_retired = True
            self._changed.notify_all()

    def _work(self) -> None:
        with applied(self._adapter):
            while self._take_changes():
                self._step()

    def _take_changes(self) -> bool:
        """Let requests join and leave, and wait for some if there is nothing to do.

        Returns False, and starts no step any more, if the engine was closed or was long idle.
        """
        with self._changed:
            while True:
                joining, self._joining = self._joining, []
                leaving, self._leaving = self._leaving, []
                for request, replies in joining:
                    if replies not in leaving:
                        self._replies[self._batch.join(request)] = replies
                for number in [n for n, replies in self._replies.items() if replies in leaving]:
                    self._batch.leave(number)
                    del self._replies[number]
                if self._is_closed:
                    for replies in self._replies.values():
                        replies.put(ClosedError("the language model was unloaded"))
                elif not self._batch.is_empty:
                    return True
                elif not self._is_retired and self._changed.wait_for(
                    self._has_changes, _IDLE_SECONDS
                ):
                    continue
                self._is_running = False
                self._changed.notify_all()
                return False

    def _has_changes(self) -> bool:
        return bool(self._joining or self._leaving or self._is_closed or self._is_retired)

    def _step(self) -> None:
        try:
            for written in self._batch.step():
                self._replies[written.request].put(written)
                if written.is_finished:
                    del self._replies[written.request]
        except Exception as error:  # noqa: BLE001  every waiting request gets it
            failed = ComponentError("rwkv", "generating", error)
            self._batch.clear()
            for replies in self._replies.values():
                replies.put(failed)
            self._replies.clear()
