"""Shared resources: made when first needed, closed when unused, refused after a fork."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from kvasir.core.deadline import check, remaining
from kvasir.core.errors import ClosedError, ForkedProcessError
from kvasir.core.run import StopToken

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Lazy(Generic[T]):
    """Makes a value when it is first needed, under its own lock: one does not block another."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._made: tuple[T] | None = None

    def get(self) -> T:
        """Return the value; make it if this is the first call."""
        made = self._made
        if made is None:
            with self._lock:
                made = self._made = self._made or (self._make(),)
        return made[0]

    @property
    def is_made(self) -> bool:
        """True if the value was made and not taken since."""
        return self._made is not None

    def take(self) -> T | None:
        """Return the value if it was made, and forget it: the next ``get`` makes another."""
        with self._lock:
            made, self._made = self._made, None
        return made[0] if made else None


class OwnerProcess:
    """Remembers the process in which it was made."""

    def __init__(self) -> None:
        self._id = os.getpid()

    @property
    def is_this(self) -> bool:
        """True unless this process was forked from the remembered one."""
        return os.getpid() == self._id

    def check(self) -> None:
        """Raise ``ForkedProcessError`` if this process was forked from the remembered one."""
        if not self.is_this:
            raise ForkedProcessError(
                f"the application was opened in process {self._id} and cannot be used in process "
                f"{os.getpid()}, which was forked from it: open one in each process"
            )


class SoleWork:
    """Work of which one runs at a time, and which others may stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop: StopToken | None = None

    @contextmanager
    def begin(self, stop: StopToken) -> Iterator[bool]:
        """Yield True and be the one that runs during the block; False if another one runs."""
        if not self._lock.acquire(blocking=False):
            yield False
            return
        self._stop = stop
        try:
            yield True
        finally:
            self._stop = None
            self._lock.release()

    def stop(self) -> None:
        """Stop what runs now; does not wait for its end."""
        if (stop := self._stop) is not None:
            stop.set()


class Leases:
    """The leases and running calls of a resource that opens when it is first needed.

    Attributes:
        process: The process that made it; no other process may use it.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        """Store the function that closes the resource.

        It is called only while nothing uses the resource: more than once, and even if the resource
        is not open.
        """
        self.process = OwnerProcess()
        self._close = close
        self._changed = threading.Condition()
        self._leases = 0
        self._calls: Counter[int] = Counter()
        """Running calls by thread id; more than one if a callback makes a call."""
        self._is_alone = self._is_closed = False
        self._awaited: list[tuple[set[int], Callable[[], None]]] = []
        """Threads whose calls must end, and what is called then."""

    def take(self) -> None:
        """Count one more lease."""
        self.process.check()
        with self._changed:
            self._leases += 1

    def release(self) -> None:
        """End a lease; in a forked process this does nothing."""
        if self.process.is_this:
            with self._changed:
                self._leases -= 1
                self._close_if_unused()

    def end_if_unused(self) -> bool:
        """Refuse new calls for good if nothing uses the resource; return whether that is so.

        Does not wait: a resource that is being opened or closed counts as used.
        """
        if not self._changed.acquire(blocking=False):
            return False
        try:
            is_unused = not self._leases and not self._calls
            self._is_closed = self._is_closed or is_unused
        finally:
            self._changed.release()
        return is_unused

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Hold a lease during the block."""
        self.take()
        try:
            yield
        finally:
            self.release()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Keep the resource open during the block; a call within a call does not wait.

        Raises:
            ClosedError: ``close`` was called.
        """
        self.process.check()
        with self._changed:
            if threading.get_ident() not in self._calls:
                self._wait(lambda: not self._is_alone)
            self._calls[threading.get_ident()] += 1
        try:
            yield
        finally:
            with self._changed:
                self._end_call()

    def after_calls(self, callback: Callable[[], None], *, own: bool = True) -> None:
        """Call a function once the calls that run now have ended, this thread's own if ``own``.

        It is called in this thread if there are none, else in a thread of its own, which counts as
        a call; then its error is logged.
        """
        with self._changed:
            threads = self._calls.keys() - (set() if own else {threading.get_ident()})
            if threads:
                self._awaited.append((threads, callback))
                return
        callback()

    @contextmanager
    def call_alone(self) -> Iterator[None]:
        """Run the block when no other call runs, block new calls, and close the resource after it.

        Raises:
            ClosedError: ``close`` was called.
        """
        self.process.check()
        with self._changed:
            if threading.get_ident() in self._calls:
                raise RuntimeError("a call cannot wait for the end of the one that it is part of")
            self._wait(lambda: not self._is_alone)
            self._is_alone = True
            try:
                self._wait(lambda: not self._calls)
            except BaseException:
                self._is_alone = False
                self._changed.notify_all()
                raise
            self._calls[threading.get_ident()] += 1
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                try:
                    self._close()
                finally:
                    self._end_call()

    def close(self) -> None:
        """Refuse new calls, wait for those of other threads, and close the resource."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._calls.keys() - {threading.get_ident()})
            self._close()

    def _wait(self, until: Callable[[], bool]) -> None:
        if not self._changed.wait_for(lambda: self._is_closed or until(), remaining()):
            check("waiting for other calls")
        if self._is_closed:
            raise ClosedError("the application is closed")

    def _end_call(self) -> None:
        """End a call of this thread, and start what waits for it."""
        thread = threading.get_ident()
        self._calls[thread] -= 1
        if not self._calls[thread]:
            del self._calls[thread]
            for threads, callback in self._awaited:
                threads.discard(thread)
                if not threads:
                    self._start(callback)
            self._awaited = [each for each in self._awaited if each[0]]
        self._changed.notify_all()
        self._close_if_unused()

    def _start(self, callback: Callable[[], None]) -> None:
        def work() -> None:
            try:
                callback()
            except Exception:
                logger.exception("cleaning up after the last call failed")
            finally:
                with self._changed:
                    self._end_call()

        thread = threading.Thread(target=work, name="kvasir-after-calls")
        thread.start()
        # It cannot end before the caller gives the lock back.
        self._calls[thread.ident or 0] += 1

    def _close_if_unused(self) -> None:
        if not self._leases and not self._calls:
            self._close()
