"""The stream of events of one answer."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from typing import Self

from kvasir.core.deadline import current_deadline, until
from kvasir.core.errors import ClosedError
from kvasir.core.types import Answer, AnswerEvent, Finished


class AnswerStream(Iterator[AnswerEvent]):
    """Yields the events of an answer; close it, or use it in a ``with``.

    It may be read in one thread and closed in another. The deadline that was in force when it was
    made also limits reading.
    """

    def __init__(self, events: Generator[AnswerEvent, None, None]) -> None:
        """Wrap a generator of events, whose last one is ``Finished``; nothing is read yet."""
        self._events = events
        self._end = current_deadline()
        self._answer: Answer | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def __next__(self) -> AnswerEvent:
        with self._lock, until(self._end):
            if self._is_closed:
                raise StopIteration
            event = next(self._events)
            if isinstance(event, Finished):
                self._answer = event.answer
        if self._is_closed:  # By another thread, which could not interrupt this step.
            self.close()
        return event

    @property
    def answer(self) -> Answer:
        """The whole answer; reads the rest of the stream.

        Raises:
            ClosedError: The stream was closed or failed before its end.
        """
        for _ in self:
            pass
        if self._answer is None:
            raise ClosedError("the answer was broken off: ask again")
        return self._answer

    def close(self) -> None:
        """Stop the generator; a second call does nothing.

        If another thread is waiting for an event, the generator stops after that event.
        """
        self._is_closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._events.close()
            finally:
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
