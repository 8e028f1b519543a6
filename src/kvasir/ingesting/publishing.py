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

Several processes may write to one collection. Each has a lease (``ingesting.leases``) and owns the
pending and deleted versions that it made; step 2 waits while another writer owns such versions of
one of the documents. ``recover`` takes over only the versions of writers whose lease has ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from kvasir.core.batches import batches
from kvasir.core.errors import (
    ChunksLeftError,
    DocumentBusyError,
    NameTakenError,
    StoreIncompleteError,
    WriterConflictError,
)
from kvasir.core.ledger import Catalog, VersionDraft, check_embedder, check_metadata
from kvasir.core.protocols import Embedder, VectorStore
from kvasir.core.run import Run
from kvasir.core.types import Chunk, Metadata
from kvasir.ingesting.embedding import EmbeddedBatch, complete_vectors
from kvasir.ingesting.leases import Lease

_SLICE = 512
"""Chunks in one call to the store."""

LEASE_SECONDS, HEARTBEAT_SECONDS = 30.0, 10.0
"""Seconds that a lease lasts after the last heartbeat; seconds between heartbeats."""

_RETRY_SECONDS = 0.05
_BUSY_TIMEOUT_SECONDS = 600.0
"""How long a writer waits for another one that is writing the same document."""

_Result = TypeVar("_Result")


