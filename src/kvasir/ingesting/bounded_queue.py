"""A queue that one thread fills and another empties, limited by the weight of its items."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

from kvasir.core.errors import StoppedError

T = TypeVar("T")

_BASE_WEIGHT = 1000
"""Added to the weight of every item, so that the number of light items is limited, too."""


class BoundedQueue(Generic[T]):
    """Bounded queue; accepts one oversized item when empty."""

    def __init__(self, limit: int) -> None:
        """Make an empty queue for items that together weigh at most ``limit``."""
        self._limit = limit
        self._items: deque[tuple[T, int]] = deque()
        self._weight = 0
        self._closed = False
        self._condition = threading.Condition()

    def put(self, item: T, weight: int = 0) -> None:
        """Append an item as soon as there is room; raise StoppedError after ``close``."""
        weight += _BASE_WEIGHT
        with self._condition:
            while self._items and self._weight + weight > self._limit and not self._closed:
                self._condition.wait()
            self.check()
            self._append(item, weight)

    def put_now(self, item: T) -> None:
        """Append an item without waiting, also after ``close``."""
        with self._condition:
            self._append(item, 0)

    def get(self) -> T:
        """Wait for the first item and remove it; raise StoppedError if closed and empty."""
        with self._condition:
            while not self._items:
                self.check()
                self._condition.wait()
            item, weight = self._items.popleft()
            self._weight -= weight
            self._condition.notify_all()
        return item

    def close(self) -> None:
        """Refuse further items and wake all waiting threads."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def check(self) -> None:
        """Raise StoppedError after ``close``."""
        if self._closed:
            raise StoppedError

    def _append(self, item: T, weight: int) -> None:
        self._items.append((item, weight))
        self._weight += weight
        self._condition.notify_all()
