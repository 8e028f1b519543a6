"""Daemon threads that are used again.

``Thread.start`` waits until the new thread runs, which takes long in a process that computes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

Work = Callable[[], None]

_MOST_IDLE = 32
_idle: list[SimpleQueue[Work]] = []


def start_daemon(work: Work) -> None:
    """Start a function, which must not raise, in a daemon thread."""
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = SimpleQueue()
        threading.Thread(target=_serve, args=(inbox,), name="kvasir-daemon", daemon=True).start()
    inbox.put(work)


def _serve(inbox: SimpleQueue[Work]) -> None:
    while True:
        inbox.get()()
        if len(_idle) >= _MOST_IDLE:
            return
        _idle.append(inbox)


if hasattr(os, "register_at_fork"):
    # The threads are not in the child.
    os.register_at_fork(after_in_child=_idle.clear)
