"""Ingests files, folders, addresses and uploads into one collection.

An unchanged source is read and hashed only. Of a changed source, only new passages are embedded,
and the old version is searched until the new one is complete. ``ingesting.publishing`` explains
the order of the steps and why a crash does no harm.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field, replace

from kvasir.core.batches import batches
from kvasir.core.errors import (
    ComponentError,
    KvasirError,
    RejectedDataError,
    RequestError,
    StoppedError,
    describe_unexpected,
)
from kvasir.core.ledger import Catalog, VersionStatus, check_metadata
from kvasir.core.protocols import Embedder, Splitter, VectorStore
from kvasir.core.reports import Failed, Finished, IngestReport, Outcome
from kvasir.core.run import Run
from kvasir.core.types import Metadata, document_id
from kvasir.ingesting.extraction import ExtractionPool
from kvasir.ingesting.preparing import (
    OnConflict,
    PageBegun,
    Prepared,
    PreparedItem,
    Preparer,
    Relabelled,
    Unreadable,
)
from kvasir.ingesting.publishing import EmbeddedBatch, Publisher
from kvasir.ingesting.sources import Discovery, Fetch, Input, discover, uri_of

SETTINGS_VERSION = 1
"""Increase it when extraction or splitting changes, so that all documents are split again."""

_CHANGED_TOGETHER = 100
"""Documents that are relabelled or removed in one call."""
_MAX_FAILURES_IN_A_ROW = 10
"""After this many failed documents in a row the ingest stops: they are not the cause."""
_MAX_BUFFERED_CHUNKS = 10_000
"""Write once this many embedded chunks are buffered."""


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
        file_timeout: Seconds for hashing a file, and for splitting it.
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
    file_timeout: float = 120.0
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
        run: Run | None = None,
    ) -> IngestReport:
        """Ingest sources; one that fails is reported and does not stop the others.

        A source that has changed since it was ingested is replaced, skipped, or reported as failed
        (``error``). ``prune`` removes documents under the given folders whose file is gone. Without
        ``metadata`` each document keeps what it has. Stages of the run are ``documents`` (each one
        finished or failed is an item), ``passages`` and ``recognizing text`` (pages of one source).
        After a stop, the report has ``interrupted``, finished sources are kept, and ``left`` lists
        the rest.

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
            work = _IngestRun(self, publisher, on_conflict, metadata, run or Run())
            return work.ingest(list(inputs), prune)

    def settings_hash(self) -> str:
        """Return the hash of the settings that shape the chunks."""
        parts = [SETTINGS_VERSION, type(self.splitter).__name__, self.chunk_settings]
        shape = "\n".join(map(str, [*parts, self.language or ""]))
        return hashlib.sha256(shape.encode()).hexdigest()


