"""A value that is made once, when it is first needed, and shared by all threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Makes a value under its own lock, so that making one value does not block another."""

    def __init__(self, make: Callable[[], T]) -> None:
        """Store the function that makes the value; it is not called yet."""
        self._make = make
        self._lock = threading.RLock()
        self._made: tuple[T] | None = None

    def get(self) -> T:
        """Return the value; make it if this is the first call."""
        made = self._made
        if made is None:
            with self._lock:
                made = self._made
                if made is None:
                    made = self._made = (self._make(),)
        return made[0]

    def take(self) -> T | None:
        """Return the value if it was made, and forget it: the next ``get`` makes another."""
        with self._lock:
            made, self._made = self._made, None
        return made[0] if made else None
