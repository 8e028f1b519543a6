"""Gets the vectors of new versions: reuses those of known passages, embeds the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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

    Attributes:
        vectors: Vectors by passage hash.
        reused: Chunks whose vector was already in the collection.
        repeated: Chunks with the passage of another chunk embedded in the same run.
    """

    drafts: Sequence[VersionDraft]
    vectors: Mapping[str, Matrix] = field(repr=False)
    reused: int
    repeated: int

    def pairs(self) -> Iterator[tuple[Chunk, Matrix]]:
        """Yield each chunk with its vector."""
        for draft in self.drafts:
            for chunk in draft.chunks:
                yield chunk, self.vectors[passage_hash(chunk.passage)]


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

    No document is in ``drafts`` twice. Batches that are ``buffered``, not written yet, give their
    vectors, too. ``on_embedded`` gets the number of passages after each call of the embedder.

    Raises:
        StoppedError: The run was stopped.
    """
    run = run or Run()
    passages = [chunk.passage for draft in drafts for chunk in draft.chunks]
    hashes = [passage_hash(passage) for passage in passages]
    wanted = set(hashes)
    made: dict[str, Matrix] = {}
    for other in buffered:
        made.update((key, other.vectors[key]) for key in wanted & other.vectors.keys())
    found = _reusable_vectors(catalog, store, collection, wanted - made.keys())
    known = made.keys() | found.keys()
    rest = {key: text for key, text in zip(hashes, passages, strict=True) if key not in known}
    for part in batches(list(rest), batch_chunks):
        vectors = run.call(partial(embedder.embed_documents, [rest[key] for key in part]))
        made.update(zip(part, vectors, strict=True))
        on_embedded(len(part))
    reused = sum(key in found for key in hashes)
    return EmbeddedBatch(drafts, found | made, reused, len(hashes) - reused - len(rest))


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
