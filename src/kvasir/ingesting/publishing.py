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
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kvasir.core.batches import batches
from kvasir.core.errors import CollectionError, ComponentError, UserError
from kvasir.core.ledger import RESERVED_METADATA, CollectionRecord, VersionDraft, passage_hash
from kvasir.core.protocols import Catalog, Embedder, VectorStore
from kvasir.core.types import Chunk, Matrix, Metadata, Progress

_SLICE = 512
"""Chunks in one call to the store."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Documents whose vectors are complete; nothing of them is written yet.

    Every chunk counts once: ``embedded + reused + repeated`` is the number of chunks.

    Attributes:
        drafts: The documents.
        chunks: All of their chunks.
        hashes: The hash of each one's passage.
        vectors: By the hash of the passage.
        embedded: Passages that were embedded.
        reused: Chunks whose vector was taken over from the collection.
        repeated: Chunks whose passage was embedded just before, for another chunk.
        seconds: Seconds of finding and making vectors.
    """

    drafts: Sequence[VersionDraft]
    chunks: Sequence[Chunk]
    hashes: Sequence[str]
    vectors: Mapping[str, Matrix] = field(repr=False)
    embedded: int
    reused: int
    repeated: int
    seconds: float

    def apart(self) -> Iterator[Ready]:
        """Yield each document for itself."""
        start = 0
        for draft in self.drafts:
            end = start + len(draft.chunks)
            chunks, hashes = self.chunks[start:end], self.hashes[start:end]
            yield replace(self, drafts=(draft,), chunks=chunks, hashes=hashes)
            start = end


