"""Remembers what the database said about callers and their rights until it changes.

A search would otherwise spend a tenth of the interpreter's time on asking who calls. Any commit
empties the memory: what this process revokes or disables ends at once, what another one does within
a tenth of a second. The end of a credential's validity is kept with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from kvasir.database.changes import ChangeCounter, Version

T = TypeVar("T")

SECONDS = 30.0
"""Longest time that anything is remembered."""
_MOST = 4096
"""Entries; a full memory is emptied."""


class UntilChanged:
    """Values by key, valid until the database changes or their time ends. Safe under threads."""

    def __init__(self, changes: ChangeCounter) -> None:
        """Remember nothing yet."""
        self._changes = changes
        self._lock = threading.Lock()
        self._version: Version | None = None
        self._values: dict[Hashable, tuple[float, Any]] = {}

    def find(self, key: Hashable) -> Any | None:
        """Return the value of a key if it is known to be valid, without reading anything."""
        return self._find(key, self._changes.recent())

    def get(self, key: Hashable, ask: Callable[[], tuple[T, float]]) -> T:
        """Return the value of a key; ``ask`` gives it and the end of its validity (epoch)."""
        # Read before the database is asked: a change in between only makes the entry useless.
        version = self._changes.version()
        found: T | None = self._find(key, version)
        if found is not None:
            return found
        value, end = ask()
        if version is not None:
            with self._lock:
                if version == self._version:
                    self._keep(key, value, end)
        return value

    def _keep(self, key: Hashable, value: Any, end: float) -> None:
        if len(self._values) >= _MOST:
            self._values.clear()
        self._values[key] = (min(end, time.time() + SECONDS), value)

    def _find(self, key: Hashable, version: Version | None) -> Any | None:
        if version is None:
            return None
        with self._lock:
            if version != self._version:
                self._values.clear()
                self._version = version
            end, value = self._values.get(key, (0.0, None))
        return value if time.time() < end else None
