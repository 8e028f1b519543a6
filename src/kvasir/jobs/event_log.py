"""The events of a job: a file of JSON lines, which one process writes and any number follow."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kvasir.core.errors import StorageError
from kvasir.core.services.tuning import JobEvent
from kvasir.core.wire import dumps, loads

_MOST = 500
"""Events that are read at a time."""


class EventLog:
    """Writes the events of a job; safe to use from several threads of one process."""

    def __init__(self, file: Path) -> None:
        """Continue a file, whose last line may be unfinished because its writer was killed."""
        self._file = file
        self._lock = threading.Lock()
        self._count = 0
        if file.exists():
            data = file.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            if whole != data:
                os.truncate(file, len(whole))
            self._count = whole.count(b"\n")

    def add(self, kind: str, data: Mapping[str, Any]) -> None:
        """Append an event.

        Raises:
            StorageError: The file cannot be written.
        """
        with self._lock:
            event = JobEvent(self._count + 1, datetime.now(UTC), kind, dict(data))
            line = dumps(event).encode() + b"\n"
            try:
                handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                try:
                    os.write(handle, line)
                finally:
                    os.close(handle)
            except OSError as error:
                raise StorageError(f"'{self._file}' cannot be written: {error}") from error
            self._count += 1


def read_events(file: Path, after: int, *, most: int = _MOST) -> list[JobEvent]:
    """Return the events of a file after a number; none if there is no file yet."""
    try:
        with file.open("rb") as lines:
            found: list[JobEvent] = []
            for number, line in enumerate(lines, 1):
                if number <= after:
                    continue
                if not line.endswith(b"\n") or len(found) >= most:
                    break
                found.append(loads(JobEvent, line))
            return found
    except FileNotFoundError:
        return []


def size_of(file: Path) -> int:
    """Return the length of a file in bytes; 0 if there is none yet."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
