"""A writer's lease on a collection, kept by a heartbeat."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Self

from kvasir.core.errors import KvasirError, WriterConflictError
from kvasir.core.ledger import Catalog

logger = logging.getLogger(__name__)


@dataclass
class Lease:
    """A writer's lease on a collection; it begins with the ``with`` block.

    Attributes:
        seconds: How long it lasts after each heartbeat.
        exclusive: Allow no other writer of the collection.
        writer: The writer's id in the catalog.
    """

    catalog: Catalog
    collection: str
    seconds: float
    heartbeat_seconds: float
    exclusive: bool = False
    writer: str = field(default="", init=False)
    _lost: bool = field(default=False, init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)

    def __enter__(self) -> Self:
        self.writer = self.catalog.start_writer(
            self.collection, lease_seconds=self.seconds, exclusive=self.exclusive
        )
        self._thread = threading.Thread(target=self._beat, name="writer heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._ended.set()
        self._thread.join()
        try:
            self.catalog.end_writer(self.writer)
        except KvasirError:
            # The lease expires anyway; the first error is the one to report.
            if error is None:
                raise

    def check(self) -> None:
        """Raise WriterConflictError if another writer has taken the lease."""
        if self._lost:
            raise WriterConflictError(
                f"this process's lease on collection '{self.collection}' ended, and another "
                "process took its unfinished documents back: ingest them again"
            )

    def _beat(self) -> None:
        while not self._lost and not self._ended.wait(self.heartbeat_seconds):
            # After an error, the next heartbeat may reach the database. If the lease is taken
            # before, the catalog refuses what this writer publishes.
            try:
                self._lost = not self.catalog.renew_writer(self.writer)
            except KvasirError as error:
                logger.info("a writer's heartbeat failed: %s", error)
            except Exception:
                logger.exception("a writer's heartbeat failed")
