"""Why a child process ended: its exit status, and the last thing that it wrote."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import IO

from kvasir.core.operating_system import was_killed
from kvasir.core.text import one_line

_KEPT_BYTES = 8192
_MOST_SHOWN = 200
_END_SECONDS = 1.0
"""Time that the end of the output gets to arrive; a program that the child started may go on."""
_FATAL = re.compile(r"^Fatal Python error: (?P<what>.*)$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(?P<file>[^"\n]+)", line \d+ in (?P<name>\S+)$', re.MULTILINE)
_OUT_OF_MEMORY = ("std::bad_alloc", "memoryerror", "out of memory")


class StandardError:
    """Reads what a process writes to its standard error in a thread; keeps the end of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = b""
        self._thread = threading.Thread(target=self._read, name="standard-error", daemon=True)
        self._thread.start()

    def clear(self) -> None:
        """Forget what was written so far."""
        self._kept = b""

    def text(self) -> str:
        """Return the last lines; the process has ended."""
        self._thread.join(_END_SECONDS)
        return self._kept.decode("utf-8", "replace")

    def _read(self) -> None:
        with self._stream:
            while part := os.read(self._stream.fileno(), _KEPT_BYTES):
                self._kept = (self._kept + part)[-_KEPT_BYTES:]


def is_out_of_memory(written: str) -> bool:
    """Return True if the last lines of a process say that it got no memory."""
    lower = written.lower()
    return any(words in lower for words in _OUT_OF_MEMORY)


def describe_end(status: int | None, written: str) -> str:
    """Return why a process ended, in a few words.

    Args:
        status: As of ``subprocess``: negative is a signal; None if it went on and was killed.
        written: The last lines that it wrote; Python's own account of a crash is understood.
    """
    if status is None:
        ended = "it ended its answers"
    elif was_killed(status):
        ended = "the system killed it, most likely because the machine has no memory left"
    elif status < 0:
        ended = _signal_name(-status)
    else:
        ended = f"exit {status}"
    said = _last_words(written)
    return f"{ended}: {said}" if said else ended


def _last_words(written: str) -> str:
    if (fatal := _FATAL.search(written)) is not None:
        frame = _FRAME.search(written, fatal.end())
        where = f" in {Path(frame['file']).stem}.{frame['name']}" if frame else ""
        return one_line(f"{fatal['what']}{where}", _MOST_SHOWN)
    lines = [line for line in written.splitlines() if line.strip()]
    return one_line(lines[-1], _MOST_SHOWN) if lines else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # A real-time signal.
        return f"signal {number}"
