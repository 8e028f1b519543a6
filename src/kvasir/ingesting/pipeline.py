"""Ingesting: from files, folders, addresses and uploads to chunks that can be searched.

An unchanged source costs reading and hashing it. Of a changed one, only the passages that are
new are embedded, and the old version answers until the new one is complete. What happens in
which order, and why a crash does no harm, is said in ``ingesting.publishing``.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from kvasir.core.batches import batches
from kvasir.core.errors import (
    ComponentError,
    KvasirError,
    RejectedDataError,
    StoppedError,
    UserError,
)
from kvasir.core.ledger import Catalog, VersionStatus, check_metadata
from kvasir.core.protocols import Embedder, Splitter, VectorStore
from kvasir.core.run import Run
from kvasir.core.types import Metadata, document_id
from kvasir.ingesting.embedding import Ready
from kvasir.ingesting.preparing import (
    Fetch,
    OnConflict,
    Pool,
    Prepared,
    Reader,
    Relabelled,
    Rules,
    Unreadable,
    Work,
    cause_of,
)
from kvasir.ingesting.publishing import (
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    Publisher,
)
from kvasir.ingesting.report import Failed, Finished, IngestReport, Outcome
from kvasir.ingesting.sources import Discovery, Input, discover, named

SETTINGS_VERSION = 1
"""Raise it when extraction or splitting changes so that documents should be cut anew."""

_RELABEL_TOGETHER = 100

_MAX_FAILURES_IN_A_ROW = 10
"""Documents in a row that cannot be written before the cause is taken to lie elsewhere."""

_MAX_BUFFERED_CHUNKS = 10_000
"""Write once this many embedded chunks are buffered."""

_REMOVED_TOGETHER = 100


class IngestPipeline:
    """Writes documents into one collection; there is one for a store in a process."""

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
        """Makes the pipeline; nothing is read or written yet.

        Args:
            pool: Extracts files, as ``ExtractionPool``.
            splitter: Cuts documents.
            embedder: Must be the one that made the collection.
            store: The collection's store.
            catalog: The ledger.
            collection: The collection's name; it is made when first ingested into.
            chunk_settings: Name and options of extraction and splitting in any fixed spelling:
                where it changed, an unchanged source is cut anew.
            language: ISO 639-1 code of every document, or None to detect it.
            fetch: Gets the bytes of an address; without it addresses are refused.
            batch_chunks: Passages that are embedded in one call; documents are put together
                until there are as many.
            hold_seconds: How long documents that have their vectors wait for others, to be
                written with one flush (which takes about 0.1 s).
            left_out: Files and folders that are skipped inside of folders: our own.
            max_file_mb: Larger sources are reported unread, in MiB.
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
        """Ingests sources; what fails is reported, and the rest go on.

        Args:
            inputs: Files, folders, addresses, or sources with their bytes.
            on_conflict: What to do with a source that was ingested and changed since:
                ``replace`` it, ``skip`` it, or report it as failed (``error``).
            prune: Remove documents under the given folders whose file is gone.
            metadata: For every document ingested now; None keeps what each one has.
            run: Stops the ingest. Its stages are ``documents`` (every source that is finished
                or failed is an item) and ``passages``, and before them those of ``restore``.

        Returns:
            What was done. If the run was stopped, ``interrupted`` is true, what was finished is
            kept, and ``left`` lists the rest.

        Raises:
            CollectionError: Another embedder made the collection.
            StoreIncompleteError: The store lacks chunks of earlier documents, and no other writer
                is active: restore them, then ingest again. Nothing was ingested.
            WriterConflictError: The collection is being deleted or repaired, or this writer's lease
                was taken; what is reported as finished is kept.
            UserError: A metadata field is reserved or its value cannot be kept.
        """
        check_metadata(metadata or {})
        if on_conflict not in ("skip", "replace", "error"):
            raise UserError(f"on_conflict must be skip, replace or error, not '{on_conflict}'")
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
        work = IngestRun(
            publisher,
            self._catalog,
            self._collection,
            batch_chunks=self._batch_chunks,
            hold_seconds=self._hold_seconds,
            run=run,
        )
        report = work.report
        report.recovered = publisher.recover()
        report.chunks_unknown = publisher.check_complete()
        own = self._collection, self._settings_hash, self._language
        rules = Rules(*own, on_conflict, metadata, self._max_bytes)
        inputs = list(inputs)
        listed = [named(item) for item in inputs]
        try:
            found = discover(inputs, self._left_out, run.stop)
            listed, report.without_files = list(found.items), found.without_files
            reader = Reader(
                self._pool,
                self._splitter,
                self._catalog,
                self._fetch,
                rules,
                found.items,
                run.stop,
            )
            try:
                work.do(found, reader)
            finally:
                reader.close()
                report.bytes_read = reader.bytes_read
                report.seconds.update(reader.seconds)
            if prune:
                work.prune(found)
            # Neighbours that were killed meanwhile leave work that nobody else may clean up.
            publisher.recover()
        except StoppedError:
            report.interrupted = True
            work.finish_interrupted()
        report.left = [uri for uri in listed if uri not in work.handled]
        report.failed.sort(key=lambda failure: failure.source_uri)
        report.seconds["total"] = time.perf_counter() - started
        return report