class Publisher:
    """Writes to one collection; used by one thread.

    All publishers of one store in a process share a lock.
    """

    def __init__(
        self,
        store: VectorStore,
        catalog: Catalog,
        embedder: Embedder | None,
        collection: str,
        batch_chunks: int = 256,
        writing: threading.Lock | None = None,
        *,
        lease_seconds: float = LEASE_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Make a publisher; nothing is read or written yet.

        Args:
            store: The collection's store.
            catalog: The ledger.
            embedder: The collection's; None where documents are only deleted or relabelled.
            collection: The collection's name.
            batch_chunks: Passages to embed in one call.
            writing: The lock held while writing; shared by all publishers of a store.
            lease_seconds: How long this writer's lease lasts after its last heartbeat.
            heartbeat_seconds: Seconds between heartbeats.
        """
        self._store = store
        self._catalog = catalog
        self._embedder = embedder
        self._collection = collection
        self._batch_chunks = batch_chunks
        self._writing = writing or threading.Lock()
        self._lease_seconds = lease_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._lease: Lease | None = None

    @contextmanager
    def session(self, *, exclusive: bool = False) -> Iterator[None]:
        """Hold one lease for several calls; a call outside of a session gets its own.

        Args:
            exclusive: Allow no other writer of the collection meanwhile.

        Raises:
            WriterConflictError: Other writers do not allow it.
        """
        if self._lease is not None:
            yield
            return
        lease = Lease(
            self._catalog,
            self._collection,
            seconds=self._lease_seconds,
            heartbeat_seconds=self._heartbeat_seconds,
            exclusive=exclusive,
        )
        with lease:
            self._lease = lease
            try:
                yield
            finally:
                self._lease = None

    @property
    def _writer(self) -> str:
        if self._lease is None:
            raise RuntimeError("a publisher writes within a session only")
        self._lease.check()
        return self._lease.writer

    def open_collection(self) -> None:
        """Make the collection if it is new.

        Raises:
            WrongEmbedderError: Another embedder made it.
        """
        name, embedder = self._collection, self._needed_embedder()
        record = self._catalog.collection(name)
        if record is None:
            try:
                record = self._catalog.create_collection(
                    name,
                    embedder=embedder.name,
                    dimension=embedder.dimension,
                    fingerprint=embedder.fingerprint,
                )
            except NameTakenError:
                record = self._catalog.collection(name)
                if record is None:
                    raise
                # Another process made it in between.
        check_embedder(record, embedder)

    def recover(self) -> int:
        """Take over the unfinished versions of writers whose lease has ended, and clean them up.

        Returns:
            The number of half-written versions; their documents must be ingested again.
        """
        with self.session(), self._writing:
            return self._recover()

    def _recover(self) -> int:
        discarded = self._catalog.discard_pending(self._collection, self._writer)
        self._purge()
        self._apply_metadata()
        return discarded

    def check_complete(self) -> int:
        """Compare the numbers of chunks in catalog and store, unless another writer is active.

        Returns:
            How many more chunks the store has than the catalog; 0 while another writer is active.

        Raises:
            StoreIncompleteError: The store lacks chunks.
        """
        with self.session(), self._writing:
            expected, counted = self._catalog.chunk_count(self._collection), self._store.count()
            if expected == counted or not self._is_alone():
                return 0
            # Another writer may have started and ended between the two counts.
            expected, counted = self._catalog.chunk_count(self._collection), self._store.count()
            if not self._is_alone():
                return 0
        if counted < expected:
            raise StoreIncompleteError(self._collection, expected, counted)
        return counted - expected

    def _is_alone(self) -> bool:
        return not self._catalog.other_writers(self._collection, self._writer)

    def publish(self, drafts: Sequence[VersionDraft]) -> EmbeddedBatch:
        """Make new versions of documents live, in place of their old ones.

        Args:
            drafts: One for each document, no document twice.
        """
        batch = self.embed(drafts)
        self.write([batch])
        return batch

    def embed(
        self,
        drafts: Sequence[VersionDraft],
        on_embedded: Callable[[int], None] = lambda _: None,
        buffered: Sequence[EmbeddedBatch] = (),
        run: Run | None = None,
    ) -> EmbeddedBatch:
        """Return new versions with the vectors of all their chunks; write nothing.

        Args:
            drafts: One for each document, no document twice.
            on_embedded: Called with the number of passages after each batch.
            buffered: Batches that are not written yet; their vectors are reused, too.
            run: Stops it, also in the middle of a batch.

        Raises:
            StoppedError: The run was stopped.
        """
        return complete_vectors(
            self._catalog,
            self._store,
            self._needed_embedder(),
            self._collection,
            drafts,
            batch_chunks=self._batch_chunks,
            on_embedded=on_embedded,
            buffered=buffered,
            run=run or Run(),
        )

    def write(self, embedded: Sequence[EmbeddedBatch]) -> None:
        """Make embedded versions live; no document may occur twice.

        Raises:
            WriterConflictError: This writer's lease was taken; no version became live, and their
                chunks were deleted from the store.
        """
        drafts = [draft for batch in embedded for draft in batch.drafts]
        with self.session():
            try:
                self._when_free(lambda: self._write(drafts, embedded))
            except DocumentBusyError:
                raise
            except WriterConflictError:
                self._withdraw(drafts)
                raise

    def _write(self, drafts: Sequence[VersionDraft], embedded: Sequence[EmbeddedBatch]) -> None:
        self._catalog.begin(self._collection, drafts, self._writer)
        written = self._already_written(drafts)
        wanted = [
            (chunk, batch.vectors[key])
            for batch in embedded
            for chunk, key in zip(batch.chunks, batch.hashes, strict=True)
            if written.get(chunk.id) != chunk
        ]
        for part in batches(wanted, _SLICE):
            matrix = np.stack([vector for _, vector in part]).astype(np.float32, copy=False)
            self._check_lease()
            self._store.upsert([chunk for chunk, _ in part], matrix)
        if wanted:
            self._store.flush()
        documents = [draft.document.id for draft in drafts]
        self._catalog.publish(self._collection, documents, self._writer)
        self._purge()

    def remove(self, document_ids: Sequence[str]) -> int:
        """Delete documents from store and catalog, and verify that the store has no chunk left.

        Returns:
            The number of deleted documents.

        Raises:
            ComponentError: The store still has chunks of them.
        """

        def remove() -> int:
            known = [i for i in document_ids if self._catalog.document(self._collection, i)]
            self._catalog.mark_deleted(self._collection, known, self._writer)
            self._purge(verify=True)
            return len(known)

        with self.session():
            return self._when_free(remove)

    def set_metadata(self, given: Mapping[str, Metadata]) -> None:
        """Replace the metadata given for documents, by id; nothing is embedded again.

        Raises:
            RequestError: A field is reserved or a value is not text, a number or a truth value.
            DocumentNotFoundError: There is no such document; nothing was changed then.
        """
        for metadata in given.values():
            check_metadata(metadata)

        def change() -> None:
            self._catalog.set_metadata(self._collection, given, self._writer)
            self._purge()
            self._apply_metadata()

        with self.session():
            self._when_free(change)

    def delete_collection(self) -> None:
        """Delete the collection from store and catalog; can be repeated after an interruption.

        Raises:
            WriterConflictError: Another writer is at work in it; nothing was changed then.
        """
        with self.session(exclusive=True):
            ids = [document.id for document in self._catalog.documents(self._collection)]
            with self._writing:
                self._catalog.mark_deleted(self._collection, ids, self._writer)
                self._store.drop()
            # Delete the record last: opening the store needs it.
            self._catalog.delete_collection(self._collection, self._writer)

    def _when_free(self, work: Callable[[], _Result]) -> _Result:
        """Call a function; repeat it while another writer has one of its documents in progress."""
        deadline = time.monotonic() + _BUSY_TIMEOUT_SECONDS
        while True:
            with self._writing:
                try:
                    return work()
                except DocumentBusyError:
                    if time.monotonic() > deadline:
                        raise
                    self._recover()
            time.sleep(_RETRY_SECONDS)

    def _withdraw(self, drafts: Sequence[VersionDraft]) -> None:
        """Delete chunks that were written to the store after another writer took the lease.

        The drafts are recorded as pending and discarded under a new lease. This deletes only
        chunks that no other version of the documents has.
        """
        again = Publisher(
            self._store,
            self._catalog,
            None,
            self._collection,
            writing=self._writing,
            lease_seconds=self._lease_seconds,
            heartbeat_seconds=self._heartbeat_seconds,
        )

        def withdraw() -> None:
            again._catalog.begin(again._collection, drafts, again._writer)
            again._recover()

        with again.session():
            again._when_free(withdraw)

    def _check_lease(self) -> None:
        if self._lease is not None:
            self._lease.check()

    def _already_written(self, drafts: Sequence[VersionDraft]) -> dict[str, Chunk]:
        """Return the stored chunks that the old versions share with the new ones."""
        shared: list[str] = []
        for draft in drafts:
            new = {chunk.id for chunk in draft.chunks}
            old = self._catalog.chunks(self._collection, draft.document.id)
            shared.extend(record.id for record in old if record.id in new)
        return {
            chunk.id: chunk
            for part in batches(shared, _SLICE)
            for chunk, vector in self._store.fetch(part)
            if np.isfinite(vector).all()
        }

    def _purge(self, *, verify: bool = False) -> None:
        stale = self._catalog.stale_chunks(self._collection, self._writer)
        for part in batches(stale, _SLICE):
            self._store.delete(part)
            left = len(self._store.fetch(part)) if verify else 0
            if left:
                name = type(self._store).__name__
                raise ChunksLeftError(name, "delete", f"{left} chunks are still there")
        if stale:
            self._store.flush()
        self._catalog.purge(self._collection, self._writer)

    def _apply_metadata(self) -> None:
        updates = self._catalog.pending_metadata_updates(self._collection, self._writer)
        for update in updates:
            for part in batches(update.chunk_ids, _SLICE):
                self._store.set_metadata(part, update.metadata)
        if updates:
            self._store.flush()
            documents = [update.document_id for update in updates]
            self._catalog.mark_metadata_applied(self._collection, documents, self._writer)

    def _needed_embedder(self) -> Embedder:
        if self._embedder is None:
            raise RuntimeError("this publisher was made to delete and relabel only")
        return self._embedder
