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
from dataclasses import replace
from functools import cache
from time import perf_counter
from typing import NamedTuple

import numpy as np

from kvasir.core.batches import batches
from kvasir.core.errors import NameTakenError, UnfinishedError
from kvasir.core.ledger import Catalog, CollectionRecord
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


def check_target_name(catalog: Catalog, record: CollectionRecord, name: str) -> bool:
    """Return True if a copy under another name needs records of its own in the catalog.

    Raises:
        UnfinishedError: The collection has half-written documents.
        NameTakenError: Another collection has the name.
    """
    if catalog.unfinished(record.name):
        raise UnfinishedError(record.name)
    if catalog.collection(name) is None:
        return True
    own, others = ({each.id for each in catalog.every_chunk(n)} for n in (record.name, name))
    if own != others:
        raise NameTakenError(name, ", of other documents")
    return False


def copy_chunks(
    source: VectorStore, target: VectorStore, *, exact: bool = False, run: Run | None = None
) -> CopyReport:
    """Copy all chunks with their vectors, and compare the stores afterwards.

    Both stores have the same dimension. An exact copy deletes chunks of the target that the
    source does not have. A stopped copy keeps the chunks that it has written; the next copy
    continues from there.

    Raises:
        StoppedError: The run was stopped.
        ComponentError: A store failed.
    """
    run = run or Run()
    started = perf_counter()
    total, written = source.count(), 0
    fingerprints: dict[str, Fingerprint] = {}
    resuming = target.count() > 0
    run.step(COPYING, 0, total, "chunks")
    for batch in source.scroll(batch_size=_BATCH):
        in_source = _fingerprints(batch)
        in_target = _fingerprints(target.fetch(list(in_source))) if resuming else {}
        due = [
            pair for pair in batch if not in_source[pair[0].id].matches(in_target.get(pair[0].id))
        ]
        if due:
            target.upsert([chunk for chunk, _ in due], np.stack([vector for _, vector in due]))
        written += len(due)
        fingerprints.update(in_source)
        run.step(COPYING, len(fingerprints), max(total, len(fingerprints)), "chunks")
    target_checksum, extra, faulty = _check(target, fingerprints, run)
    removed = extra if exact else []
    for part in batches(removed, _BATCH):
        run.check()
        target.delete(part)
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
        checksum=_checksum(sum(each.digest for each in fingerprints.values())),
        target_checksum=target_checksum,
        seconds=perf_counter() - started,
    )


def _check(
    target: VectorStore, expected: Mapping[str, Fingerprint], run: Run
) -> tuple[str, list[str], list[str]]:
    """Read the target; return its checksum, its extra chunks and its faulty ones."""
    found, extra, faulty, total = set[str](), set[str](), set[str](), 0
    run.step(CHECKING, 0, len(expected), "chunks")
    for batch in target.scroll(batch_size=_BATCH):
        for chunk_id, fingerprint in _fingerprints(batch).items():
            if chunk_id not in expected:
                extra.add(chunk_id)
                continue
            if chunk_id in found or not expected[chunk_id].matches(fingerprint):
                faulty.add(chunk_id)
            if chunk_id not in found:
                found.add(chunk_id)
                total += fingerprint.digest
        run.step(CHECKING, len(found), len(expected), "chunks")
    faulty |= expected.keys() - found
    return _checksum(total), sorted(extra), sorted(faulty)


class Fingerprint(NamedTuple):
    """The fingerprint of a chunk, which must match in both stores.

    Attributes:
        digest: Of everything but the vector, a number of ``_DIGEST_BYTES`` bytes.
        projections: Of the vector, ``_PROJECTIONS`` float32 numbers.
    """

    digest: int
    projections: bytes

    def matches(self, other: Fingerprint | None) -> bool:
        """Return True if the other one is of the same chunk with the same vector."""
        if other is None or self.digest != other.digest:
            return False
        own, others = (np.frombuffer(each.projections, np.float32) for each in (self, other))
        return bool((np.abs(own - others) <= _VECTOR_TOLERANCE).all())


def _fingerprints(pairs: Sequence[Pair]) -> dict[str, Fingerprint]:
    """Return the fingerprints by chunk id, always with the same projections."""
    if not pairs:
        return {}
    vectors = np.stack([vector for _, vector in pairs])
    projections = (vectors @ _directions(vectors.shape[1])).astype(np.float32)
    return {
        chunk.id: Fingerprint(_digest(chunk), row.tobytes())
        for (chunk, _), row in zip(pairs, projections, strict=True)
    }


@cache
def _directions(dimension: int) -> Matrix:
    """Return the directions of the projections [dimension, _PROJECTIONS], from a fixed seed."""
    random = np.random.default_rng(16)
    return random.normal(size=(dimension, _PROJECTIONS)).astype(np.float32)


def _digest(chunk: Chunk) -> int:
    # JSON distinguishes 1, 1.0, true and "1". A store may reorder metadata.
    ordered = replace(chunk, metadata=dict(sorted(chunk.metadata.items())))
    text = dumps(ordered).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest(), "big")


def _checksum(total: int) -> str:
    """Return the sum of all digests in hexadecimal; it does not depend on their order."""
    return f"{total % 2 ** (8 * _DIGEST_BYTES):0{2 * _DIGEST_BYTES}x}"
