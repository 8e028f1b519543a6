"""Writes versions of documents to store and catalog so that a crash at any point does no harm.

The steps for a group of documents; each is durable before the next begins:

    1. get all vectors: reuse those of known passages, embed the rest  (nothing is written yet)
    2. catalog: record the new versions as pending, with all their chunk ids
    3. store:   upsert the new chunks, flush                           (has old and new chunks)
    4. catalog: pending becomes live, the old live becomes deleted      (one transaction)
    5. store:   delete the chunks that only deleted versions have, flush
    6. catalog: delete the records of the deleted versions

Between any two steps the catalog knows every chunk id that the store may have. So ``recover`` marks
pending versions as deleted and repeats steps 5 and 6. To delete a document, all its versions are
marked as deleted, then steps 5 and 6 follow.

Several processes may write to one collection. Each has a ``Lease`` and owns the pending and deleted
versions that it made; step 2 waits while another writer owns such versions of one of the documents.
``recover`` takes over only the versions of writers whose lease has ended.

A collection may get another index, by another model, while a publisher has the old one open. The
catalog then refuses the next write, and the publisher goes on with the new index.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from kvasir.core.batches import batches
from kvasir.core.deadline import current_stop
from kvasir.core.document_metadata import check_metadata
from kvasir.core.errors import (
    ChunksLeftError,
    ComponentError,
    DocumentBusyError,
    IndexReplacedError,
    KvasirError,
    NameTakenError,
    RejectedDataError,
    StoppedError,
    StoreIncompleteError,
    WriterConflictError,
)
from kvasir.core.ledger import Catalog, Splitting, VersionDraft, check_embedder, require_collection
from kvasir.core.protocols import Embedder, VectorStore
from kvasir.core.run import Run, StopToken
from kvasir.core.types import Chunk, Metadata
from kvasir.ingesting.embedding import EmbeddedBatch
from kvasir.ingesting.writer_lease import Lease

_SLICE = 512
"""Chunks in one call to the store."""

_RETRY_SECONDS = 0.05
_BUSY_TIMEOUT_SECONDS = 600.0
"""How long a writer waits for another one that is writing the same document."""

_GRACE_SECONDS = 1.0
"""How long a write goes on after a stop: embedded passages are worth keeping."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class CurrentIndex:
    """The index of a collection at one time: ``CollectionRecord.index``, and what belongs to it."""

    index: str
    embedder: Embedder
    store: VectorStore


