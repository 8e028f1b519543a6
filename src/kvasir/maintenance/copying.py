"""Copies a collection from one store to another, vectors as they are, and proves it.

A chunk's seal is what both stores must agree on: a digest of its id, text, span, headings and
metadata (types included), and a few projections of its vector. Projections rather than rounded
numbers, because a store may change a vector's last digits, and then rounding, wherever its
borders are, makes some of millions of equal numbers different ones
(docs/decisions/0016-moving-collections.md).

A copy that was interrupted goes on: chunks that are in the target with the same seal are left
as they are. At the end the whole target is read and every seal is compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np

from kvasir.core.protocols import Optimizable, VectorStore
from kvasir.core.reports import CopyReport
from kvasir.core.run import Run
from kvasir.core.types import Chunk, Matrix
from kvasir.core.wire import dumps

COPYING, CHECKING, BUILDING = "copying", "checking", "building the search graph"

_BATCH = 500
_DIGEST_BYTES = 16
_PROJECTIONS = 4
_VECTOR_TOLERANCE = 2e-3
"""How far each projection may be off. Keeping a vector in half precision moves it by 3e-4; a
vector at a cosine of 0.999 to the right one is 0.04 off in the mean."""

Pair = tuple[Chunk, Matrix]


def copy_chunks(
    source: VectorStore,
    target: VectorStore,
    *,
    exact: bool = False,
    run: Run | None = None,
) -> CopyReport:
    """Copy all chunks with their vectors, and compare the stores afterwards.

    The run is stopped between two batches; what is written stays, and the next copy goes on from
    there.

    Args:
        source: Where the chunks are.
        target: Where they are to be; of the same dimension.
        exact: Delete what the target has and the source has not.
        run: Stops the copy, and is told between batches how many chunks are done.

    Raises:
        StoppedError: The run was stopped.
        ComponentError: A store failed.
    """
    run = run or Run()
    started = perf_counter()
    sealer = _Sealer(source.dimension)
    total, written = source.count(), 0
    seals: dict[str, bytes] = {}
    resuming = target.count() > 0
    run.step(COPYING, 0, total, "chunks")
    for batch in source.scroll(batch_size=_BATCH):
        sealed = sealer.seal(batch)
        there = sealer.seal(target.fetch(list(sealed))) if resuming else {}
        due = [pair for pair in batch if not _agree(sealed[pair[0].id], there.get(pair[0].id))]
        if due:
            target.upsert([chunk for chunk, _ in due], np.stack([vector for _, vector in due]))
        written += len(due)
        seals.update(sealed)
        run.step(COPYING, len(seals), max(total, len(seals)), "chunks")
    digests, extra, faulty = _check(target, seals, sealer, run)
    removed = extra if exact else []
    for start in range(0, len(removed), _BATCH):
        run.check()
        target.delete(removed[start : start + _BATCH])
    if isinstance(target, Optimizable):
        run.report(BUILDING, 0, 1)
        target.optimize(wait=True, stop=run.stop)
        run.report(BUILDING, 1, 1)
    return CopyReport(
        chunks=len(seals),
        written=written,
        kept=len(seals) - written,
        extra=tuple(extra),
        removed=len(removed),
        faulty=tuple(faulty),
        counted=target.count(),
        changed=source.count() != len(seals),
        checksum=_checksum(seals.values()),
        target_checksum=digests,
        seconds=perf_counter() - started,
    )


def _check(
    target: VectorStore, seals: Mapping[str, bytes], sealer: _Sealer, run: Run
) -> tuple[str, list[str], list[str]]:
    """Read the target; return its checksum, its extra chunks and its faulty ones."""
    found: dict[str, bytes] = {}
    extra, faulty = set[str](), set[str]()
    run.step(CHECKING, 0, len(seals), "chunks")
    for batch in target.scroll(batch_size=_BATCH):
        for chunk_id, seal in sealer.seal(batch).items():
            if chunk_id not in seals:
                extra.add(chunk_id)
                continue
            if chunk_id in found or not _agree(seals[chunk_id], seal):
                faulty.add(chunk_id)
            found[chunk_id] = seal
        run.step(CHECKING, len(found), len(seals), "chunks")
    faulty |= seals.keys() - found.keys()
    return _checksum(found.values()), sorted(extra), sorted(faulty)


class _Sealer:
    """Makes the seals of chunks: 16 bytes of digest, then the projections as float32."""

    def __init__(self, dimension: int) -> None:
        random = np.random.default_rng(16)
        self._directions = random.normal(size=(dimension, _PROJECTIONS)).astype(np.float32)

    def seal(self, pairs: Sequence[Pair]) -> dict[str, bytes]:
        """Return the seals by chunk id."""
        if not pairs:
            return {}
        projections = np.stack([vector for _, vector in pairs]) @ self._directions
        return {
            chunk.id: _digest(chunk) + row.astype(np.float32).tobytes()
            for (chunk, _), row in zip(pairs, projections, strict=True)
        }


def _digest(chunk: Chunk) -> bytes:
    # JSON tells 1, 1.0, true and "1" apart. A store may order metadata as it likes.
    ordered = replace(chunk, metadata=dict(sorted(chunk.metadata.items())))
    text = dumps(ordered).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()


def _agree(seal: bytes, other: bytes | None) -> bool:
    """Return True if two seals are of the same chunk with the same vector."""
    if other is None or seal[:_DIGEST_BYTES] != other[:_DIGEST_BYTES]:
        return False
    ours, theirs = (np.frombuffer(each, np.float32, offset=_DIGEST_BYTES) for each in (seal, other))
    return bool((np.abs(ours - theirs) <= _VECTOR_TOLERANCE).all())


def _checksum(seals: Iterable[bytes]) -> str:
    total = sum(int.from_bytes(seal[:_DIGEST_BYTES], "big") for seal in seals)
    return f"{total % 2 ** (8 * _DIGEST_BYTES):0{2 * _DIGEST_BYTES}x}"
