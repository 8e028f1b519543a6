"""Writes versions of documents to store and catalog so that a crash at any point does no harm.

The order for a group of documents, each step durable before the next:

    1. vectors are complete: reused by passage, the rest embedded      (nothing is written yet)
    2. catalog: the new versions are pending, with all their chunk ids
    3. store:   upsert of the new chunks, flush                         (old and new stand there)
    4. catalog: pending becomes live, the old live becomes deleted      (one transaction)
    5. store:   delete the chunks of deleted versions that the live one lacks, flush
    6. catalog: forget the deleted versions

Between any two steps the catalog knows every chunk id that the store may hold, so ``recover``
needs nothing else: what is pending becomes deleted, then steps 5 and 6 are done again. Deleting
a document is: all of its versions become deleted, then steps 5 and 6.

Several processes may write to one collection. Each has a lease (``ingesting.leases``) and owns the
versions that it has pending or deleted; step 2 waits while another writer has such versions of one
of the documents. ``recover`` takes over only what a writer whose lease ended left behind.
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
"""How long a writer's lease lasts after its last heartbeat, and seconds between heartbeats."""

_RETRY_SECONDS = 0.05
_PATIENCE_SECONDS = 600.0
"""How long a writer waits for another one that has the same document in progress."""

_Result = TypeVar("_Result")


class Publisher:
    """Everything that writes to one collection, for one thread.

    Those of one process that write to the same store share a lock.
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
            batch_chunks: How many passages are embedded at once.
            writing: Held while something is written; shared by all publishers of a store.
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
        """Hold one lease for several calls; each call outside of a session has its own.

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
        """Take over and clean up what writers whose lease ended left behind.

        Returns:
            The number of half-written versions; their documents are to be ingested again.
        """
        with self.session(), self._writing:
            return self._recover()

    def _recover(self) -> int:
        discarded = self._catalog.discard_pending(self._collection, self._writer)
        self._purge()
        self._apply_metadata()
        return discarded

    def check_complete(self) -> int:
        """Compare the numbers of chunks in catalog and store, where nobody else is writing.

        Returns:
            How many chunks the store has beyond the catalog's; 0 while another writer is active.

        Raises:
            StoreIncompleteError: The store lacks chunks.
        """
        with self.session(), self._writing:
            expected, counted = self._catalog.chunk_count(self._collection), self._store.count()
            if expected == counted or not self._is_alone():
                return 0
            # Another writer may have come and gone between the two counts.
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
        """Complete the vectors of new versions, reused by passage or made; write nothing.

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
        """Make new versions live, whose vectors are complete; no document twice.

        Raises:
            WriterConflictError: This writer's lease was taken; nothing of it is live or left.
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
        """Delete documents from store and catalog, and make sure that they are gone.

        Returns:
            How many of them there were.

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
        """Delete the collection with everything in it from store and catalog.

        After an interruption, doing it again does the rest.

        Raises:
            WriterConflictError: Another writer is at work in it; nothing was changed then.
        """
        with self.session(exclusive=True):
            ids = [document.id for document in self._catalog.documents(self._collection)]
            with self._writing:
                self._catalog.mark_deleted(self._collection, ids, self._writer)
                self._store.drop()
            # Last, because opening the store needs the record.
            self._catalog.delete_collection(self._collection, self._writer)

    def _when_free(self, work: Callable[[], _Result]) -> _Result:
        """Do something as soon as no other writer has the same documents in progress."""
        give_up = time.monotonic() + _PATIENCE_SECONDS
        while True:
            with self._writing:
                try:
                    return work()
                except DocumentBusyError:
                    if time.monotonic() > give_up:
                        raise
                    self._recover()
            time.sleep(_RETRY_SECONDS)

    def _withdraw(self, drafts: Sequence[VersionDraft]) -> None:
        """Delete what was written to the store after another writer took the lease.

        The drafts are recorded as pending and taken back, under a new lease: so their chunks are
        deleted where no version of the document has them, whoever writes it meanwhile.
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
