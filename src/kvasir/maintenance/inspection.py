"""Compares catalog and store, chunk by chunk; ``maintenance.repair`` acts on the findings.

No other process may write to the collection meanwhile.
"""

from __future__ import annotations

import numpy as np

from kvasir.core.ledger import (
    Catalog,
    ChunkRecord,
    VersionStatus,
    passage_hash,
    require_collection,
)
from kvasir.core.protocols import VectorStore
from kvasir.core.reports import Findings
from kvasir.core.run import Run
from kvasir.core.types import Chunk, Matrix

COMPARING = "comparing"
"""The stage that is reported."""

_CHECK_INTERVAL = 1000
_LENGTH_TOLERANCE = 0.01
"""Largest difference of a vector's length from 1; half precision stays within it."""


def examine(
    catalog: Catalog, store: VectorStore, collection: str, *, run: Run | None = None
) -> Findings:
    """Compare every chunk of a collection; change nothing.

    Raises:
        StoppedError: The run was stopped.
        CollectionNotFoundError: There is no such collection.
    """
    run = run or Run()
    require_collection(catalog, collection)
    expected: dict[str, ChunkRecord] = {}
    for record in catalog.every_chunk(collection):
        expected[record.id] = record
        if len(expected) % _CHECK_INTERVAL == 0:
            run.check()
    metadata = {
        document.id: dict(document.metadata)
        for document in catalog.documents(collection)
        if document.status is VersionStatus.LIVE
    }
    seen: set[str] = set()
    orphans, altered, mislabelled, bad_vectors = set[str](), set[str](), set[str](), set[str]()
    done, counted = 0, store.count()
    run.step(COMPARING, done, counted, "chunks")
    for batch in store.scroll():
        for chunk, vector in batch:
            known = expected.get(chunk.id)
            if known is None:
                orphans.add(chunk.id)
                continue
            if chunk.id in seen or not _is_same(chunk, known):
                altered.add(chunk.id)
            elif dict(chunk.metadata) != metadata.get(known.document_id):
                mislabelled.add(chunk.id)
            if not _is_unit_vector(vector, store.dimension):
                bad_vectors.add(chunk.id)
            seen.add(chunk.id)
        done += len(batch)
        run.step(COMPARING, done, max(done, counted), "chunks")
    return Findings(
        collection=collection,
        unfinished=catalog.unfinished(collection),
        pending_metadata_updates=len(catalog.pending_metadata_updates(collection)),
        orphans=tuple(sorted(orphans)),
        missing=tuple(sorted(expected.keys() - seen)),
        altered=tuple(sorted(altered)),
        mislabelled=tuple(sorted(mislabelled)),
        bad_vectors=tuple(sorted(bad_vectors)),
        expected=len(expected),
        counted=counted,
    )


def _is_same(chunk: Chunk, record: ChunkRecord) -> bool:
    return (
        chunk.document_id == record.document_id
        and (chunk.start, chunk.end, chunk.page) == (record.start, record.end, record.page)
        and tuple(chunk.headings) == record.headings
        and passage_hash(chunk.passage) == record.passage_hash
    )


def _is_unit_vector(vector: Matrix, dimension: int) -> bool:
    if vector.shape != (dimension,) or not np.isfinite(vector).all():
        return False
    return abs(float(np.linalg.norm(vector)) - 1.0) <= _LENGTH_TOLERANCE