@dataclass
class Publisher:
    """Writes to one collection; used by one thread.

    Attributes:
        writing: The lock held while writing; all publishers of a store in a process share it.
        lease_seconds: How long this writer's lease lasts after its last heartbeat.
        heartbeat_seconds: Seconds between heartbeats.
        index: ``CollectionRecord.index`` of the store; None is not compared with the record's.
        current: Returns the collection's index of now; without it, a replaced index is an error.
    """

    store: VectorStore
    catalog: Catalog
    collection: str
    writing: threading.Lock = field(default_factory=threading.Lock)
    lease_seconds: float = 30.0
    heartbeat_seconds: float = 10.0
    index: str | None = None
    current: Callable[[], CurrentIndex] | None = None
    _lease: Lease | None = field(default=None, init=False)

    @contextmanager
    def session(self, *, exclusive: bool = False) -> Iterator[None]:
        """Hold one lease for several calls; a call outside of a session gets its own.

        An exclusive one allows no other writer of the collection meanwhile.

        Raises:
            WriterConflictError: Other writers do not allow it.
        """
        if self._lease is not None:
            yield
            return
        span = self.lease_seconds, self.heartbeat_seconds
        with Lease(self.catalog, self.collection, *span, exclusive) as self._lease:
            try:
                yield
            finally:
                self._lease = None

    def _follow(self, replaced: IndexReplacedError) -> None:
        """Write to the collection's index of now; a session goes on."""
        if self.current is None:
            raise replaced
        current = self.current()
        self.index, self.store = current.index, current.store

    @property
    def writer(self) -> str:
        """The id of this writer, within a session."""
        return self._checked_writer()

    def _checked_writer(self) -> str:
        """Return this writer's id; raise WriterConflictError if its lease was taken."""
        if self._lease is None:
            raise RuntimeError("a publisher writes within a session only")
        self._lease.check()
        return self._lease.writer

    def open_collection(self, embedder: Embedder) -> None:
        """Make the collection if it is new; raise WrongEmbedderError if another embedder did."""
        name = self.collection
        record = self.catalog.collection(name)
        if record is None:
            try:
                record = self.catalog.create_collection(
                    name,
                    embedder=embedder.name,
                    dimension=embedder.dimension,
                    fingerprint=embedder.fingerprint,
                )
            except NameTakenError:
                record = self.catalog.collection(name)
                if record is None:
                    raise
                # Another process made it in between.
        check_embedder(record, embedder)

    def remember_splitting(self, splitting: Splitting) -> None:
        """Store with the collection how its documents are split."""
        if require_collection(self.catalog, self.collection).splitting != splitting:
            self.catalog.set_splitting(self.collection, splitting)

    def recover(self) -> int:
        """Take over the unfinished versions of writers whose lease has ended, and clean them up.

        Returns the number of half-written versions; their documents must be ingested again.
        """
        # A run that was stopped recovers, too.
        return self._when_free(self._recover, StopToken())

    def _recover(self) -> int:
        writer = self._checked_writer()
        discarded = self.catalog.discard_pending(self.collection, writer, index=self.index)
        self._purge()
        self._apply_metadata()
        return discarded

    def check_index(self) -> None:
        """Raise IndexReplacedError if the collection has another index."""
        record = require_collection(self.catalog, self.collection)
        if self.index is not None and self.index != record.index:
            raise IndexReplacedError(self.collection)

    def check_complete(self) -> int:
        """Return how many more chunks the store has than the catalog.

        While another writer is active the numbers are not compared, and 0 is returned.

        Raises:
            StoreIncompleteError: The store lacks chunks.
        """
        with self.session(), self.writing:
            expected, counted = self.catalog.chunk_count(self.collection), self.store.count()
            if expected == counted or not self._is_alone():
                return 0
            # Another writer may have started and ended between the two counts.
            expected, counted = self.catalog.chunk_count(self.collection), self.store.count()
            if not self._is_alone():
                return 0
        if counted < expected:
            raise StoreIncompleteError(self.collection, expected, counted)
        return counted - expected

    def _is_alone(self) -> bool:
        return not self.catalog.other_writers(self.collection, self._checked_writer())

    def write(
        self,
        embedded: Sequence[EmbeddedBatch],
        run: Run | None = None,
        *,
        index: str | None = None,
    ) -> None:
        """Make embedded versions live; no document may occur twice.

        The vectors are for the index of that name; None is any.

        Raises:
            StoppedError: The run was stopped, and writing all would take too long. Documents that
                are whole in the store became live; ``recover`` cleans up the others.
            WriterConflictError: This writer's lease was taken; no version became live, and their
                chunks were deleted from the store.
            IndexReplacedError: The collection has another index than the vectors are for, which
                is followed; nothing was written.
        """
        drafts = [draft for batch in embedded for draft in batch.drafts]
        run = run or Run()
        with self.session():

            def write() -> bool:
                if index not in (None, self.index):
                    # The vectors may be for an index that this publisher does not know of yet.
                    self._follow(IndexReplacedError(self.collection))
                is_it = index in (None, self.index)
                if is_it:
                    self._write(drafts, embedded, run)
                return is_it

            try:
                is_written = self._when_free(write, run.stop)
            except DocumentBusyError:
                raise
            except WriterConflictError:
                self._withdraw(drafts)
                raise
            if not is_written:
                raise IndexReplacedError(self.collection)

    def _write(
        self, drafts: Sequence[VersionDraft], embedded: Sequence[EmbeddedBatch], run: Run
    ) -> None:
        self.catalog.begin(self.collection, drafts, self._checked_writer(), index=self.index)
        written = self._already_written(drafts)
        wanted = [
            (chunk, vector)
            for batch in embedded
            for chunk, vector in batch.pairs()
            if written.get(chunk.id) != chunk
        ]
        done, stopped = 0, 0.0
        for part in batches(wanted, _SLICE):
            if run.stop.is_set():
                stopped = stopped or time.monotonic()
                if time.monotonic() >= stopped + _GRACE_SECONDS:
                    break
            matrix = np.stack([vector for _, vector in part]).astype(np.float32, copy=False)
            self._checked_writer()  # Another one may have taken the lease meanwhile.
            self.store.upsert([chunk for chunk, _ in part], matrix)
            done += len(part)
        if done:
            self.store.flush()
        unwritten = {chunk.document_id for chunk, _ in wanted[done:]}
        whole = [draft for draft in drafts if draft.document.id not in unwritten]
        documents = [draft.document.id for draft in whole]
        replaced = [draft.moved_from for draft in whole if draft.moved_from]
        self.catalog.publish(self.collection, documents, self._checked_writer(), replaced)
        self._purge()
        if unwritten:
            raise StoppedError

    def remove(self, document_ids: Sequence[str]) -> int:
        """Delete documents from store and catalog; return the number of deleted ones.

        Raises:
            ChunksLeftError: The store still has chunks of them.
        """

        def remove() -> int:
            known = [i for i in document_ids if self.catalog.document(self.collection, i)]
            writer = self._checked_writer()
            self.catalog.mark_deleted(self.collection, known, writer, index=self.index)
            self._purge(verify=True)
            return len(known)

        return self._when_free(remove)

    def set_metadata(self, given: Mapping[str, Metadata]) -> None:
        """Replace the metadata given for documents, by id; nothing is embedded again.

        Raises:
            RequestError: A field is reserved or a value cannot be kept (``check_metadata``).
            DocumentNotFoundError: There is no such document; nothing was changed then.
        """
        checked = {name: check_metadata(metadata) for name, metadata in given.items()}

        def change() -> None:
            writer = self._checked_writer()
            self.catalog.set_metadata(self.collection, checked, writer, index=self.index)
            self._purge()
            self._apply_metadata()

        self._when_free(change)

    def renew_metadata(self) -> int:
        """Give documents of earlier versions the metadata of this one; return their number."""
        documents = self.catalog.documents(self.collection)
        outdated = {each.id: each.given for each in documents if each.is_outdated}
        for part in batches(list(outdated), _SLICE):
            self.set_metadata({name: outdated[name] for name in part})
        return len(outdated)

    def delete_collection(self) -> None:
        """Delete the collection from store and catalog; can be repeated after an interruption.

        Raises:
            WriterConflictError: Another writer is at work in it; nothing was changed then.
        """
        with self.session(exclusive=True):
            ids = [document.id for document in self.catalog.documents(self.collection)]
            with self.writing:
                writer = self._checked_writer()
                self.catalog.mark_deleted(self.collection, ids, writer, index=self.index)
                self.store.drop()
            # Delete the record last: opening the store needs it.
            self.catalog.delete_collection(self.collection, self._checked_writer())

    def _when_free(self, work: Callable[[], _Result], stop: StopToken | None = None) -> _Result:
        """Call a function; repeat it while another writer has one of its documents in progress.

        Repeat it, too, with the collection's index of now, if that was replaced.

        Raises:
            StoppedError: The token, by default that of the call, was set while it waited.
        """
        stop = stop or current_stop() or StopToken()
        deadline = time.monotonic() + _BUSY_TIMEOUT_SECONDS
        with self.session():
            while True:
                with self.writing:
                    try:
                        try:
                            return work()
                        except DocumentBusyError:
                            if time.monotonic() > deadline:
                                raise
                            self._recover()
                    except IndexReplacedError as error:
                        if time.monotonic() > deadline:
                            raise
                        self._follow(error)
                if stop.wait(_RETRY_SECONDS):
                    raise StoppedError

    def _withdraw(self, drafts: Sequence[VersionDraft]) -> None:
        """Delete chunks that were written to the store after another writer took the lease.

        The drafts are recorded as pending and discarded under a new lease. This deletes only
        chunks that no other version of the documents has.
        """
        again = replace(self)

        def withdraw() -> None:
            writer = again._checked_writer()
            again.catalog.begin(again.collection, drafts, writer, index=again.index)
            again._recover()

        # The chunks of an index that was replaced go with it.
        with suppress(IndexReplacedError):
            again._when_free(withdraw)

    def _already_written(self, drafts: Sequence[VersionDraft]) -> dict[str, Chunk]:
        """Return the stored chunks that the old versions share with the new ones."""
        shared: list[str] = []
        for draft in drafts:
            new = {chunk.id for chunk in draft.chunks}
            old = self.catalog.chunks(self.collection, draft.document.id)
            shared.extend(record.id for record in old if record.id in new)
        return {
            chunk.id: chunk
            for part in batches(shared, _SLICE)
            for chunk, vector in self.store.fetch(part)
            if np.isfinite(vector).all()
        }

    def _purge(self, *, verify: bool = False) -> None:
        stale = self.catalog.stale_chunks(self.collection, self._checked_writer())
        for part in batches(stale, _SLICE):
            self.store.delete(part)
            left = len(self.store.fetch(part)) if verify else 0
            if left:
                name = type(self.store).__name__
                raise ChunksLeftError(name, "delete", f"{left} chunks are still there")
        if stale:
            self.store.flush()
        self.catalog.purge(self.collection, self._checked_writer())

    def _apply_metadata(self) -> None:
        updates = self.catalog.pending_metadata_updates(self.collection, self._checked_writer())
        for update in updates:
            for part in batches(update.chunk_ids, _SLICE):
                self.store.set_metadata(part, update.metadata)
        if updates:
            self.store.flush()
            documents = [update.document_id for update in updates]
            self.catalog.mark_metadata_applied(self.collection, documents, self._checked_writer())


def hits_every_document(error: Exception) -> bool:
    """Return True if an error affects every document, such as a broken database."""
    if isinstance(error, ComponentError):
        return error.component == "catalog" and not isinstance(error, RejectedDataError)
    return isinstance(error, (KvasirError, MemoryError, OSError))
