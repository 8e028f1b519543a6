"""Queries for passages: which chunks and documents have them by their hash, and their boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from sqlalchemy import Connection, func

from kvasir.catalog import rows
from kvasir.catalog.tables import chunks, live, sources, texts, versions
from kvasir.core.batches import batches
from kvasir.core.types import RecognizedSpan

_SLICE = 500
"""Values in one ``IN (...)``; databases limit the parameters of a statement."""


def chunk_ids(connection: Connection, collection: str, hashes: Collection[str]) -> dict[str, str]:
    """Map the hashes of passages that have a live chunk to its id."""
    found: dict[str, str] = {}
    query = live(collection, chunks.c.passage_hash, chunks.c.chunk_id).join(
        chunks, chunks.c.version_id == versions.c.id
    )
    for part in batches(sorted(hashes), _SLICE):
        chosen = connection.execute(query.where(chunks.c.passage_hash.in_(part)))
        found.update((row.passage_hash, row.chunk_id) for row in chosen)
    return found


def sharing(connection: Connection, collection: str, hashes: Collection[str]) -> Counter[str]:
    """Count, by document id, the live chunks that have one of some passages."""
    found: Counter[str] = Counter()
    query = (
        live(collection, sources.c.document_id, func.count().label("number"))
        .join(chunks, chunks.c.version_id == versions.c.id)
        .group_by(sources.c.document_id)
    )
    for part in batches(sorted(hashes), _SLICE):
        for row in connection.execute(query.where(chunks.c.passage_hash.in_(part))):
            found[row.document_id] += row.number
    return found


def recognized(
    connection: Connection, collection: str, document_ids: Collection[str]
) -> dict[str, tuple[RecognizedSpan, ...]]:
    """Map the ids of documents to their recognized spans; others are left out."""
    found: dict[str, tuple[RecognizedSpan, ...]] = {}
    query = (
        live(collection, sources.c.document_id, texts.c.recognized)
        .join(texts, texts.c.version_id == versions.c.id)
        .where(texts.c.recognized.is_not(None))
    )
    for part in batches(sorted(document_ids), _SLICE):
        for row in connection.execute(query.where(sources.c.document_id.in_(part))):
            found[row.document_id] = rows.expand_spans(row.recognized)
    return found
