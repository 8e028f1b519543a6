"""Copies a collection from one store to another with its vectors, and compares the two.

Every chunk has a fingerprint that must be the same in both stores: a digest of its id, text, span,
headings and metadata (types included), and a few projections of its vector. Projections are
compared with a tolerance, because a store may change the last digits of a vector; a digest of
rounded numbers would differ whenever a number is near a rounding boundary
(docs/decisions/0016-moving-collections.md).

An interrupted copy can be continued: chunks with the same fingerprint in the target are not
written again. At the end every chunk of the target is read and compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
"""Largest difference of a projection. Half precision changes one by 3e-4; for a vector with a
cosine of 0.999 to the right one the mean difference is 0.04."""

Pair = tuple[Chunk, Matrix]


def copy_chunks(
    source: VectorStore,
    target: VectorStore,
    *,
    exact: bool = False,
    run: Run | None = None,
) -> CopyReport:
    """Copy all chunks with their vectors, and compare the stores afterwards.

    A stopped copy keeps the chunks that it has written; the next copy continues from there.

    Args:
        source: The store to read.
        target: The store to write, of the same dimension.
        exact: Delete chunks of the target that the source does not have.
        run: Stops the copy between two batches, and reports its progress.

    Raises:
        StoppedError: The run was stopped.
        ComponentError: A store failed.
    """
    run = run or Run()
    started = perf_counter()
    fingerprinter = Fingerprinter(source.dimension)
    total, written = source.count(), 0
    fingerprints: dict[str, ChunkFingerprint] = {}
    resuming = target.count() > 0
    run.step(COPYING, 0, total, "chunks")
    for batch in source.scroll(batch_size=_BATCH):
        in_source = fingerprinter.fingerprints(batch)
        in_target = fingerprinter.fingerprints(target.fetch(list(in_source))) if resuming else {}
        due = [
            pair for pair in batch if not in_source[pair[0].id].matches(in_target.get(pair[0].id))
        ]
        if due:
            target.upsert([chunk for chunk, _ in due], np.stack([vector for _, vector in due]))
        written += len(due)
        fingerprints.update(in_source)
        run.step(COPYING, len(fingerprints), max(total, len(fingerprints)), "chunks")
    target_checksum, extra, faulty = _check(target, fingerprints, fingerprinter, run)
    removed = extra if exact else []
    for start in range(0, len(removed), _BATCH):
        run.check()
        target.delete(removed[start : start + _BATCH])
    if isinstance(target, Optimizable):
        run.report(BUILDING, 0, 1)
        target.optimize(wait=True, stop=run.stop)
        run.report(BUILDING, 1, 1)
    return CopyReport(
        chunks=len(fingerprints),
        written=written,
        kept=len(fingerprints) - written,
        extra=tuple(extra),
        removed=len(removed),
        faulty=tuple(faulty),
        counted=target.count(),
        changed=source.count() != len(fingerprints),
        checksum=_checksum(sum(each.number for each in fingerprints.values())),
        target_checksum=target_checksum,
        seconds=perf_counter() - started,
    )


def _check(
    target: VectorStore,
    expected: Mapping[str, ChunkFingerprint],
    fingerprinter: Fingerprinter,
    run: Run,
) -> tuple[str, list[str], list[str]]:
    """Read the target; return its checksum, its extra chunks and its faulty ones."""
    found, total = set[str](), 0
    extra, faulty = set[str](), set[str]()
    run.step(CHECKING, 0, len(expected), "chunks")
    for batch in target.scroll(batch_size=_BATCH):
        for chunk_id, fingerprint in fingerprinter.fingerprints(batch).items():
            if chunk_id not in expected:
                extra.add(chunk_id)
                continue
            if chunk_id in found or not expected[chunk_id].matches(fingerprint):
                faulty.add(chunk_id)
            if chunk_id not in found:
                found.add(chunk_id)
                total += fingerprint.number
        run.step(CHECKING, len(found), len(expected), "chunks")
    faulty |= expected.keys() - found
    return _checksum(total), sorted(extra), sorted(faulty)


@dataclass(frozen=True, slots=True)
class ChunkFingerprint:
    """The fingerprint of a chunk, which must match in both stores.

    Attributes:
        digest: Of everything but the vector, ``_DIGEST_BYTES`` bytes.
        projections: Of the vector, ``_PROJECTIONS`` float32 numbers.
    """

    digest: bytes
    projections: bytes

    @property
    def number(self) -> int:
        """The digest as a number."""
        return int.from_bytes(self.digest, "big")

    def matches(self, other: ChunkFingerprint | None) -> bool:
        """Return True if the other one is of the same chunk with the same vector."""
        if other is None or self.digest != other.digest:
            return False
        difference = np.frombuffer(self.projections, np.float32) - np.frombuffer(
            other.projections, np.float32
        )
        return bool((np.abs(difference) <= _VECTOR_TOLERANCE).all())


class Fingerprinter:
    """Makes the fingerprints of chunks, always with the same projections."""

    def __init__(self, dimension: int) -> None:
        """Choose the directions of the projections, with a fixed seed."""
        random = np.random.default_rng(16)
        self._directions = random.normal(size=(dimension, _PROJECTIONS)).astype(np.float32)

    def fingerprints(self, pairs: Sequence[Pair]) -> dict[str, ChunkFingerprint]:
        """Return the fingerprints by chunk id."""
        if not pairs:
            return {}
        projections = np.stack([vector for _, vector in pairs]) @ self._directions
        return {
            chunk.id: ChunkFingerprint(_digest(chunk), row.astype(np.float32).tobytes())
            for (chunk, _), row in zip(pairs, projections, strict=True)
        }


def _digest(chunk: Chunk) -> bytes:
    # JSON distinguishes 1, 1.0, true and "1". A store may reorder metadata.
    ordered = replace(chunk, metadata=dict(sorted(chunk.metadata.items())))
    text = dumps(ordered).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()


def _checksum(total: int) -> str:
    """Return the sum of all digests in hexadecimal; it does not depend on their order."""
    return f"{total % 2 ** (8 * _DIGEST_BYTES):0{2 * _DIGEST_BYTES}x}"
