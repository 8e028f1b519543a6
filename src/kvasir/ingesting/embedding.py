"""Embeds the passages of new versions, and saves what is done every few seconds.

Vectors of complete documents are written to the store. Those of a document that takes longer are
kept in the catalog meanwhile, so that a killed run loses seconds and not a long document.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial

import numpy as np

from kvasir.core.batches import batches
from kvasir.core.errors import KvasirError
from kvasir.core.ledger import Catalog, VersionDraft, passage_hash
from kvasir.core.protocols import Embedder, FixedCalls, VectorStore
from kvasir.core.run import Run
from kvasir.core.types import Chunk, Matrix

_SLICE = 512
"""Chunks in one call to the store."""
_FIRST_CALL = 64
"""Passages in the first call, when the embedder's speed is not known."""
_SMALLEST_CALL = 16
_CALL_SECONDS = 2.0
"""About how long one call of the embedder may take."""


class CallSize:
    """How many passages one call of an embedder gets, so that it takes about two seconds."""

    def __init__(self, most: int, *, fixed: int | None = None) -> None:
        """Begin small, because the embedder's speed is not known; never more than ``most``.

        With ``fixed``, this is the size of every call.
        """
        self._most = most
        self._fixed = fixed
        self.passages = fixed or min(_FIRST_CALL, most)
        self.speed = 0.0
        """Passages a second; 0 while unknown."""

    def measure(self, passages: int, seconds: float) -> None:
        """Set the size by how long a call took."""
        self.speed = passages / max(seconds, 1e-6)
        if self._fixed is None:
            self.passages = min(self._most, max(_SMALLEST_CALL, int(self.speed * _CALL_SECONDS)))


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """Documents with the vectors of all their chunks, to be written.

    The ``vectors`` are by passage hash. Of the chunks, ``reused`` had a vector in the collection,
    and ``repeated`` have the passage of another chunk embedded in the same run.
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


@dataclass
class PassageEmbedder:
    """Embeds passages of one collection; used by one thread.

    Attributes:
        batch_chunks: Most passages in one call of the embedder.
        hold_seconds: Vectors are kept in the catalog after this time.
        on_embedded: Gets the numbers of passages and of their characters after each call.
    """

    embedder: Embedder
    store: VectorStore
    catalog: Catalog
    collection: str
    _: KW_ONLY
    batch_chunks: int = 256
    hold_seconds: float = 3.0
    on_embedded: Callable[[int, int], None] = lambda *_: None
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        embedder = self.embedder
        fixed = embedder.passages_of_call if isinstance(embedder, FixedCalls) else None
        self._size = CallSize(self.batch_chunks, fixed=fixed)
        self._kept: set[str] = set()

    @property
    def call_size(self) -> int:
        """Passages in the next call."""
        return self._size.passages

    def takes_long(self, passages: int) -> bool:
        """Return True if embedding takes longer than vectors may wait to be written."""
        speed = self._size.speed
        return speed > 0 and passages / speed > self.hold_seconds

    def embed(
        self, drafts: Sequence[VersionDraft], buffered: Iterable[EmbeddedBatch] = ()
    ) -> EmbeddedBatch:
        """Return new versions with the vectors of all their chunks; write nothing to the store.

        No document is in ``drafts`` twice. Batches that are ``buffered``, not written yet, give
        their vectors, too. What is embedded before an error or a stop is kept in the catalog.
        """
        passages = [chunk.passage for draft in drafts for chunk in draft.chunks]
        hashes = [passage_hash(passage) for passage in passages]
        wanted = set(hashes)
        made: dict[str, Matrix] = {}
        for other in buffered:
            made.update((key, other.vectors[key]) for key in wanted & other.vectors.keys())
        found = self._reusable_vectors(wanted - made.keys())
        known = made.keys() | found.keys()
        rest = {key: text for key, text in zip(hashes, passages, strict=True) if key not in known}
        made |= self._embed(rest)
        reused = sum(key in found for key in hashes)
        return EmbeddedBatch(drafts, found | made, reused, len(hashes) - reused - len(rest))

    def embed_sound(
        self, drafts: Sequence[VersionDraft]
    ) -> tuple[EmbeddedBatch, dict[str, Exception]]:
        """Embed as ``embed``; after an error of a plug-in each version alone.

        Returns those that could be embedded, and the errors of the others by document id.
        """
        try:
            return self.embed(drafts), {}
        except (KvasirError, MemoryError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
            if len(drafts) == 1:
                return EmbeddedBatch((), {}, 0, 0), {drafts[0].document.id: error}
        sound: list[VersionDraft] = []
        vectors: dict[str, Matrix] = {}
        errors: dict[str, Exception] = {}
        for draft in drafts:
            batch, failed = self.embed_sound([draft])
            sound += batch.drafts
            vectors |= batch.vectors
            errors |= failed
        return EmbeddedBatch(sound, vectors, 0, 0), errors

    def forget(self, written: Iterable[EmbeddedBatch]) -> None:
        """Delete kept vectors that the store has now."""
        if self._kept:
            done = {key for batch in written for key in batch.vectors} & self._kept
            self.catalog.drop_vectors(self.collection, done)
            self._kept -= done

    def close(self) -> None:
        """Delete all kept vectors, after a run that did everything."""
        self.catalog.drop_vectors(self.collection)
        self._kept.clear()

    def _embed(self, texts: Mapping[str, str]) -> dict[str, Matrix]:
        """Embed texts by hash, in calls of about the same duration."""
        keys = list(texts)
        made: dict[str, Matrix] = {}
        unsaved: dict[str, Matrix] = {}
        saved = time.monotonic()
        try:
            while len(made) < len(keys):
                part = keys[len(made) : len(made) + self.call_size]
                started = time.monotonic()
                call = partial(self.embedder.embed_documents, [texts[key] for key in part])
                vectors = dict(zip(part, self.run.call(call), strict=True))
                self._size.measure(len(part), time.monotonic() - started)
                made |= vectors
                unsaved |= vectors
                self.on_embedded(len(part), sum(len(texts[key]) for key in part))
                if time.monotonic() - saved >= self.hold_seconds and len(made) < len(keys):
                    self._keep(unsaved)
                    unsaved, saved = {}, time.monotonic()
        except Exception:
            self._keep(unsaved)
            raise
        return made

    def _keep(self, vectors: Mapping[str, Matrix]) -> None:
        if vectors:
            self.catalog.keep_vectors(self.collection, vectors, self.embedder.fingerprint)
            self._kept |= vectors.keys()

    def _reusable_vectors(self, hashes: set[str]) -> dict[str, Matrix]:
        vectors = dict(self.catalog.kept_vectors(self.collection, hashes))
        self._kept |= vectors.keys()
        candidates = self.catalog.reusable(self.collection, hashes - vectors.keys())
        for part in batches(sorted(set(candidates.values())), _SLICE):
            for chunk, vector in self.store.fetch(part):
                # Use a vector only if its passage in the store is the one that the catalog names.
                key = passage_hash(chunk.passage)
                if key in hashes and np.isfinite(vector).all() and np.any(vector):
                    vectors[key] = vector
        return vectors
