"""What the workers of every queue share: the loop over its items, and the heartbeat of a lease."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from kvasir.core.errors import ComponentError, KvasirError, RejectedDataError
from kvasir.core.run import StopToken

logger = logging.getLogger(__name__)

_FIRST_DELAY = 2.0
_LONGEST_DELAY = 300.0
_LONGEST_WAIT = 10.0
"""Between two looks at a queue that cannot be reached."""
_LAST_SECONDS = 5.0
"""How long a worker that is stopped tries to write its last result."""


def retry_delay(
    attempts: int, *, first: float = _FIRST_DELAY, longest: float = _LONGEST_DELAY
) -> float:
    """Return the seconds to wait after a number of attempts; each is twice the one before."""
    return float(min(first * 2.0 ** min(max(0, attempts - 1), 60), longest))


class Worker(Protocol):
    """Works in a thread until its token is set."""

    def run(self) -> None:
        """Work until the token is set."""

    def wake(self) -> None:
        """Look for work now."""


class QueueWorker(ABC):
    """Does the items of a queue one after the other, until its token is set.

    A subclass does one item in ``work_once``.
    """

    queue_name = "the queue"

    def __init__(self, stop: StopToken, *, idle_seconds: float = 1.0) -> None:
        """Start nothing yet.

        Args:
            stop: Ends the work.
            idle_seconds: Wait between two looks at an empty queue; ``wake`` ends it.
        """
        self._stop = stop
        self._idle = idle_seconds
        self._wake = threading.Event()
        self._failures = 0

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def run(self) -> None:
        """Work until the token is set; a queue that cannot be reached is tried again."""
        with self._stop.calling(self._wake.set):
            while not self._stop.is_set():
                self._wake.clear()
                seconds = self._try()
                if seconds and not self._stop.is_set():
                    self._wake.wait(seconds)

    @abstractmethod
    def work_once(self) -> bool:
        """Do the next item; False if there is none."""

    def _try(self) -> float:
        """Do the next item; return the seconds until the next look."""
        try:
            worked = self.work_once()
        except KvasirError as error:
            logger.error("%s cannot be worked on: %s", self.queue_name, error)
        except Exception:
            # A worker that ends in silence would leave the queue to itself.
            logger.exception("%s cannot be worked on", self.queue_name)
        else:
            self._failures = 0
            return 0.0 if worked else self._idle
        self._failures += 1
        longest = max(self._idle, _LONGEST_WAIT)
        return retry_delay(self._failures, first=self._idle, longest=longest)


class Heartbeat:
    """Prolongs a lease in a thread, within a ``with``; sets a token when the lease is lost."""

    def __init__(self, beat: Callable[[], bool], stop: StopToken, *, seconds: float) -> None:
        """Start nothing yet.

        Args:
            beat: Prolongs the lease; False if it was lost.
            stop: Set when the lease is lost.
            seconds: Time between two beats; a lease should last for several.
        """
        self._beat = beat
        self._stop = stop
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                held = self._beat()
            except KvasirError as error:
                logger.warning("a heartbeat failed: %s", error)
                continue
            except Exception:
                # A heartbeat that ends in silence would lose the lease.
                logger.exception("a heartbeat failed")
                continue
            if not held:
                self._stop.set()
                return


def persist(write: Callable[[], bool], stop: StopToken, *, seconds: float = 3600.0) -> bool:
    """Write a result, again and again while the database does not answer.

    What took long to make, or was sent already, must not be lost because a database restarts.

    Args:
        write: Writes the result; False if the lease was lost.
        stop: Shortens the time, not below a few seconds.
        seconds: Time after which the error is raised.
    """
    begun, attempts = time.monotonic(), 0
    while True:
        try:
            return write()
        except RejectedDataError:
            raise
        except ComponentError as error:
            longest = min(seconds, _LAST_SECONDS) if stop.is_set() else seconds
            if time.monotonic() - begun >= longest:
                raise
            logger.warning("a result waits to be written: %s", error)
        attempts += 1
        delay = retry_delay(attempts, first=0.1, longest=2.0)
        if stop.wait(delay):
            time.sleep(delay)
