"""Gets the vectors of new versions: reuses those of known passages, embeds the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from kvasir.core.batches import batches
from kvasir.core.ledger import Catalog, VersionDraft, passage_hash
from kvasir.core.protocols import Embedder, VectorStore
from kvasir.core.run import Run
from kvasir.core.types import Chunk, Matrix

_SLICE = 512
"""Chunks in one call to the store."""


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """Documents with the vectors of all their chunks, to be written.

    ``embedded + reused + repeated`` is the number of chunks.

    Attributes:
        drafts: The documents.
        chunks: All their chunks, in the order of ``drafts``.
        hashes: The passage hash of each chunk.
        vectors: Vectors by passage hash.
        embedded: Passages that were embedded.
        reused: Chunks whose vector was already in the collection.
        repeated: Chunks with the passage of another chunk embedded in the same run.
        seconds: Time to get the vectors.
    """

    drafts: Sequence[VersionDraft]
    chunks: Sequence[Chunk]
    hashes: Sequence[str]
    vectors: Mapping[str, Matrix] = field(repr=False)
    embedded: int
    reused: int
    repeated: int
    seconds: float

    def by_document(self) -> Iterator[EmbeddedBatch]:
        """Yield a batch for each document."""
        start = 0
        for draft in self.drafts:
            end = start + len(draft.chunks)
            chunks, hashes = self.chunks[start:end], self.hashes[start:end]
            yield replace(self, drafts=(draft,), chunks=chunks, hashes=hashes)
            start = end


def complete_vectors(
    catalog: Catalog,
    store: VectorStore,
    embedder: Embedder,
    collection: str,
    drafts: Sequence[VersionDraft],
    *,
    batch_chunks: int = 256,
    on_embedded: Callable[[int], None] = lambda _: None,
    buffered: Iterable[EmbeddedBatch] = (),
    run: Run | None = None,
) -> EmbeddedBatch:
    """Return new versions with the vectors of all their chunks; write nothing.

    Args:
        catalog: The ledger.
        store: The collection's store.
        embedder: The collection's embedder.
        collection: The collection's name.
        drafts: One for each document, no document twice.
        batch_chunks: Passages to embed in one call.
        on_embedded: Called with the number of passages after each call.
        buffered: Batches that are not written yet; their vectors are reused, too.
        run: Stops it, also in the middle of a call.

    Raises:
        StoppedError: The run was stopped.
    """
    run = run or Run()
    started = time.perf_counter()
    chunks = [chunk for draft in drafts for chunk in draft.chunks]
    hashes = [passage_hash(chunk.passage) for chunk in chunks]
    wanted = set(hashes)
    made: dict[str, Matrix] = {}
    for other in buffered:
        made.update((key, other.vectors[key]) for key in wanted & other.vectors.keys())
    found = _reusable_vectors(catalog, store, collection, wanted - made.keys())
    rest = {
        key: chunk.passage
        for key, chunk in zip(hashes, chunks, strict=True)
        if key not in made and key not in found
    }
    for part in batches(list(rest), batch_chunks):
        vectors = run.call(partial(embedder.embed_documents, [rest[key] for key in part]))
        made.update(zip(part, vectors, strict=True))
        on_embedded(len(part))
    reused = sum(key in found for key in hashes)
    return EmbeddedBatch(
        drafts,
        chunks,
        hashes,
        {**found, **made},
        embedded=len(rest),
        reused=reused,
        repeated=len(chunks) - reused - len(rest),
        seconds=time.perf_counter() - started,
    )


def _reusable_vectors(
    catalog: Catalog, store: VectorStore, collection: str, hashes: set[str]
) -> dict[str, Matrix]:
    candidates = catalog.reusable(collection, hashes)
    vectors: dict[str, Matrix] = {}
    for part in batches(sorted(set(candidates.values())), _SLICE):
        for chunk, vector in store.fetch(part):
            # Use a vector only if its passage in the store is the one that the catalog names.
            key = passage_hash(chunk.passage)
            if key in hashes and np.isfinite(vector).all() and np.any(vector):
                vectors[key] = vector
    return vectors
