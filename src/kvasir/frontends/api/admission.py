"""Lets answers be generated a few at a time, in the order in which they came.

A small server has the processor or the memory for one language model at work. Others wait for their
turn; those who would wait too long are refused at once, so that they can come back later.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from kvasir.core.deadline import check, current_stop, remaining
from kvasir.core.errors import ComponentError
from kvasir.core.run import StopToken

_FIRST_GUESS = 5.0
_LONGEST_RETRY = 120.0


class Admission:
    """A number of places, and a queue of limited length for them."""

    def __init__(self, places: int, longest_queue: int) -> None:
        """Admit ``places`` at the same time; refuse while ``longest_queue`` wait."""
        self._places = places
        self._longest = longest_queue
        self._lock = threading.Lock()
        # Each that waits has a condition of its own: only the one that may go on is woken.
        self._waiting: deque[threading.Condition] = deque()
        self._running = 0
        self._seconds = _FIRST_GUESS

    def check_room(self) -> None:
        """Refuse an answer if too many wait.

        Raises:
            ComponentError: There are too many; it is busy.
        """
        with self._lock:
            waiting, running = len(self._waiting), self._running
            if waiting < self._longest or running < self._places:
                return
            wait = self._seconds * (waiting + 1) / self._places
        raise ComponentError(
            "generator",
            "answering",
            f"{waiting} answers wait already: ask again later, or put the question in the queue",
            kind="busy",
            retry_after=min(_LONGEST_RETRY, max(1.0, wait)),
        )

    @contextmanager
    def turn(self) -> Iterator[float]:
        """Wait for a place and hold it during the block; yields the seconds that were waited.

        Raises:
            StoppedError: The token of the call was set.
            DeadlineExceededError: The deadline has passed.
        """
        began = time.monotonic()
        self._wait()
        started = time.monotonic()
        try:
            yield started - began
        finally:
            with self._lock:
                self._running -= 1
                # A moving average: the last answers count most.
                self._seconds += 0.2 * (time.monotonic() - started - self._seconds)
                self._wake_first()

    def counts(self) -> Mapping[str, float]:
        """Return how many run and how many wait."""
        with self._lock:
            return {"running": self._running, "waiting": len(self._waiting)}

    def _wait(self) -> None:
        mine = threading.Condition(self._lock)
        stop = current_stop() or StopToken()

        def wake() -> None:
            with mine:
                mine.notify()

        with stop.calling(wake), mine:
            self._waiting.append(mine)
            try:
                while self._running >= self._places or self._waiting[0] is not mine:
                    check("waiting for the generator")
                    mine.wait(remaining())
                check("waiting for the generator")
                self._running += 1
            finally:
                self._waiting.remove(mine)
                self._wake_first()

    def _wake_first(self) -> None:
        """Let the next one look whether there is a place; under the lock."""
        if self._waiting:
            self._waiting[0].notify()
