"""A time limit for a call and everything below it, kept in a context variable.

    with deadline(2.0):
        collection.ask("When is the exam?")

Work of several steps calls ``check`` between them, a client with a timeout of its own asks
``limited`` for it, and a call that cannot be stopped goes through ``run_within_deadline``: when
time is up it is left in its thread. Without a deadline each of these only reads the variable.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from queue import SimpleQueue
from typing import Any, TypeVar

from kvasir.core.errors import DeadlineExceededError

T = TypeVar("T")

_END: ContextVar[float | None] = ContextVar("kvasir_deadline", default=None)
"""When time is up, on the clock of ``time.monotonic``; None without a deadline."""


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Limit what is called in the block; an earlier deadline around it stays in force.

    Args:
        seconds: From now; None sets no limit.
    """
    with until(None if seconds is None else time.monotonic() + seconds):
        yield


@contextmanager
def until(end: float | None) -> Iterator[None]:
    """Limit what is called in the block, up to a moment that ``end_of_time`` returned."""
    outer = _END.get()
    if end is None or (outer is not None and outer <= end):
        yield
        return
    token = _END.set(end)
    try:
        yield
    finally:
        _END.reset(token)


def end_of_time() -> float | None:
    """Return when time is up, on the clock of ``time.monotonic``; None without a deadline."""
    return _END.get()


def remaining() -> float | None:
    """Return the seconds left, 0 when there are none; None without a deadline."""
    end = _END.get()
    return None if end is None else max(0.0, end - time.monotonic())


def limited(seconds: float) -> float:
    """Return a timeout in seconds that ends no later than the deadline.

    Raises:
        DeadlineExceededError: No time is left.
    """
    check("waiting")
    left = remaining()
    return seconds if left is None else min(seconds, left)


def check(operation: str) -> None:
    """Raise ``DeadlineExceededError`` when no time is left.

    Args:
        operation: What would be done next, for the message: "searching".
    """
    if remaining() == 0.0:
        raise DeadlineExceededError(operation)


def run_within_deadline(function: Callable[[], T], operation: str) -> T:
    """Return what a blocking function returns, or give up waiting when time is up.

    With a deadline the function runs in a daemon thread, in a copy of the caller's context. It
    is not interrupted: left behind, it ends by itself, and its result is dropped.

    Raises:
        DeadlineExceededError: Time is up.
    """
    if _END.get() is None:
        return function()
    check(operation)
    worker = _Worker(operation)
    try:
        return worker.call(function)
    finally:
        worker.stop()


def iterate_within_deadline(pieces: Iterator[T], operation: str) -> Generator[T, None, None]:
    """Yield from an iterator whose every step may block, and close it in the end.

    With a deadline all steps run in one daemon thread, one at a time, as they are asked for.

    Raises:
        DeadlineExceededError: Time is up.
    """
    if _END.get() is None:
        try:
            yield from pieces
        finally:
            _close(pieces)
        return
    worker = _Worker(operation)
    nothing: Any = object()
    try:
        while (piece := worker.call(lambda: next(pieces, nothing))) is not nothing:
            yield piece
    finally:
        worker.stop(lambda: _close(pieces))


class _Worker:
    """One thread that runs calls while their caller waits no longer than the deadline."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._is_left = False
        context = copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._work,), daemon=True, name=f"kvasir-{operation}"
        )
        self._thread.start()

    def call(self, function: Callable[[], T]) -> T:
        future: Future[T] = Future()
        self._calls.put((function, future))
        try:
            return future.result(remaining())
        except TimeoutError as error:
            if future.done():
                raise  # The function's own.
            self._is_left = True
            raise DeadlineExceededError(self._operation) from error

    def stop(self, last: Callable[[], None] | None = None) -> None:
        """End the thread after one last call, which is waited for unless an earlier one hangs."""
        future: Future[None] = Future()
        if last is not None:
            self._calls.put((last, future))
        self._calls.put(None)
        if last is not None and not self._is_left:
            future.result()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  the caller raises it again
                future.set_exception(error)


def _close(pieces: Iterator[Any]) -> None:
    if hasattr(pieces, "close"):
        pieces.close()
