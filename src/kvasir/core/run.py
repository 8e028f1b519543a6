"""One run of long work: stops it and reports its progress.

Functions that may take longer than two seconds have a ``Run`` parameter. The caller sets its stop
token (Ctrl-C, a cancelled job, a lost client). The work checks it between steps and raises
``StoppedError``, or returns a report with ``interrupted``. ``Progress`` is plain data, which a job
or a stream of events can forward.
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
"""Name of threads that run a call which cannot be stopped."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of long work."""

    stage: str  # The stage of the work, a fixed word or two such as ``passages`` or ``comparing``.
    done: int  # Number of finished units.
    total: int  # Number of all units; 0 if unknown.
    unit: str = ""  # The unit: documents, chunks, questions, bytes, ...
    item: str = ""  # The source or file that is processed or finished; may be empty.
    outcome: str = ""  # The result for the item (``added``, ``failed``, ...); empty while unknown.
    reason: str = ""  # After a failure, a short stable word.
    message: str = ""  # After a failure, one line for people.
    remaining: float | None = None  # Seconds until the end of the work, estimated; None if unknown.


class StopToken:
    """Tells work in any thread to stop; once set it stays set.

    Setting it takes locks, so a signal handler must do it in another thread.
    """

    def __init__(self, parent: StopToken | None = None) -> None:
        """Make a token that is not set; setting ``parent`` also sets it."""
        self._event = threading.Event()
        # Reentrant, because a finalizer may run at any allocation in this thread.
        self._lock = threading.RLock()
        self._callbacks: list[Callable[[], None]] = []
        if parent is not None:
            # Weakly: a token for the whole process must not keep those of all finished work.
            own = weakref.WeakMethod(self.set)
            parent._call_when_set(lambda: (method := own()) and method(), owner=self)

    def set(self) -> None:
        """Set the token; a second call does nothing."""
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
        """Wait until the token is set, at most ``timeout`` seconds; return True if it is set."""
        return self._event.wait(timeout)

    def raise_if_set(self) -> None:
        """Raise StoppedError if the token is set."""
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


def _ignore(_: Progress) -> None: ...


@dataclass(frozen=True, slots=True)
class Run:
    """One run of long work; by default it is never stopped and its progress is ignored."""

    stop: StopToken = field(default_factory=StopToken)  # Tells the work to stop.
    # Called after every step, in the thread of the work; must be fast.
    progress: Callable[[Progress], None] = _ignore

    def report(
        self,
        stage: str,
        done: int,
        total: int,
        unit: str = "",
        *,
        remaining: float | None = None,
        **item: str,
    ) -> None:
        """Report progress; arguments as ``Progress``."""
        self.progress(Progress(stage, done, total, unit, **item, remaining=remaining))

    def check(self) -> None:
        """Raise StoppedError if the run should stop."""
        self.stop.raise_if_set()

    def step(self, stage: str, done: int, total: int, unit: str = "") -> None:
        """Report progress between two steps; raise StoppedError if the run should stop."""
        self.report(stage, done, total, unit)
        self.check()

    def download(self, file: str, done: int, total: int) -> None:
        """Report the downloaded bytes of a model, and the current file."""
        self.report("download", done, total, "bytes", item=file)

    def call(self, function: Callable[[], T]) -> T:
        """Return the result of a call that cannot be stopped, such as a call of a model.

        It runs in a new thread, with the context of this one. When the token is set, this method
        raises and the thread goes on; its result is dropped. So it must not write anything.

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