@dataclass
class _IngestRun:
    """One ingest: gathers prepared documents, embeds them in batches, and writes them.

    The sources that are ``handled`` are finished or failed.
    """

    pipeline: IngestPipeline
    publisher: Publisher
    on_conflict: OnConflict
    metadata: Metadata | None
    run: Run
    report: IngestReport = field(default_factory=IngestReport)
    handled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._catalog, self._collection = self.pipeline.catalog, self.pipeline.collection
        self._sources = self._passages = self._vectors = 0
        self._gathered: list[Prepared] = []
        self._buffer: list[tuple[list[Prepared], EmbeddedBatch]] = []
        self._buffered_since = 0.0
        self._relabelled: dict[str, Metadata] = {}
        self._suspects: list[Unreadable] = []
        self._is_given_up = False

    def ingest(self, inputs: list[Input], prune: bool) -> IngestReport:
        started = time.perf_counter()
        report = self.report
        report.recovered = self.publisher.recover()
        report.chunks_unknown = self.publisher.check_complete()
        listed = [uri_of(item) for item in inputs]
        try:
            found = discover(inputs, self.pipeline.left_out, self.run.stop)
            listed, report.without_files = list(found.items), found.without_files
            self._execute(found)
            if prune:
                self._prune(found)
            # Clean up after other writers that were killed during this run.
            self.publisher.recover()
        except StoppedError:
            report.interrupted = True
            self._finish_interrupted()
        report.left = [uri for uri in listed if uri not in self.handled]
        report.sort()
        report.seconds["total"] = time.perf_counter() - started
        return report

    def _execute(self, found: Discovery) -> None:
        pipeline = self.pipeline
        preparer = Preparer(
            pipeline.pool,
            pipeline.splitter,
            self._catalog,
            self._collection,
            found.items,
            settings_hash=pipeline.settings_hash(),
            language=pipeline.language,
            on_conflict=self.on_conflict,
            metadata=self.metadata,
            fetch=pipeline.fetch,
            max_bytes=pipeline.max_file_mb << 20,
            timeout=pipeline.file_timeout,
            stop=self.run.stop,
        )
        self._sources = len(found.items) + len(found.missing)
        try:
            self.run.step("documents", 0, self._sources, "documents")
            for missing in found.missing:
                self._note(missing)
            for item in preparer:
                self._handle(item)
            self._embed()
            self._write()
            self._report_suspects()
            self._relabel()
        finally:
            preparer.close()
            self.report.bytes_read = preparer.bytes_read
            self.report.seconds.update(preparer.seconds)

    def _prune(self, found: Discovery) -> None:
        for folder in found.folders:
            records = self._catalog.documents(self._collection, prefix=folder)
            gone = [record for record in records if found.is_gone(record.source_uri)]
            for part in batches(gone, _CHANGED_TOGETHER):
                self.run.check()
                self.publisher.remove([record.id for record in part])
                for record in part:
                    self._note(Finished(record.source_uri, Outcome.REMOVED))

    def _finish_interrupted(self) -> None:
        """Clean up after the run was stopped, and write the documents that are embedded already."""
        self.publisher.recover()
        if not self._is_given_up:
            self._buffer = [each for each in self._buffer if not self._finish_live(each[0])]
            with suppress(StoppedError):
                self._write()
        if self._is_given_up:
            self.publisher.recover()
            for documents, _ in self._buffer:
                self._finish_live(documents)
        for uri, given in self._relabelled.items():
            record = self._catalog.document(self._collection, document_id(uri))
            if record is not None and dict(record.given) == dict(given):
                self._note(Finished(uri, Outcome.RELABELLED))

    def _finish_live(self, documents: list[Prepared]) -> bool:
        """Report the documents that are live; return whether all are."""
        live = [prepared for prepared in documents if self._is_live(prepared)]
        self._finish(live)
        return len(live) == len(documents)

    def _is_live(self, prepared: Prepared) -> bool:
        record = self._catalog.document(self._collection, prepared.draft.document.id)
        return record is not None and record.state == prepared.draft.state

    def _handle(self, item: PreparedItem) -> None:
        if isinstance(item, PageBegun):
            begun = item.page - 1, item.pages
            self.run.report("recognizing text", *begun, "pages", item=item.source_uri)
        elif isinstance(item, Prepared):
            self._passages += len(item.draft.chunks)
            self._report_passages()
            self._gathered.append(item)
            gathered = sum(len(one.draft.chunks) for one in self._gathered)
            if gathered >= self.pipeline.batch_chunks:
                self._embed()
        elif isinstance(item, Unreadable):
            self._fail(item)
        elif isinstance(item, Relabelled):
            self._relabelled[item.source_uri] = item.given
            if len(self._relabelled) >= _CHANGED_TOGETHER:
                self._relabel()
        else:
            self._note(item)

    def _fail(self, unreadable: Unreadable) -> None:
        failure, state = unreadable.failure, unreadable.state
        if state is not None:
            name = document_id(state.uri)
            record = self._catalog.document(self._collection, name)
            if failure.reason == "empty" and record and record.status is VersionStatus.LIVE:
                # The new version has no text, so the old one must not be searched any more.
                self.publisher.remove([name])
                message = f"{failure.message}; its former text was removed from the index"
                failure = replace(failure, message=message)
            try:
                self._catalog.fail(self._collection, state, failure.reason, failure.message)
            except RejectedDataError as error:
                failure = replace(failure, message=f"{failure.message}; not recorded: {error}")
        self._note(failure)

    def _embed(self) -> None:
        """Embed the gathered documents, and write the buffer if it is due."""
        if not self._gathered:
            return
        self._embed_or_suspect(self._gathered)
        self._gathered = []
        chunks = sum(len(draft.chunks) for _, batch in self._buffer for draft in batch.drafts)
        held = time.perf_counter() - self._buffered_since
        if chunks >= _MAX_BUFFERED_CHUNKS or held >= self.pipeline.hold_seconds:
            self._write()

    def _embed_or_suspect(self, documents: list[Prepared], *, again: bool = False) -> None:
        """Embed documents; after an error embed each alone, so that only the faulty ones fail."""
        embedded = self.report.chunks_embedded
        try:
            self._embed_into_buffer(documents)
        except (KvasirError, MemoryError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
            self._count_embedded(embedded - self.report.chunks_embedded)
            if again:
                message = f"its vectors could not be made ({describe_unexpected(error)})"
                self._suspect(documents[0], "embed", message, error)
            else:
                for prepared in documents:
                    self._embed_or_suspect([prepared], again=True)

    def _embed_into_buffer(self, documents: list[Prepared]) -> None:
        started, pipeline = time.perf_counter(), self.pipeline
        batch = self.publisher.embed(
            pipeline.embedder,
            [prepared.draft for prepared in documents],
            batch_chunks=pipeline.batch_chunks,
            on_embedded=self._count_embedded,
            buffered=[batch for _, batch in self._buffer],
            run=self.run,
        )
        self._buffered_since = self._buffered_since if self._buffer else time.perf_counter()
        self._buffer.append((documents, batch))
        self.report.chunks_reused += batch.reused
        self.report.chunks_repeated += batch.repeated
        self.report.spend("embed", time.perf_counter() - started)
        if batch.reused + batch.repeated:
            self._vectors += batch.reused + batch.repeated
            self._report_passages()

    def _write(self) -> None:
        if not self._buffer:
            return
        started = time.perf_counter()
        try:
            self.publisher.write([batch for _, batch in self._buffer], self.run)
        except StoppedError:
            # Writing all of these takes longer than a stop may take.
            self._is_given_up = True
            raise
        except Exception as error:
            if _hits_every_document(error):
                raise
            self._write_one_by_one(error)
        else:
            buffer, self._buffer = self._buffer, []
            self._finish([one for documents, _ in buffer for one in documents])
        self.report.spend("store", time.perf_counter() - started)

    def _write_one_by_one(self, error: Exception) -> None:
        """Write each buffered document alone after an error, so that only the faulty ones fail."""
        self._recover_after(error)
        self._buffer = [
            ([prepared], replace(batch, drafts=(prepared.draft,)))
            for documents, batch in self._buffer
            for prepared in documents
        ]
        while self._buffer:
            documents, batch = self._buffer[0]
            try:
                self.publisher.write([batch])
            except Exception as failure:
                if _hits_every_document(failure):
                    raise
                self._recover_after(failure)
                del self._buffer[0]
                message = f"it could not be written to the index ({describe_unexpected(failure)})"
                self._suspect(documents[0], "write", message, failure)
            else:
                del self._buffer[0]
                self._finish(documents)

    def _recover_after(self, error: Exception) -> None:
        """Clean up half-written documents; if that fails, raise the original error."""
        try:
            self.publisher.recover()
        except Exception as failure:
            raise error from failure

    def _suspect(self, prepared: Prepared, reason: str, message: str, error: Exception) -> None:
        state = prepared.draft.state
        self._suspects.append(Unreadable(Failed(state.uri, reason, message), state))
        if len(self._suspects) >= _MAX_FAILURES_IN_A_ROW:
            raise error

    def _report_suspects(self) -> None:
        """Report suspects as failed: another document was written, so the cause is in them."""
        suspects, self._suspects = self._suspects, []
        for suspect in suspects:
            self._fail(suspect)

    def _finish(self, documents: Iterable[Prepared]) -> None:
        for prepared in documents:
            draft = prepared.draft
            self._note(Finished(draft.state.uri, prepared.outcome, draft.document.warnings))
        self._report_suspects()

    def _relabel(self) -> None:
        if not self._relabelled:
            return
        given = {document_id(uri): metadata for uri, metadata in self._relabelled.items()}
        self.publisher.set_metadata(given)
        for uri in self._relabelled:
            self._note(Finished(uri, Outcome.RELABELLED))
        self._relabelled = {}

    def _count_embedded(self, chunks: int) -> None:
        self.report.chunks_embedded += chunks
        self._vectors += chunks
        self._report_passages()

    def _note(self, event: Finished | Failed) -> None:
        self.handled.add(event.source_uri)
        self.report.note(event)
        if isinstance(event, Failed):
            details = {"outcome": "failed", "reason": event.reason, "message": event.message}
        else:
            details = {"outcome": event.outcome.value}
        done = len(self.handled)
        total = max(self._sources, done)
        self.run.report("documents", done, total, "documents", item=event.source_uri, **details)

    def _report_passages(self) -> None:
        self.run.report("passages", self._vectors, self._passages, "chunks")


def _hits_every_document(error: Exception) -> bool:
    """Return True if an error affects every document, such as a broken database."""
    if isinstance(error, ComponentError):
        return error.component == "catalog" and not isinstance(error, RejectedDataError)
    return isinstance(error, (KvasirError, MemoryError, OSError))