def _hits_every_document(error: Exception) -> bool:
    """True if an error is not of one document: a broken database or store, wrong settings."""
    if isinstance(error, ComponentError):
        return error.component == "catalog" and not isinstance(error, RejectedDataError)
    return isinstance(error, (KvasirError, MemoryError, OSError))


class IngestRun:
    """One ingest: takes work from the reader, and gathers documents until a batch is full."""

    def __init__(
        self,
        publisher: Publisher,
        catalog: Catalog,
        collection: str,
        *,
        batch_chunks: int,
        hold_seconds: float,
        run: Run,
    ) -> None:
        self._publisher = publisher
        self._catalog = catalog
        self._collection = collection
        self._batch_chunks = batch_chunks
        self._hold_seconds = hold_seconds
        self._run = run
        self._sources = self._passages = self._vectors = 0
        self._group: list[Prepared] = []
        self._held: list[tuple[list[Prepared], Ready]] = []
        self._held_since = 0.0
        self._relabelled: dict[str, Metadata] = {}
        self._suspects: list[Unreadable] = []
        self.report = IngestReport()
        self.handled: set[str] = set()

    def do(self, found: Discovery, reader: Reader) -> None:
        """Does everything but pruning."""
        self._sources = len(found.items) + len(found.missing)
        self._run.step("documents", 0, self._sources, "documents")
        for missing in found.missing:
            self._note(Failed(missing.uri, missing.reason, missing.message))
        for work in reader:
            self._take(work)
        self._embed()
        self._write()
        self._report_suspects()
        self._relabel()

    def prune(self, found: Discovery) -> None:
        """Removes documents under the given folders whose file is gone."""
        for folder in found.folders:
            records = self._catalog.documents(self._collection, prefix=folder)
            gone = [record for record in records if found.is_gone(record.source_uri)]
            for part in batches(gone, _REMOVED_TOGETHER):
                self._run.check()
                self._publisher.remove([record.id for record in part])
                for record in part:
                    self._note(Finished(record.source_uri, Outcome.REMOVED))

    def finish_interrupted(self) -> None:
        """After the run was stopped: clean up, and write what has its vectors and is not live."""
        self._publisher.recover()
        held, self._held = self._held, []
        for group, ready in held:
            if self._is_live(group[0]):
                self._finish(group)
            else:
                self._held.append((group, ready))
        self._write()
        for uri, given in self._relabelled.items():
            record = self._catalog.document(self._collection, document_id(uri))
            if record is not None and dict(record.given) == dict(given):
                self._note(Finished(uri, Outcome.RELABELLED))
        self._group, self._relabelled = [], {}

    def _take(self, work: Work) -> None:
        if isinstance(work, Prepared):
            self._passages += len(work.draft.chunks)
            self._report_passages()
            self._group.append(work)
            if sum(len(one.draft.chunks) for one in self._group) >= self._batch_chunks:
                self._embed()
        elif isinstance(work, Unreadable):
            self._fail(work)
        elif isinstance(work, Relabelled):
            self._relabelled[work.source_uri] = work.given
            if len(self._relabelled) >= _RELABEL_TOGETHER:
                self._relabel()
        else:
            self._note(work)

    def _fail(self, work: Unreadable) -> None:
        failure, state = work.failure, work.state
        if state is not None:
            name = document_id(state.uri)
            record = self._catalog.document(self._collection, name)
            if failure.reason == "empty" and record and record.status is VersionStatus.LIVE:
                # Its author took the text away: an old version must not go on answering.
                self._publisher.remove([name])
                message = f"{failure.message}; its former text was removed from the index"
                failure = replace(failure, message=message)
            try:
                self._catalog.fail(self._collection, state, failure.reason, failure.message)
            except RejectedDataError as error:
                failure = replace(failure, message=f"{failure.message}; not recorded: {error}")
        self._note(failure)

    def _embed(self) -> None:
        """Completes the vectors of the gathered documents; what is written waits for more."""
        if not self._group:
            return
        embedded = self.report.chunks_embedded
        try:
            self._hold(self._group)
        except (KvasirError, MemoryError, OSError):
            raise
        except Exception:  # noqa: BLE001 - a plug-in may raise anything; the guilty document fails
            self._count_embedded(embedded - self.report.chunks_embedded)
            for prepared in self._group:
                self._hold_or_suspect(prepared)
        self._group = []
        if self._held_enough():
            self._write()

    def _hold(self, group: list[Prepared]) -> None:
        """Embed documents and hold them until they are written."""
        waiting = [ready for _, ready in self._held]
        drafts = [prepared.draft for prepared in group]
        ready = self._publisher.embed(drafts, self._count_embedded, waiting, self._run)
        self._held_since = self._held_since if self._held else time.perf_counter()
        self._held.append((group, ready))
        self.report.chunks_reused += ready.reused
        self.report.chunks_repeated += ready.repeated
        self.report.spend("embed", ready.seconds)
        if ready.reused + ready.repeated:
            self._vectors += ready.reused + ready.repeated
            self._report_passages()

    def _hold_or_suspect(self, prepared: Prepared) -> None:
        embedded = self.report.chunks_embedded
        try:
            self._hold([prepared])
        except (KvasirError, MemoryError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - as in _embed
            self._count_embedded(embedded - self.report.chunks_embedded)
            message = f"its vectors could not be made ({cause_of(error)})"
            self._suspect(prepared, "embed", message, error)

    def _held_enough(self) -> bool:
        chunks = sum(len(ready.chunks) for _, ready in self._held)
        return (
            chunks >= _MAX_BUFFERED_CHUNKS
            or time.perf_counter() - self._held_since >= self._hold_seconds
        )

    def _write(self) -> None:
        if not self._held:
            return
        started = time.perf_counter()
        try:
            self._publisher.write([ready for _, ready in self._held])
        except Exception as error:
            if _hits_every_document(error):
                raise
            self._write_apart(error)
        else:
            held, self._held = self._held, []
            self._finish([one for group, _ in held for one in group])
        self.report.spend("store", time.perf_counter() - started)

    def _write_apart(self, error: Exception) -> None:
        """Write each held document alone after an error: only the guilty ones fail."""
        self._recover_after(error)
        self._held = [
            ([prepared], alone)
            for group, ready in self._held
            for prepared, alone in zip(group, ready.apart(), strict=True)
        ]
        while self._held:
            group, ready = self._held[0]
            try:
                self._publisher.write([ready])
            except Exception as failure:
                if _hits_every_document(failure):
                    raise
                self._recover_after(failure)
                del self._held[0]
                message = f"it could not be written to the index ({cause_of(failure)})"
                self._suspect(group[0], "write", message, failure)
            else:
                del self._held[0]
                self._finish(group)

    def _recover_after(self, error: Exception) -> None:
        """Take back what was half-written; where that fails too, the error hits every document."""
        try:
            self._publisher.recover()
        except Exception as failure:
            raise error from failure

    def _suspect(self, prepared: Prepared, reason: str, message: str, error: Exception) -> None:
        state = prepared.draft.state
        self._suspects.append(Unreadable(Failed(state.uri, reason, message), state))
        if len(self._suspects) >= _MAX_FAILURES_IN_A_ROW:
            raise error

    def _report_suspects(self) -> None:
        """Report documents as failed once another was written: the cause lies in them."""
        suspects, self._suspects = self._suspects, []
        for suspect in suspects:
            self._fail(suspect)

    def _finish(self, group: Iterable[Prepared]) -> None:
        for prepared in group:
            self._note(Finished(prepared.draft.state.uri, prepared.outcome))
        self._report_suspects()

    def _is_live(self, prepared: Prepared) -> bool:
        record = self._catalog.document(self._collection, prepared.draft.document.id)
        return record is not None and record.state == prepared.draft.state

    def _relabel(self) -> None:
        if not self._relabelled:
            return
        given = {document_id(uri): metadata for uri, metadata in self._relabelled.items()}
        self._publisher.set_metadata(given)
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
        outcome, reason, message = "failed", "", ""
        if isinstance(event, Failed):
            reason, message = event.reason, event.message
        else:
            outcome = event.outcome.value
        self._run.report(
            "documents",
            len(self.handled),
            max(self._sources, len(self.handled)),
            "documents",
            item=event.source_uri,
            outcome=outcome,
            reason=reason,
            message=message,
        )

    def _report_passages(self) -> None:
        self._run.report("passages", self._vectors, self._passages, "chunks")
