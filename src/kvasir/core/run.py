"""One run of long work: how it is stopped, and how it reports its progress.

Whatever may take longer than two seconds takes a ``Run``. Its stop token is set by whoever
started the work (Ctrl-C, a cancelled job, a client that left); the work checks it between steps
and raises ``StoppedError``, or returns a report that says so. All progress has one shape,
``Progress``, which is plain data, so that a job or a stream of events can send it on.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TypeVar

from kvasir.core.errors import StoppedError

T = TypeVar("T")

LEFT_BEHIND = "left behind"
"""Name of the threads that run a call which cannot be stopped."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far long work is.

    Attributes:
        stage: What is being done: a fixed word or two, such as ``passages`` or ``comparing``.
        done: How much of it is done.
        total: Of how much; 0 where that is not known (yet).
        unit: What is counted: documents, chunks, questions, bytes, ...
        item: What was finished or is being worked on: a source, a file; empty where the stage
            says it all.
        outcome: What became of the item (``added``, ``failed``, ...); empty while it is unknown.
        reason: Where it failed: a short stable word.
        message: Where it failed: one line for people.
    """

    stage: str
    done: int
    total: int
    unit: str = ""
    item: str = ""
    outcome: str = ""
    reason: str = ""
    message: str = ""


class StopToken:
    """Tells work in any thread to stop; once set it stays set.

    Setting it takes locks, so a signal handler must leave that to another thread.
    """

    def __init__(self, parent: StopToken | None = None) -> None:
        """Make a token that is not set.

        Args:
            parent: A token that sets this one, too, when it is set.
        """
        self._event = threading.Event()
        # Reentrant, because a finalizer may run at any allocation in this thread.
        self._lock = threading.RLock()
        self._callbacks: list[Callable[[], None]] = []
        self._parent = parent
        if parent is not None:
            # Weakly: a token for the whole process must not keep those of all finished work.
            own = weakref.WeakMethod(self.set)
            parent._call_when_set(lambda: (method := own()) and method(), owner=self)

    def set(self) -> None:
        """Set the token; a second time it does nothing."""
        with self._lock:
            if self._event.is_set():
                return
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def is_set(self) -> bool:
        """Return True if the work should stop."""
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the token is set, at most so many seconds; True if it is set."""
        return self._event.wait(timeout)

    def raise_if_set(self) -> None:
        """Check the token.

        Raises:
            StoppedError: It is set.
        """
        if self._event.is_set():
            raise StoppedError

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call a function once if the token is set before the end of the block.

        The function is called in the thread that sets the token, or in this one if the token is
        set already. It must be short.
        """
        self._call_when_set(callback)
        try:
            yield
        finally:
            self._forget(callback)

    def _call_when_set(self, callback: Callable[[], None], owner: StopToken | None = None) -> None:
        with self._lock:
            if not self._event.is_set():
                self._callbacks.append(callback)
                if owner is not None:
                    weakref.finalize(owner, self._forget, callback).atexit = False
                return
        callback()

    def _forget(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)


def _ignore(_: Progress) -> None:
    """Progress that nobody follows."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of long work; without arguments it is never stopped and reports to nobody.

    Attributes:
        stop: Tells the work to stop.
        progress: Called with every step, in the thread that does the work; must be quick.
    """

    stop: StopToken = field(default_factory=StopToken)
    progress: Callable[[Progress], None] = _ignore

    def report(self, stage: str, done: int, total: int, unit: str = "", **item: str) -> None:
        """Report progress; arguments as ``Progress``."""
        self.progress(Progress(stage, done, total, unit, **item))

    def check(self) -> None:
        """Raise StoppedError if the run should stop."""
        self.stop.raise_if_set()

    def step(self, stage: str, done: int, total: int, unit: str = "") -> None:
        """Report progress between two steps of the work.

        Raises:
            StoppedError: The run should stop.
        """
        self.report(stage, done, total, unit)
        self.check()

    def download(self, file: str, done: int, total: int) -> None:
        """Report how many bytes of a model are here, and which file is fetched."""
        self.report("download", done, total, "bytes", item=file)

    def call(self, function: Callable[[], T]) -> T:
        """Return the result of a call that cannot be stopped itself, such as one to a model.

        It runs in a thread of its own, with this thread's context. When the token is set the
        thread is left behind, and what it returns is thrown away: it must not write anything.

        Raises:
            StoppedError: The run should stop.
        """
        self.check()
        done = threading.Event()
        results: list[T] = []
        errors: list[BaseException] = []
        context = copy_context()

        def work() -> None:
            try:
                results.append(context.run(function))
            except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
                errors.append(error)
            finally:
                done.set()

        threading.Thread(target=work, name=LEFT_BEHIND, daemon=True).start()
        with self.stop.calling(done.set):
            done.wait()
        self.check()
        if errors:
            raise errors[0]
        return results[0]
