"""The lifetime of a lease on one collection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from kvasir.collection_index import Index
from kvasir.core.errors import ClosedError


class CollectionLease:
    """A lease on one collection; close it, or use it in a ``with``.

    Attributes:
        name: The collection's name.
        index: The state that the leases share in this process; not part of the service.
    """

    def __init__(self, index: Index, *, on_close: Callable[[], None] = lambda: None) -> None:
        """Take a lease; ``on_close`` is called once, after it has ended."""
        self.name, self.index = index.name, index
        self._on_close = on_close
        self._lock = threading.Lock()
        self._is_open = True
        index.leases.take()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the lease; a second call does nothing."""
        if not self.index.leases.process.is_this:
            return
        with self._lock:
            was_open, self._is_open = self._is_open, False
        if was_open:
            try:
                self.index.leases.release()
            finally:
                self._on_close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise ClosedError(f"this lease of collection '{self.name}' is closed")

    @contextmanager
    def _call(self) -> Iterator[Index]:
        self._check_open()
        with self.index.leases.call():
            yield self.index