class Publisher:
    """Everything that writes to one collection; safe to call from several threads.

    There is one for a store, or several that share a lock: what another one is about to
    publish would look interrupted.
    """

    def __init__(
        self,
        store: VectorStore,
        catalog: Catalog,
        embedder: Embedder | None,
        collection: str,
        batch_chunks: int = 256,
        writing: threading.Lock | None = None,
    ) -> None:
        """Makes a publisher; nothing is read or written yet.

        Args:
            store: The collection's store.
            catalog: The ledger.
            embedder: The collection's; None where documents are only deleted or relabelled.
            collection: The collection's name.
            batch_chunks: How many passages are embedded at once.
            writing: Held while something is written; shared by all publishers of a store.
        """
        self._store = store
        self._catalog = catalog
        self._embedder = embedder
        self._collection = collection
        self._batch_chunks = batch_chunks
        self._writing = writing or threading.Lock()

    def open_collection(self) -> None:
        """Makes the collection if it is new.

        Raises:
            CollectionError: Another embedder made it.
        """
        name, embedder = self._collection, self._needed_embedder()
        record = self._catalog.collection(name)
        if record is not None:
            check_embedder(record, embedder)
            return
        self._catalog.create_collection(
            name,
            embedder=embedder.name,
            dimension=embedder.dimension,
            fingerprint=embedder.fingerprint,
        )

    def recover(self) -> int:
        """Puts right what an interrupted run left.

        Returns:
            How many versions were half-written; their documents are to be ingested again.
        """
        with self._writing:
            abandoned = self._catalog.abandon(self._collection)
            self._sweep()
            self._stamp()
        return abandoned

    def check_count(
        self,
        restore: Callable[[Progress], int] | None,
        on_progress: Progress = lambda stage, done, total: None,
    ) -> tuple[int, int]:
        """Compares how many chunks catalog and store have, and gives back what the store lost.

        Args:
            restore: Writes what the store lacks, and returns how many chunks that were.
            on_progress: Told how far that is.

        Returns:
            How many chunks were written again, and how many the store has that no document
            has; those are left alone.

        Raises:
            UserError: The store lacks chunks, and there is nothing to restore them with.
        """
        with self._writing:
            expected, counted = self._catalog.chunk_count(self._collection), self._store.count()
            if counted >= expected:
                return 0, counted - expected
            if restore is None:
                raise UserError(
                    f"the store of collection '{self._collection}' has {counted} chunks and the "
                    f"catalog {expected}: run 'kvasir doctor --repair', then ingest again"
                )
            restored = restore(on_progress)
            self._store.flush()
            return restored, max(0, self._store.count() - expected)

    def publish(self, drafts: Sequence[VersionDraft]) -> Ready:
        """Makes new versions of documents live, in place of their old ones.

        Args:
            drafts: One for each document, no document twice.
        """
        ready = self.embed(drafts)
        self.write([ready])
        return ready

    def embed(
        self,
        drafts: Sequence[VersionDraft],
        on_embedded: Callable[[int], None] = lambda _: None,
        waiting: Sequence[Ready] = (),
    ) -> Ready:
        """Completes the vectors of new versions, reused by passage or made; writes nothing.

        Args:
            drafts: One for each document, no document twice.
            on_embedded: Called with a number of passages whenever so many more were embedded.
            waiting: What was embedded and is not written yet; its vectors are taken over, too.
        """
        started = time.perf_counter()
        embedder = self._needed_embedder()
        chunks = [chunk for draft in drafts for chunk in draft.chunks]
        hashes = [passage_hash(chunk.passage) for chunk in chunks]
        wanted = set(hashes)
        made: dict[str, Matrix] = {}
        for other in waiting:
            made.update((key, other.vectors[key]) for key in wanted & other.vectors.keys())
        found = self._reusable_vectors(wanted - made.keys())
        rest = {
            key: chunk.passage
            for key, chunk in zip(hashes, chunks, strict=True)
            if key not in made and key not in found
        }
        for part in batches(list(rest), self._batch_chunks):
            vectors = embedder.embed_documents([rest[key] for key in part])
            made.update(zip(part, vectors, strict=True))
            on_embedded(len(part))
        reused = sum(key in found for key in hashes)
        return Ready(
            drafts,
            chunks,
            hashes,
            {**found, **made},
            embedded=len(rest),
            reused=reused,
            repeated=len(chunks) - reused - len(rest),
            seconds=time.perf_counter() - started,
        )

    def write(self, ready: Sequence[Ready]) -> None:
        """Makes new versions live, whose vectors are complete; no document twice."""
        drafts = [draft for one in ready for draft in one.drafts]
        with self._writing:
            written = self._already_written(drafts)
            self._catalog.begin(self._collection, drafts)
            wanted = [
                (chunk, one.vectors[key])
                for one in ready
                for chunk, key in zip(one.chunks, one.hashes, strict=True)
                if written.get(chunk.id) != chunk
            ]
            for part in batches(wanted, _SLICE):
                matrix = np.stack([vector for _, vector in part]).astype(np.float32, copy=False)
                self._store.upsert([chunk for chunk, _ in part], matrix)
            if wanted:
                self._store.flush()
            self._catalog.publish(self._collection, [draft.document.id for draft in drafts])
            self._sweep()

    def remove(self, document_ids: Sequence[str]) -> int:
        """Deletes documents from store and catalog, and makes sure that they are gone.

        Returns:
            How many of them there were.

        Raises:
            ComponentError: The store still has chunks of them.
        """
        with self._writing:
            known = [i for i in document_ids if self._catalog.document(self._collection, i)]
            self._catalog.retire(self._collection, known)
            self._sweep(verify=True)
        return len(known)

    def set_metadata(self, given: Mapping[str, Metadata]) -> None:
        """Replaces the metadata given for documents, by id; nothing is embedded again.

        Raises:
            UserError: A field is reserved or a value is not text, a number or a truth value.
            CollectionError: There is no such document; nothing was changed then.
        """
        for metadata in given.values():
            check_metadata(metadata)
        with self._writing:
            self._catalog.set_metadata(self._collection, given)
            self._stamp()

    def _reusable_vectors(self, hashes: set[str]) -> dict[str, Matrix]:
        candidates = self._catalog.reusable(self._collection, hashes)
        vectors: dict[str, Matrix] = {}
        for part in batches(sorted(set(candidates.values())), _SLICE):
            for chunk, vector in self._store.fetch(part):
                # What the store holds is believed only where it is what the catalog says.
                key = passage_hash(chunk.passage)
                if key in hashes and np.isfinite(vector).all() and np.any(vector):
                    vectors[key] = vector
        return vectors

    def _already_written(self, drafts: Sequence[VersionDraft]) -> dict[str, Chunk]:
        """Returns the stored chunks that the old versions share with the new ones."""
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

    def _sweep(self, *, verify: bool = False) -> None:
        stale = self._catalog.stale_chunks(self._collection)
        for part in batches(stale, _SLICE):
            self._store.delete(part)
            left = len(self._store.fetch(part)) if verify else 0
            if left:
                raise ComponentError(
                    type(self._store).__name__,
                    "delete",
                    f"{left} chunks are still there; run 'kvasir doctor --repair'",
                )
        if stale:
            self._store.flush()
        self._catalog.sweep(self._collection)

    def _stamp(self) -> None:
        stamps = self._catalog.unstamped(self._collection)
        for stamp in stamps:
            for part in batches(stamp.chunk_ids, _SLICE):
                self._store.set_metadata(part, stamp.metadata)
        if stamps:
            self._store.flush()
            self._catalog.stamped(self._collection, [stamp.document_id for stamp in stamps])

    def _needed_embedder(self) -> Embedder:
        if self._embedder is None:
            raise RuntimeError("this publisher was made to delete and relabel only")
        return self._embedder


def check_metadata(given: Metadata) -> None:
    """Checks metadata that a caller gives.

    Raises:
        UserError: A field is reserved or a value is not text, a finite number or a truth value.
    """
    for name, value in given.items():
        if name in RESERVED_METADATA:
            raise UserError(f"metadata field '{name}' is filled by Kvasir: use another name")
        usable = isinstance(value, (str, int, float, bool))
        if not name or not usable or (isinstance(value, float) and not math.isfinite(value)):
            raise UserError(
                f"metadata field '{name}' must be text, a finite number or true/false, "
                f"not {value!r}"
            )


def check_embedder(record: CollectionRecord, embedder: Embedder) -> None:
    """Checks that an embedder's vectors can be compared with those of a collection.

    Raises:
        CollectionError: They cannot; names the models and what to do.
    """
    if record.fingerprint == embedder.fingerprint:
        return
    made = f"collection '{record.name}' was made with the embedding model '{record.embedder}'"
    if record.embedder != embedder.name:
        raise CollectionError(
            f"{made} ({record.dimension} dimensions), but the settings name '{embedder.name}' "
            f"({embedder.dimension} dimensions): set rag.embedding_model back, ingest into "
            "another --collection, or delete this one with 'kvasir collections delete' and "
            "ingest again"
        )
    raise CollectionError(
        f"{made}, which the settings name too, but with other options or weights: set "
        "rag.embedding_model.options (max_tokens, prompts) back to what they were, or the "
        "model's files; or ingest into another --collection"
    )
