"""Answers that go on in the server when their client leaves, and that it attaches to again.

Their events are kept in this process, from the first one on, for an hour after the last. A client
that lost its connection reads on at the event that it did not get.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from kvasir.core.daemon_threads import start_daemon
from kvasir.core.errors import KvasirError, NotFoundError
from kvasir.core.services.accounts import Caller
from kvasir.frontends.api.streaming import Ending, Put

KEPT_SECONDS = 3600.0
"""How long an answer is kept after its end."""
_MOST_OF_A_USER = 100
"""Answers kept for one user; the oldest that has ended is forgotten."""
_CHECK_SECONDS = 0.5
"""Between two looks whether a reader must leave."""


@dataclass
class RunningAnswer:
    """The events of one answer, which any number of readers follow.

    Attributes:
        conversation: The client's label of the chat that it belongs to.
        ending: Set it to stop the generation.
    """

    id: str
    user_id: int
    collection: str
    conversation: str
    question: str
    asked: datetime = field(default_factory=lambda: datetime.now(UTC))
    ending: Ending = field(default_factory=Ending)
    _events: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: float | None = None

    @property
    def is_running(self) -> bool:
        """True until the last event."""
        return self._ended is None

    @property
    def event_count(self) -> int:
        """The number of events so far."""
        return len(self._events)

    def is_forgotten(self, now: float) -> bool:
        """Return True if it ended too long ago."""
        return self._ended is not None and now - self._ended > KEPT_SECONDS

    def add(self, event: str) -> None:
        """Add an event, which readers get."""
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def end(self) -> None:
        """Let the readers go after the last event."""
        with self._changed:
            self._ended = time.monotonic()
            self._changed.notify_all()

    def follow(self, first: int, leaving: Ending) -> Iterator[str]:
        """Yield the events from a number on, as they come, until the last one.

        Raises:
            KvasirError: The reader's credential does not hold any more.
        """
        position = first
        while True:
            with self._changed:
                while position >= len(self._events) and self.is_running and not leaving.is_set():
                    self._changed.wait(_CHECK_SECONDS)
                new, is_over = self._events[position:], not self.is_running
            if leaving.is_set():
                if leaving.why is not None:
                    raise leaving.why
                return
            yield from new
            position += len(new)
            if is_over:
                return


class RunningAnswers:
    """The answers of this process that their clients may attach to, by id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, RunningAnswer] = {}

    def start(
        self,
        answer: RunningAnswer,
        produce: Callable[[Put, Ending], None],
        describe: Callable[[Exception, int], str],
    ) -> None:
        """Produce the events of an answer in a thread of its own.

        Args:
            answer: Gets the events.
            produce: Puts them, and ends soon after the token is set.
            describe: Returns the last event of an answer that was stopped or failed, by its number.
        """

        def work() -> None:
            try:
                produce(answer.add, answer.ending)
            except KvasirError as error:
                answer.add(describe(error, answer.event_count))
            finally:
                answer.end()

        with self._lock:
            self._forget(answer.user_id)
            self._answers[answer.id] = answer
        start_daemon(partial(copy_context().run, work))

    def find(self, caller: Caller, answer_id: str) -> RunningAnswer:
        """Return an answer of a caller.

        Raises:
            NotFoundError: There is none, or it is another user's.
        """
        with self._lock:
            self._forget_old()
            found = self._answers.get(answer_id)
        if found is None or found.user_id != caller.user_id:
            raise NotFoundError("there is no such answer, or it is not kept any more")
        return found

    def of_conversation(self, caller: Caller, conversation: str) -> list[RunningAnswer]:
        """Return the answers of one of the caller's chats, the oldest first."""
        with self._lock:
            self._forget_old()
            every = list(self._answers.values())
        return [
            each
            for each in every
            if each.user_id == caller.user_id and each.conversation == conversation
        ]

    def stop(self) -> None:
        """Stop all: the server ends."""
        with self._lock:
            every = list(self._answers.values())
        for each in every:
            each.ending.set()

    def _forget_old(self) -> None:
        """Forget what ended too long ago; under the lock."""
        now = time.monotonic()
        for each in [each for each in self._answers.values() if each.is_forgotten(now)]:
            del self._answers[each.id]

    def _forget(self, user_id: int) -> None:
        """Forget what ended too long ago, and a user's oldest answers; under the lock."""
        self._forget_old()
        own = [each for each in self._answers.values() if each.user_id == user_id]
        ended = [each for each in own if not each.is_running]
        for each in ended[: max(0, len(own) - _MOST_OF_A_USER + 1)]:
            del self._answers[each.id]
