"""A time limit and a stop token for a call and all calls that it makes, in context variables.

    with deadline(2.0), stopping(token):
        collection.ask("When is the exam?")

Work of several steps calls ``check`` between them. Clients with a timeout parameter pass
``limited(timeout)``; clients that can break off a call look at ``current_stop``. A call that cannot
be stopped runs in ``run_within_deadline``, which leaves it in its thread when the deadline has
passed. A generator runs in ``iterate_within_deadline``, which also leaves it when the token is set:
the thread closes it as soon as its present step ends. Without a deadline and a token these only
read the variables.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from kvasir.core.daemon_threads import start_daemon
from kvasir.core.errors import DeadlineExceededError, StoppedError
from kvasir.core.run import StopToken

T = TypeVar("T")

_END: ContextVar[float | None] = ContextVar("kvasir_deadline", default=None)
"""The deadline on the clock of ``time.monotonic``; None without one."""

_STOP: ContextVar[StopToken | None] = ContextVar("kvasir_stop", default=None)
"""Ends the call when it is set, such as when a client leaves."""


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Set a deadline for the block, in seconds from now; an earlier outer one stays in force."""
    with until(None if seconds is None else time.monotonic() + seconds):
        yield


@contextmanager
def until(end: float | None) -> Iterator[None]:
    """Set a deadline for the block, as a time that ``current_deadline`` returned."""
    outer = _END.get()
    if end is None or (outer is not None and outer <= end):
        yield
        return
    token = _END.set(end)
    try:
        yield
    finally:
        _END.reset(token)


@contextmanager
def stopping(stop: StopToken) -> Iterator[None]:
    """End the calls of the block when the token is set; they raise ``StoppedError``."""
    token = _STOP.set(stop)
    try:
        yield
    finally:
        _STOP.reset(token)


def current_stop() -> StopToken | None:
    """Return the token that ends the present call, if there is one."""
    return _STOP.get()


def sleep(seconds: float) -> None:
    """Wait, at most until the deadline.

    Raises:
        DeadlineExceededError: No time is left at the start.
        StoppedError: The token was set.
    """
    seconds, stop = limited(seconds), _STOP.get()
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise StoppedError


def current_deadline() -> float | None:
    """Return the deadline on the clock of ``time.monotonic``; None without one."""
    return _END.get()


def remaining() -> float | None:
    """Return the seconds left, at least 0; None without a deadline."""
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
    """Raise an error if the next step, such as "searching", must not begin.

    Raises:
        DeadlineExceededError: No time is left.
        StoppedError: The token was set.
    """
    stop = _STOP.get()
    if stop is not None and stop.is_set():
        raise StoppedError
    if remaining() == 0.0:
        raise DeadlineExceededError(operation)


def run_within_deadline(function: Callable[[], T], operation: str) -> T:
    """Return the result of a blocking function, or stop waiting at the deadline.

    With a deadline the function runs in a daemon thread, in a copy of the caller's context. After
    the deadline the thread goes on until the function returns; its result is dropped.

    Raises:
        DeadlineExceededError: The deadline has passed.
    """
    if _END.get() is None:
        return function()
    check(operation)
    worker = Worker(operation)
    try:
        return worker.call(function)
    finally:
        worker.stop()


def iterate_within_deadline(pieces: Iterator[T], operation: str) -> Generator[T, None, None]:
    """Yield from an iterator whose steps may block, and close it at the end.

    With a deadline or a token all steps run in one daemon thread, one at a time, when they are
    requested.

    Raises:
        DeadlineExceededError: The deadline has passed.
        StoppedError: The token was set.
    """
    if _END.get() is None and _STOP.get() is None:
        try:
            yield from pieces
        finally:
            _close(pieces)
        return
    worker = Worker(operation)
    nothing: Any = object()
    try:
        while (piece := worker.call(lambda: next(pieces, nothing))) is not nothing:
            yield piece
        if (stop := _STOP.get()) is not None and stop.is_set():
            raise StoppedError  # The iterator may have ended because of it.
    finally:
        worker.stop(lambda: _close(pieces))


class Worker:
    """A thread that runs calls, whose callers wait until the deadline at most.

    After a ``DeadlineExceededError`` the thread still runs the call: stop it, and make another.
    """

    def __init__(self, operation: str) -> None:
        """Start the thread; ``operation``, such as "searching", is for its errors."""
        self._operation = operation
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._is_hanging = False
        start_daemon(partial(copy_context().run, self._work))

    def call(self, function: Callable[[], T]) -> T:
        """Return the result of a function.

        Raises:
            DeadlineExceededError: The deadline has passed.
            StoppedError: The token was set.
        """
        future: Future[T] = Future()
        self._calls.put((function, future))
        stop = _STOP.get()
        if stop is None:
            return self._result(future)
        with stop.calling(lambda: self._leave(future)):
            return self._result(future)

    def _result(self, future: Future[T]) -> T:
        try:
            return future.result(remaining())
        except TimeoutError as error:
            if future.done():
                raise  # The function's own.
            self._is_hanging = True
            raise DeadlineExceededError(self._operation) from error

    def _leave(self, future: Future[T]) -> None:
        """Stop waiting for a call, which goes on until its function returns."""
        with suppress(InvalidStateError):
            self._is_hanging = not future.done()
            future.set_exception(StoppedError())

    def stop(self, last: Callable[[], None] | None = None) -> None:
        """End the thread after a last call; wait for it unless an earlier call hangs."""
        future: Future[None] = Future()
        if last is not None:
            self._calls.put((last, future))
        self._calls.put(None)
        if last is not None and not self._is_hanging:
            future.result()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            # Nobody waits any more for the result of a call that was left.
            with suppress(InvalidStateError):
                try:
                    result = function()
                except BaseException as error:  # noqa: BLE001  the caller raises it again
                    future.set_exception(error)
                else:
                    future.set_result(result)


def _close(pieces: Iterator[Any]) -> None:
    if hasattr(pieces, "close"):
        pieces.close()
