"""A writer's lease on a collection, renewed by a thread while the writer works."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from kvasir.core.errors import KvasirError, WriterConflictError
from kvasir.core.ledger import Catalog


class Lease:
    """A lease; use it in a ``with``.

    Attributes:
        writer: The writer's id in the catalog.
    """

    def __init__(
        self,
        catalog: Catalog,
        collection: str,
        *,
        seconds: float,
        heartbeat_seconds: float,
        exclusive: bool = False,
    ) -> None:
        """Make a lease of ``seconds`` after each heartbeat; it begins with the ``with`` block.

        An exclusive lease allows no other writer of the collection.
        """
        self._catalog = catalog
        self._collection = collection
        self._seconds = seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._exclusive = exclusive
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._beat, name="writer heartbeat", daemon=True)
        self.writer = ""

    def __enter__(self) -> Self:
        self.writer = self._catalog.start_writer(
            self._collection, lease_seconds=self._seconds, exclusive=self._exclusive
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        try:
            self._catalog.end_writer(self.writer)
        except KvasirError:
            # The lease expires anyway; the first error is the one to report.
            if error is None:
                raise

    def check(self) -> None:
        """Raise WriterConflictError if another writer has taken the lease."""
        if self._lost:
            raise WriterConflictError(
                f"this process's lease on collection '{self._collection}' ended, and another "
                "process took its unfinished documents back: ingest them again"
            )

    def _beat(self) -> None:
        while not self._ended.wait(self._heartbeat_seconds):
            try:
                if not self._catalog.renew_writer(self.writer):
                    self._lost = True
                    return
            except KvasirError:
                # The next heartbeat may reach the database. If the lease is taken before, the
                # catalog refuses what this writer publishes.
                continue
