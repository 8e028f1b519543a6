"""One run of an ingest: gathers prepared documents, embeds them in batches, and writes them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from kvasir.core.batches import batches
from kvasir.core.errors import (
    ComponentError,
    KvasirError,
    RejectedDataError,
    describe_unexpected,
)
from kvasir.core.ledger import Catalog, VersionStatus
from kvasir.core.reports import Failed, Finished, IngestReport, Outcome
from kvasir.core.run import Run
from kvasir.core.types import Metadata, document_id
from kvasir.ingesting.embedding import EmbeddedBatch
from kvasir.ingesting.preparing import Prepared, PreparedItem, Preparer, Relabelled, Unreadable
from kvasir.ingesting.publishing import Publisher
from kvasir.ingesting.sources import Discovery

_RELABEL_TOGETHER = 100

_MAX_FAILURES_IN_A_ROW = 10
"""After this many failed documents in a row the ingest stops: they are not the cause."""

_MAX_BUFFERED_CHUNKS = 10_000
"""Write once this many embedded chunks are buffered."""

_REMOVED_TOGETHER = 100


def _hits_every_document(error: Exception) -> bool:
    """Return True if an error affects every document, such as a broken database."""
    if isinstance(error, ComponentError):
        return error.component == "catalog" and not isinstance(error, RejectedDataError)
    return isinstance(error, (KvasirError, MemoryError, OSError))


class IngestRun:
    """One ingest: takes prepared items, and gathers documents until a batch is full.

    Attributes:
        report: The report so far.
        handled: URIs of the sources that are finished or failed.
    """

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
        self._gathered: list[Prepared] = []
        self._buffer: list[tuple[list[Prepared], EmbeddedBatch]] = []
        self._buffered_since = 0.0
        self._relabelled: dict[str, Metadata] = {}
        self._suspects: list[Unreadable] = []
        self.report = IngestReport()
        self.handled: set[str] = set()

    def execute(self, found: Discovery, preparer: Preparer) -> None:
        """Ingest all sources; does not prune."""
        self._sources = len(found.items) + len(found.missing)
        self._run.step("documents", 0, self._sources, "documents")
        for missing in found.missing:
            self._note(Failed(missing.uri, missing.reason, missing.message))
        for item in preparer:
            self._handle(item)
        self._embed()
        self._write()
        self._report_suspects()
        self._relabel()

    def prune(self, found: Discovery) -> None:
        """Remove documents under the given folders whose file is gone."""
        for folder in found.folders:
            records = self._catalog.documents(self._collection, prefix=folder)
            gone = [record for record in records if found.is_gone(record.source_uri)]
            for part in batches(gone, _REMOVED_TOGETHER):
                self._run.check()
                self._publisher.remove([record.id for record in part])
                for record in part:
                    self._note(Finished(record.source_uri, Outcome.REMOVED))

    def finish_interrupted(self) -> None:
        """Clean up after the run was stopped, and write the documents that are embedded already."""
        self._publisher.recover()
        buffer, self._buffer = self._buffer, []
        for documents, batch in buffer:
            if self._is_live(documents[0]):
                self._finish(documents)
            else:
                self._buffer.append((documents, batch))
        self._write()
        for uri, given in self._relabelled.items():
            record = self._catalog.document(self._collection, document_id(uri))
            if record is not None and dict(record.given) == dict(given):
                self._note(Finished(uri, Outcome.RELABELLED))
        self._gathered, self._relabelled = [], {}

    def _handle(self, item: PreparedItem) -> None:
        if isinstance(item, Prepared):
            self._passages += len(item.draft.chunks)
            self._report_passages()
            self._gathered.append(item)
            if sum(len(one.draft.chunks) for one in self._gathered) >= self._batch_chunks:
                self._embed()
        elif isinstance(item, Unreadable):
            self._fail(item)
        elif isinstance(item, Relabelled):
            self._relabelled[item.source_uri] = item.given
            if len(self._relabelled) >= _RELABEL_TOGETHER:
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
                self._publisher.remove([name])
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
        embedded = self.report.chunks_embedded
        try:
            self._embed_into_buffer(self._gathered)
        except (KvasirError, MemoryError, OSError):
            raise
        except Exception:  # noqa: BLE001 - a plug-in may raise anything; only its document fails
            self._count_embedded(embedded - self.report.chunks_embedded)
            for prepared in self._gathered:
                self._embed_alone(prepared)
        self._gathered = []
        if self._must_write():
            self._write()

    def _embed_into_buffer(self, documents: list[Prepared]) -> None:
        """Embed documents and append them to the buffer."""
        buffered = [batch for _, batch in self._buffer]
        drafts = [prepared.draft for prepared in documents]
        batch = self._publisher.embed(drafts, self._count_embedded, buffered, self._run)
        self._buffered_since = self._buffered_since if self._buffer else time.perf_counter()
        self._buffer.append((documents, batch))
        self.report.chunks_reused += batch.reused
        self.report.chunks_repeated += batch.repeated
        self.report.spend("embed", batch.seconds)
        if batch.reused + batch.repeated:
            self._vectors += batch.reused + batch.repeated
            self._report_passages()

    def _embed_alone(self, prepared: Prepared) -> None:
        embedded = self.report.chunks_embedded
        try:
            self._embed_into_buffer([prepared])
        except (KvasirError, MemoryError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - as in _embed
            self._count_embedded(embedded - self.report.chunks_embedded)
            message = f"its vectors could not be made ({describe_unexpected(error)})"
            self._suspect(prepared, "embed", message, error)

    def _must_write(self) -> bool:
        chunks = sum(len(batch.chunks) for _, batch in self._buffer)
        return (
            chunks >= _MAX_BUFFERED_CHUNKS
            or time.perf_counter() - self._buffered_since >= self._hold_seconds
        )

    def _write(self) -> None:
        if not self._buffer:
            return
        started = time.perf_counter()
        try:
            self._publisher.write([batch for _, batch in self._buffer])
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
            ([prepared], alone)
            for documents, batch in self._buffer
            for prepared, alone in zip(documents, batch.by_document(), strict=True)
        ]
        while self._buffer:
            documents, batch = self._buffer[0]
            try:
                self._publisher.write([batch])
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
            self._publisher.recover()
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
