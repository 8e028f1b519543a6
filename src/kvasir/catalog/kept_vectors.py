"""Vectors of documents that are not complete yet: what a killed ingest need not embed again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select

from kvasir.catalog.tables import kept_vectors
from kvasir.core.batches import batches

if TYPE_CHECKING:
    from kvasir.core.vectors import Matrix

_SLICE = 500
"""Values in one ``IN (...)``; databases limit the parameters of a statement."""


def keep(connection: Connection, collection_id: int, vectors: Mapping[str, Matrix]) -> None:
    """Store vectors by passage hash in place of those that are there."""
    drop(connection, collection_id, vectors.keys())
    rows = [
        {
            "collection_id": collection_id,
            "passage_hash": key,
            "vector": vector.astype("<f4", copy=False).tobytes(),
        }
        for key, vector in vectors.items()
    ]
    for part in batches(rows, _SLICE):
        connection.execute(insert(kept_vectors), part)


def find(
    connection: Connection, collection_id: int, hashes: Collection[str], dimension: int
) -> dict[str, Matrix]:
    """Return the stored vectors of passages; one of another length is left out."""
    # Imported here: a list of documents needs no arrays.
    import numpy as np  # noqa: PLC0415

    found: dict[str, Matrix] = {}
    columns = kept_vectors.c
    for part in batches(sorted(hashes), _SLICE):
        query = select(columns.passage_hash, columns.vector).where(
            columns.collection_id == collection_id, columns.passage_hash.in_(part)
        )
        for row in connection.execute(query):
            if len(row.vector) == 4 * dimension:
                found[row.passage_hash] = np.frombuffer(row.vector, "<f4").astype(np.float32)
    return found


def drop(connection: Connection, collection_id: int, hashes: Collection[str] | None) -> None:
    """Delete the vectors of passages, or all of a collection."""
    all_of_it = delete(kept_vectors).where(kept_vectors.c.collection_id == collection_id)
    if hashes is None:
        connection.execute(all_of_it)
        return
    for part in batches(sorted(hashes), _SLICE):
        connection.execute(all_of_it.where(kept_vectors.c.passage_hash.in_(part)))
