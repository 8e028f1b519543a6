"""A value that is made when it is first needed, once, whichever threads ask for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Makes a value under a lock of its own, so that waiting for one blocks no other."""

    def __init__(self, make: Callable[[], T]) -> None:
        """Keep what makes the value; nothing is made yet."""
        self._make = make
        self._lock = threading.RLock()
        self._made: list[T] = []

    def get(self) -> T:
        """Return the value; make it if this is the first call."""
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]

    def take(self) -> T | None:
        """Return the value if it was made, and forget it: the next ``get`` makes another."""
        with self._lock:
            return self._made.pop() if self._made else None
