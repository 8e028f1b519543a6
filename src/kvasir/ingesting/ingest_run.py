"""One run of an ingest: gathers prepared documents, embeds them and has them published."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from kvasir.core.batches import batches
from kvasir.core.errors import ComponentError, KvasirError, RejectedDataError
from kvasir.core.ledger import Catalog, VersionStatus
from kvasir.core.reports import Failed, Finished, IngestReport, Outcome
from kvasir.core.run import Run
from kvasir.core.types import Metadata, document_id
from kvasir.ingesting.embedding import Ready
from kvasir.ingesting.preparing import Prepared, Reader, Relabelled, Unreadable, Work, cause_of
from kvasir.ingesting.publishing import Publisher
from kvasir.ingesting.sources import Discovery

_RELABEL_TOGETHER = 100

_MAX_FAILURES_IN_A_ROW = 10
"""Documents in a row that cannot be written before the cause is taken to lie elsewhere."""

_MAX_BUFFERED_CHUNKS = 10_000
"""Write once this many embedded chunks are buffered."""

_REMOVED_TOGETHER = 100


def _hits_every_document(error: Exception) -> bool:
    """Return True if an error concerns every document: a broken database, wrong settings."""
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
        """Do everything but pruning."""
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
        """Complete the vectors of the gathered documents; what is written waits for more."""
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
