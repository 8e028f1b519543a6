"""Ingests files, folders, addresses and uploads into one collection.

An unchanged source is read and hashed only. Of a changed source, only new passages are embedded,
and the old version is searched until the new one is complete. ``ingesting.publishing`` explains
the order of the steps and why a crash does no harm.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable
from functools import partial

from kvasir.core.errors import RequestError, StoppedError
from kvasir.core.ledger import Catalog, check_metadata
from kvasir.core.protocols import Embedder, Splitter, VectorStore
from kvasir.core.reports import IngestReport
from kvasir.core.run import Run
from kvasir.core.types import Metadata
from kvasir.ingesting.ingest_run import IngestRun
from kvasir.ingesting.preparing import OnConflict, Pool, Preparer, Rules
from kvasir.ingesting.publishing import HEARTBEAT_SECONDS, LEASE_SECONDS, Publisher
from kvasir.ingesting.sources import Fetch, Input, discover, uri_of

SETTINGS_VERSION = 1
"""Increase it when extraction or splitting changes, so that all documents are split again."""


class IngestPipeline:
    """Writes documents into one collection; a process has one pipeline for a store."""

    def __init__(
        self,
        pool: Pool,
        splitter: Splitter,
        embedder: Embedder,
        store: VectorStore,
        catalog: Catalog,
        collection: str,
        *,
        chunk_settings: str = "",
        language: str | None = None,
        fetch: Fetch | None = None,
        batch_chunks: int = 256,
        hold_seconds: float = 3.0,
        left_out: Iterable[str] = (),
        max_file_mb: int = 200,
        writing: threading.Lock | None = None,
        lease_seconds: float = LEASE_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Make the pipeline; nothing is read or written yet.

        Args:
            pool: Extracts files, as ``ExtractionPool``.
            splitter: Splits documents into chunks.
            embedder: The one that made the collection.
            store: The collection's store.
            catalog: The ledger.
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
            lease_seconds: How long a writer's lease lasts after its last heartbeat.
            heartbeat_seconds: Seconds between heartbeats.
        """
        self._pool = pool
        self._splitter = splitter
        self._catalog = catalog
        self._collection = collection
        self._language = language
        self._fetch = fetch
        self._batch_chunks = batch_chunks
        self._hold_seconds = hold_seconds
        self._left_out = tuple(left_out)
        shape = f"{SETTINGS_VERSION}\n{type(splitter).__name__}\n{chunk_settings}\n{language or ''}"
        self._settings_hash = hashlib.sha256(shape.encode()).hexdigest()
        self._max_bytes = max_file_mb << 20
        self._make_publisher = partial(
            Publisher,
            store,
            catalog,
            embedder,
            collection,
            batch_chunks,
            writing or threading.Lock(),
            lease_seconds=lease_seconds,
            heartbeat_seconds=heartbeat_seconds,
        )

    def ingest(
        self,
        inputs: Iterable[Input],
        *,
        on_conflict: OnConflict = "replace",
        prune: bool = False,
        metadata: Metadata | None = None,
        run: Run | None = None,
    ) -> IngestReport:
        """Ingest sources; one that fails is reported and does not stop the others.

        Args:
            inputs: Files, folders, addresses, or sources with their bytes.
            on_conflict: How to treat a source that has changed since it was ingested:
                ``replace`` it, ``skip`` it, or report it as failed (``error``).
            prune: Remove documents under the given folders whose file is gone.
            metadata: For every document ingested now; None keeps what each one has.
            run: Stops the ingest. Its stages are ``documents`` (every source that is finished
                or failed is an item) and ``passages``, and before them those of ``restore``.

        Returns:
            The report. If the run was stopped, ``interrupted`` is true, finished sources
            are kept, and ``left`` lists the rest.

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
        publisher = self._make_publisher()
        publisher.open_collection()
        with publisher.session():
            return self._ingest(publisher, inputs, on_conflict, prune, metadata, run or Run())

    def _ingest(
        self,
        publisher: Publisher,
        inputs: Iterable[Input],
        on_conflict: OnConflict,
        prune: bool,
        metadata: Metadata | None,
        run: Run,
    ) -> IngestReport:
        started = time.perf_counter()
        ingest_run = IngestRun(
            publisher,
            self._catalog,
            self._collection,
            batch_chunks=self._batch_chunks,
            hold_seconds=self._hold_seconds,
            run=run,
        )
        report = ingest_run.report
        report.recovered = publisher.recover()
        report.chunks_unknown = publisher.check_complete()
        own = self._collection, self._settings_hash, self._language
        rules = Rules(*own, on_conflict, metadata, self._max_bytes)
        inputs = list(inputs)
        listed = [uri_of(item) for item in inputs]
        try:
            found = discover(inputs, self._left_out, run.stop)
            listed, report.without_files = list(found.items), found.without_files
            preparer = Preparer(
                self._pool,
                self._splitter,
                self._catalog,
                self._fetch,
                rules,
                found.items,
                run.stop,
            )
            try:
                ingest_run.execute(found, preparer)
            finally:
                preparer.close()
                report.bytes_read = preparer.bytes_read
                report.seconds.update(preparer.seconds)
            if prune:
                ingest_run.prune(found)
            # Clean up after other writers that were killed during this run.
            publisher.recover()
        except StoppedError:
            report.interrupted = True
            ingest_run.finish_interrupted()
        report.left = [uri for uri in listed if uri not in ingest_run.handled]
        report.failed.sort(key=lambda failure: failure.source_uri)
        report.seconds["total"] = time.perf_counter() - started
        return report
