"""Ctrl-C: stops long work, and is never lost at a question."""

from __future__ import annotations

import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from kvasir.core.run import Run, StopToken
from kvasir.frontends.cli.progress import stages

_STOP = "kvasir.stop"
"""In a context's ``meta``: the running command's stop token."""


def stop_token() -> StopToken:
    """Return the running command's stop token."""
    token: StopToken = click.get_current_context().meta.setdefault(_STOP, StopToken())
    return token


@contextmanager
def long_work(*, quiet: bool = False) -> Iterator[Run]:
    """Give a run that shows its progress, unless quiet, and that Ctrl-C stops."""
    stop = stop_token()
    with stages(quiet=quiet) as show, set_by_interrupt(stop):
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


_END = b"\0"


@contextmanager
def wakeup() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give a socket that receives every signal's number as a byte, and its other end.

    For the main thread only.
    """
    receiver, sender = socket.socketpair()
    with receiver, sender:
        sender.setblocking(False)
        former = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        try:
            yield receiver, sender
        finally:
            signal.set_wakeup_fd(former)


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
