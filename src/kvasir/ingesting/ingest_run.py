"""One ingest: gathers prepared documents, embeds them in batches, and writes them.

What is embedded is written every few seconds; ``ingesting.embedding`` keeps the vectors of longer
documents.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from kvasir.core.batches import batches
from kvasir.core.errors import (
    IndexReplacedError,
    KvasirError,
    RejectedDataError,
    StoppedError,
    describe_unexpected,
)
from kvasir.core.ledger import DocumentRecord, VersionStatus
from kvasir.core.protocols import Embedder, VectorStore
from kvasir.core.reports import Failed, Finished, IngestReport, NotRead, Outcome
from kvasir.core.run import Run
from kvasir.core.types import Metadata, document_id
from kvasir.ingesting.embedding import EmbeddedBatch, PassageEmbedder
from kvasir.ingesting.estimate import Estimate
from kvasir.ingesting.ingest_parts import IngestParts
from kvasir.ingesting.moves import MoveFinder
from kvasir.ingesting.preparing import (
    Idle,
    OnConflict,
    PageBegun,
    Prepared,
    PreparedItem,
    Preparer,
    Relabelled,
    Unreadable,
    characters_of,
)
from kvasir.ingesting.publishing import Publisher, hits_every_document
from kvasir.ingesting.sources import Discovery, Input, discover, uri_of

_CHANGED_TOGETHER = 100
"""Documents that are relabelled or removed in one call."""
_MAX_FAILURES_IN_A_ROW = 10
"""After this many failed documents in a row the ingest stops: they are not the cause."""
_MAX_BUFFERED_CHUNKS = 10_000
"""Write once this many embedded chunks are buffered."""
_Buffer = list[tuple[list[Prepared], EmbeddedBatch]]


@dataclass
class IngestRun:
    """The state of one ingest; the sources that are ``handled`` are finished or failed."""

    parts: IngestParts
    publisher: Publisher
    settings_hash: Callable[[str], str]
    on_conflict: OnConflict
    metadata: Metadata | None
    run: Run
    gone: Collection[str] = ()
    metadata_of_new: Metadata | None = None
    report: IngestReport = field(default_factory=IngestReport)
    handled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._catalog, self._collection = self.parts.catalog, self.parts.collection
        self._sources = self._vectors = self._characters = 0
        self._estimate, self._sizes = Estimate({}), dict[str, int]()
        self._moves = MoveFinder(self._catalog, self._collection)
        self._index = self.parts.index
        self._embedder = self._make_embedder(self.parts.embedder, self.parts.store)
        self._gathered: list[Prepared] = []
        self._buffer: _Buffer = []
        self._buffered_since = 0.0
        self._relabelled: dict[str, Metadata] = {}
        self._suspects: list[Unreadable] = []
        self._is_given_up = False

    def _make_embedder(self, embedder: Embedder, store: VectorStore) -> PassageEmbedder:
        return PassageEmbedder(
            embedder,
            store,
            self._catalog,
            self._collection,
            batch_chunks=self.parts.batch_chunks,
            hold_seconds=self.parts.hold_seconds,
            on_embedded=self._count_embedded,
            run=self.run,
        )

    def _follow(self) -> bool:
        """Go on with the collection's index of now if it is another; return whether it is.

        What is not written yet is embedded again.
        """
        current = self.parts.current() if self.parts.current else None
        if current is None or current.index == self._index:
            return False
        embedder = self._make_embedder(current.embedder, current.store)
        documents = [one for several, _ in self._buffer for one in several]
        batch, errors = embedder.embed_sound([each.draft for each in documents])
        sound = [each for each in documents if each.draft.document.id not in errors]
        # Not before all of them are embedded: no vector may go to the other model's index.
        self._index, self._embedder = current.index, embedder
        self._buffer = [(sound, batch)] if sound else []
        for prepared in documents:
            if error := errors.get(prepared.draft.document.id):
                self._suspect_vectors(prepared, error)
        return True

    def ingest(self, inputs: list[Input], prune: bool) -> IngestReport:
        """Ingest sources, within a session of the publisher; as ``IngestPipeline.ingest``."""
        started = time.perf_counter()
        report = self.report
        report.recovered = self.publisher.recover()
        report.chunks_unknown = self.publisher.check_complete()
        listed = [uri_of(item) for item in inputs]
        try:
            found = discover(inputs, self.parts.left_out, self.run.stop)
            listed, report.without_files = list(found.items), found.without_files
            report.not_read += found.not_read
            self._execute(found)
            if prune:
                self._prune(found)
            # Clean up after other writers that were killed during this run.
            self.publisher.recover()
            self._embedder.close()
        except StoppedError:
            report.interrupted = True
            self._finish_interrupted()
        report.left = [uri for uri in listed if uri not in self.handled]
        report.bytes_read = sum(self._sizes.get(uri, 0) for uri in self.handled)
        report.sort()
        report.seconds["total"] = time.perf_counter() - started
        return report

    def _execute(self, found: Discovery) -> None:
        parts = self.parts
        self._estimate = Estimate(found.sizes())
        self._moves = self._make_move_finder(found)
        preparer = Preparer(
            parts.pool,
            parts.splitter,
            self._catalog,
            self._collection,
            found.items,
            settings_hash=self.settings_hash,
            language=parts.language,
            on_conflict=self.on_conflict,
            metadata=self.metadata,
            metadata_of_new=self.metadata_of_new,
            fetch=parts.fetch,
            in_folders=found.in_folders,
            max_bytes=parts.max_file_mb << 20,
            timeout=parts.file_timeout,
            stop=self.run.stop,
            on_source=self._estimate.note_source,
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
            self._sizes = preparer.sizes
            self.report.seconds.update(preparer.seconds)

    def _make_move_finder(self, found: Discovery) -> MoveFinder:
        catalog, name, gone = self._catalog, self._collection, frozenset(self.gone)

        def candidates() -> Iterator[DocumentRecord]:
            for uri in gone:
                if (record := catalog.document(name, document_id(uri))) is not None:
                    yield record
            for folder in found.folders_of_files():
                yield from catalog.documents(name, prefix=folder)

        def is_gone(uri: str) -> bool:
            return uri in gone or found.is_moved(uri)

        return MoveFinder(catalog, name, is_gone, candidates)

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
            self._report_passages()
            self._gathered.append(item)
            if self._gathered_chunks() >= self._embedder.call_size:
                self._embed()
        elif isinstance(item, Idle):
            self._embed()
            self._write_if_due()
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
        if self._embedder.takes_long(self._gathered_chunks()):
            self._write()
        self._embed_or_suspect(self._gathered)
        self._gathered = []
        self._write_if_due()

    def _gathered_chunks(self) -> int:
        return sum(len(one.draft.chunks) for one in self._gathered)

    def _write_if_due(self) -> None:
        chunks = sum(len(draft.chunks) for _, batch in self._buffer for draft in batch.drafts)
        held = time.perf_counter() - self._buffered_since
        if chunks >= _MAX_BUFFERED_CHUNKS or held >= self.parts.hold_seconds:
            self._write()

    def _embed_or_suspect(self, documents: list[Prepared], *, again: bool = False) -> None:
        """Embed documents; after an error embed each alone, so that only the faulty ones fail."""
        embedded = self.report.chunks_embedded
        try:
            self._embed_into_buffer(documents)
        except (KvasirError, MemoryError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
            self._count_embedded(embedded - self.report.chunks_embedded, 0)
            if again:
                self._suspect_vectors(documents[0], error)
            else:
                for prepared in documents:
                    self._embed_or_suspect([prepared], again=True)

    def _embed_into_buffer(self, documents: list[Prepared]) -> None:
        self._follow()
        started, before = time.perf_counter(), self._characters
        drafts = [prepared.draft for prepared in documents]
        batch = self._embedder.embed(drafts, [batch for _, batch in self._buffer])
        self._buffered_since = self._buffered_since if self._buffer else time.perf_counter()
        if self.on_conflict == "replace":
            shares = batch.reused > 0
            documents = [self._find_former(prepared, shares) for prepared in documents]
            batch = replace(batch, drafts=[prepared.draft for prepared in documents])
        self._buffer.append((documents, batch))
        self.report.chunks_reused += batch.reused
        self.report.chunks_repeated += batch.repeated
        self.report.spend("embed", time.perf_counter() - started)
        if known := batch.reused + batch.repeated:
            self._vectors += known
            embedded = self._characters - before
            self._estimate.note_done(sum(map(characters_of, drafts)) - embedded)
            self._report_passages()

    def _find_former(self, prepared: Prepared, shares_passages: bool) -> Prepared:
        """Return a new document as moved, if that is what happened to its file."""
        if prepared.outcome is not Outcome.ADDED:
            return prepared
        former = self._moves.former(prepared, shares_passages=shares_passages)
        if former is None:
            return prepared
        given = former.given if self.metadata is None else self.metadata
        draft = replace(prepared.draft.with_metadata(given), moved_from=former.id)
        return Prepared(draft, Outcome.MOVED, former.source_uri)

    def _write(self) -> None:
        if not self._buffer:
            return
        started = time.perf_counter()
        try:
            self._publish()
        except StoppedError:
            # Writing all of these takes longer than a stop may take.
            self._is_given_up = True
            raise
        except Exception as error:
            if hits_every_document(error):
                raise
            self._write_one_by_one(error)
        else:
            buffer, self._buffer = self._buffer, []
            self._embedder.forget(batch for _, batch in buffer)
            self._finish([one for documents, _ in buffer for one in documents])
        self.report.spend("store", time.perf_counter() - started)

    def _publish(self) -> None:
        while self._buffer:
            embedded = [batch for _, batch in self._buffer]
            try:
                self.publisher.write(embedded, self.run, index=self._index)
                return
            except IndexReplacedError:
                if not self._follow():
                    raise

    def _write_one_by_one(self, error: Exception) -> None:
        """Write each buffered document alone after an error, so that only the faulty ones fail."""
        self._recover_after(error)
        self._buffer = _apart(self._buffer)
        while self._buffer:
            documents, batch = self._buffer[0]
            try:
                self.publisher.write([batch], index=self._index)
            except IndexReplacedError:
                if not self._follow():
                    raise
                self._buffer = _apart(self._buffer)
            except Exception as failure:
                if hits_every_document(failure):
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

    def _suspect_vectors(self, prepared: Prepared, error: Exception) -> None:
        message = f"its vectors could not be made ({describe_unexpected(error)})"
        self._suspect(prepared, "embed", message, error)

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
            uri, warnings = prepared.draft.state.uri, prepared.draft.document.warnings
            self._note(Finished(uri, prepared.outcome, warnings, prepared.former_uri))
        self._report_suspects()

    def _relabel(self) -> None:
        if not self._relabelled:
            return
        given = {document_id(uri): metadata for uri, metadata in self._relabelled.items()}
        self.publisher.set_metadata(given)
        for uri in self._relabelled:
            self._note(Finished(uri, Outcome.RELABELLED))
        self._relabelled = {}

    def _count_embedded(self, chunks: int, characters: int) -> None:
        self._characters += characters
        self._estimate.note_done(characters)
        self.report.chunks_embedded += chunks
        self._vectors += chunks
        self._report_passages()

    def _note(self, event: Finished | Failed | NotRead) -> None:
        self.handled.add(event.source_uri)
        details = self.report.note(event)
        done = len(self.handled)
        total = max(self._sources, done)
        left, item = self._estimate.seconds, event.source_uri
        self.run.report("documents", done, total, "documents", remaining=left, item=item, **details)

    def _report_passages(self) -> None:
        total = max(self._estimate.passages, self._vectors)
        left = self._estimate.seconds
        self.run.report("passages", self._vectors, total, "chunks", remaining=left)


def _apart(buffer: _Buffer) -> _Buffer:
    """Return each document alone."""
    return [
        ([prepared], replace(batch, drafts=(prepared.draft,)))
        for documents, batch in buffer
        for prepared in documents
    ]
