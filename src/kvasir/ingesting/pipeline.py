"""Ingests files, folders, addresses and uploads into one collection.

An unchanged source is read and hashed only. Of a changed source, only new passages are embedded,
and the old version is searched until the new one is complete. ``ingesting.publishing`` explains
the order of the steps and why a crash does no harm.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field

from kvasir.core.errors import (
    RequestError,
)
from kvasir.core.ledger import Catalog, check_metadata
from kvasir.core.protocols import Embedder, Splitter, VectorStore
from kvasir.core.reports import IngestReport
from kvasir.core.run import Run
from kvasir.core.types import Metadata
from kvasir.ingesting.extraction import ExtractionPool
from kvasir.ingesting.ingest_run import IngestRun
from kvasir.ingesting.preparing import (
    OnConflict,
)
from kvasir.ingesting.publishing import Publisher
from kvasir.ingesting.sources import Fetch, Input

SETTINGS_VERSION = 1
"""Increase it when extraction or splitting changes, so that all documents are split again."""


@dataclass
class IngestPipeline:
    """Writes documents into one collection; a process has one pipeline for a store.

    Attributes:
        collection: The collection's name; the first ingest creates it.
        chunk_settings: Names and options of extraction and splitting, as text in a fixed form:
            when it changes, unchanged sources are split again, too.
        language: ISO 639-1 code of every document, or None to detect it.
        fetch: Gets the bytes of an address; without it addresses are refused.
        batch_chunks: Passages to embed in one call; documents are gathered until there are
            this many.
        hold_seconds: How long embedded documents wait for others, to be written with one flush
            (which takes about 0.1 s).
        left_out: Files and folders to skip inside of folders: those of Kvasir itself.
        max_file_mb: Larger sources are reported as failed, in MiB.
        writing: The lock of every publisher of the store.
        lease_seconds, heartbeat_seconds: As of ``Publisher``.
    """

    pool: ExtractionPool
    splitter: Splitter
    embedder: Embedder
    store: VectorStore
    catalog: Catalog
    collection: str
    _: KW_ONLY
    chunk_settings: str = ""
    language: str | None = None
    fetch: Fetch | None = None
    batch_chunks: int = 256
    hold_seconds: float = 3.0
    left_out: Sequence[str] = ()
    max_file_mb: int = 200
    writing: threading.Lock = field(default_factory=threading.Lock)
    lease_seconds: float = Publisher.lease_seconds
    heartbeat_seconds: float = Publisher.heartbeat_seconds

    def ingest(
        self,
        inputs: Iterable[Input],
        *,
        on_conflict: OnConflict = "replace",
        prune: bool = False,
        metadata: Metadata | None = None,
        gone: Collection[str] | None = None,
        run: Run | None = None,
    ) -> IngestReport:
        """Ingest sources; one that fails is reported and does not stop the others.

        A source that has changed since it was ingested is replaced, skipped, or reported as failed
        (``error``). With ``replace``, a new one that says most of what a document said whose file
        is ``gone`` (by default: a local path that does not exist) is that document, moved.
        ``prune`` removes documents under the given folders whose file is gone. Without
        ``metadata`` each document keeps what it has. Stages of the run are ``documents`` (each one
        finished or failed is an item) and ``passages``. After a stop, the report has
        ``interrupted``, finished sources are kept, and ``left`` lists the rest.

        Raises:
            WrongEmbedderError: Another embedder made the collection.
            StoreIncompleteError: The store lacks chunks of earlier documents, and no other writer
                is active: restore them, then ingest again. Nothing was ingested.
            WriterConflictError: The collection is being deleted or repaired, or this writer's lease
                was taken; sources reported as finished are kept.
            RequestError: A metadata field is reserved or its value cannot be kept.
        """
        check_metadata(metadata or {})
        if on_conflict not in ("skip", "replace", "error"):
            raise RequestError(f"on_conflict must be skip, replace or error, not '{on_conflict}'")
        span = self.lease_seconds, self.heartbeat_seconds
        publisher = Publisher(self.store, self.catalog, self.collection, self.writing, *span)
        publisher.open_collection(self.embedder)
        with publisher.session():
            work = IngestRun(self, publisher, on_conflict, metadata, run or Run(), gone)
            return work.ingest(list(inputs), prune)

    def settings_hash(self) -> str:
        """Return the hash of the settings that shape the chunks."""
        parts = [SETTINGS_VERSION, type(self.splitter).__name__, self.chunk_settings]
        shape = "\n".join(map(str, [*parts, self.language or ""]))
        return hashlib.sha256(shape.encode()).hexdigest()
