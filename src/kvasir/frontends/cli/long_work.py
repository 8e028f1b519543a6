"""Long work: its progress, and Ctrl-C, which stops it and is never lost at a question.

There is a bar for each stage of the work, and one line for a model's download.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType

import click
from rich.console import Console

from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.wire import dumps, to_json
from kvasir.frontends.cli.rates import duration, rate
from kvasir.frontends.cli.rendering import wants_json

_STOP = "kvasir.stop"
"""In a context's ``meta``: the running command's stop token."""
_END = b"\0"
LINE_SECONDS = 10.0
"""Seconds between two lines of progress where there is no terminal."""


def stop_token() -> StopToken:
    """Return the running command's stop token."""
    token: StopToken = click.get_current_context().meta.setdefault(_STOP, StopToken())
    return token


@contextmanager
def long_work(*, quiet: bool = False, for_programs: bool = False) -> Iterator[Run]:
    """Give a run that Ctrl-C stops, and that shows its progress unless quiet.

    With ``--json`` nothing is shown, or, ``for_programs``, a line of JSON a second on standard
    error.
    """
    stop = stop_token()
    with _stages(quiet, for_programs) as show, set_by_interrupt(stop):
        yield Run(stop, show)


@contextmanager
def set_by_interrupt(stop: StopToken) -> Iterator[None]:
    """Let the first Ctrl-C set a token; a second one raises KeyboardInterrupt.

    A thread sets the token, because a signal handler must not take locks. The interpreter's C code
    wakes it, also while the main thread is in a library.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    def watch() -> None:
        while (number := receiver.recv(1)) and number != _END:
            if number[0] == signal.SIGINT:
                stop.set()

    with wakeup() as (receiver, sender):
        watcher = threading.Thread(target=watch, name="interrupts", daemon=True)
        watcher.start()
        former = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, former)
            sender.send(_END)
            watcher.join()


@contextmanager
def wakeup() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give a socket that receives every signal's number as a byte, and its other end.

    For the main thread only. What nobody read goes to the socket of the block around this one.
    """
    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.setblocking(False)
        former = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        try:
            yield receiver, sender
        finally:
            signal.set_wakeup_fd(former)
            receiver.setblocking(False)
            with suppress(BlockingIOError):
                unread = receiver.recv(4096)
                if former != -1:
                    os.write(former, unread)


def await_input() -> None:
    """Return when standard input has something to read; Ctrl-C raises KeyboardInterrupt.

    ``input()`` loses a Ctrl-C that arrives just before it begins to wait; waiting for the
    signal's byte as well does not.
    """
    try:
        stdin = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        return  # It is not a file: nothing to wait for.
    if sys.platform == "win32":
        return  # select takes sockets only.
    with wakeup() as (receiver, _):
        select.select([stdin, receiver], [], [])


def is_drawn_on(console: Console) -> bool:
    """Return True if progress is drawn: on a terminal, for a person."""
    return console.is_terminal and not wants_json()


@contextmanager
def _stages(quiet: bool, for_programs: bool) -> Iterator[Callable[[Progress], None]]:
    """Show each stage, with rate and remaining time: a bar on a terminal, else lines."""
    console = Console(stderr=True)
    if quiet or wants_json():
        yield JsonLines() if for_programs and not quiet else lambda _: None
        return
    if not is_drawn_on(console):
        yield ProgressLines()
        return
    from kvasir.frontends.cli.progress_bars import stage_bars

    with stage_bars(console) as show:
        yield show


class ProgressLines:
    """Prints a line every ten seconds where no bar can be drawn, such as in a log."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._printed = clock()
        self._stages: dict[str, tuple[float, Progress]] = {}

    def __call__(self, event: Progress) -> None:
        """Note the progress of a stage; print all stages when it is time."""
        now = self._clock()
        started, _ = self._stages.get(event.stage, (now, event))
        self._stages[event.stage] = started, event
        if now - self._printed >= LINE_SECONDS:
            self._printed = now
            click.echo(self._line(now, event.remaining), err=True)

    def _line(self, now: float, remaining: float | None) -> str:
        stages = (
            f"{name} {event.done} of {event.total} ({rate(event.done, now - started)}/s)"
            for name, (started, event) in self._stages.items()
        )
        left = "" if remaining is None else f", about {duration(remaining)} left"
        return f"{', '.join(stages)}{left}"


class JsonLines:
    """Prints progress as lines of JSON: each stage at its begin and its end, else one a second."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._stage, self._printed = "", clock()

    def __call__(self, event: Progress) -> None:
        """Print a line if it is time."""
        now = self._clock()
        is_due = event.stage != self._stage or now - self._printed >= 1.0
        if is_due or event.done == event.total:
            self._stage, self._printed = event.stage, now
            click.echo(dumps({"progress": to_json(event)}), err=True)


@contextmanager
def download() -> Iterator[Callable[[Progress], None]]:
    """Show downloads, in bytes, if standard error is a terminal, unless for programs."""
    console = Console(stderr=True)
    if not is_drawn_on(console):
        yield lambda _: None
        return
    from kvasir.frontends.cli.progress_bars import DownloadLine

    line = DownloadLine(console)
    try:
        yield line
    finally:
        line.clear()
