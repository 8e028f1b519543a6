"""Convert chunks to Chroma records and back, and filters to Chroma's syntax."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvasir.components.stores import tagged_rows
from kvasir.components.stores.tagged_rows import Condition, HasTag, InRange
from kvasir.core.filters import Filter
from kvasir.core.types import Chunk, Matrix

_ALWAYS = "-"
"""A tag of every record, because Chroma rejects empty lists; other tags are digests."""
_NEVER = "!"
"""A tag that no record has."""
_RANGES = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}


def entries_of(chunk: Chunk) -> dict[str, Any]:
    """Return the Chroma metadata of a chunk, without the BM25 terms that ``chroma`` adds.

    Chroma merges metadata in an update, so numbers of removed fields stay in the record. Range
    filters do not match them: they also need the tag of the number, and the tags are replaced.
    """
    return {
        "record": tagged_rows.record(chunk),
        "tags": [_ALWAYS, *tagged_rows.tags(chunk.metadata)],
        **tagged_rows.numbers(chunk.metadata),
    }


def chunk_of(chunk_id: str, text: str | None, entries: dict[str, Any]) -> Chunk:
    """Return the chunk of a record: its id, document text and Chroma metadata."""
    return tagged_rows.chunk(chunk_id, text or "", entries["record"])


def chunks_of(found: dict[str, Any]) -> list[Chunk]:
    """Return the chunks of the records that Chroma returned."""
    return list(map(chunk_of, found["ids"], found["documents"], found["metadatas"]))


def pairs_of(found: dict[str, Any]) -> list[tuple[Chunk, Matrix]]:
    """Return the chunks that Chroma returned, each with its vector, float32 [dimension]."""
    vectors = np.asarray(found["embeddings"], dtype=np.float32)
    return list(zip(chunks_of(found), vectors, strict=True))


def where_clause(filters: Filter | None) -> dict[str, Any] | None:
    """Return a filter in Chroma's syntax; None without a filter."""
    return None if filters is None else _to_where(tagged_rows.condition(filters))


def _to_where(condition: Condition) -> dict[str, Any]:
    if isinstance(condition, HasTag):
        operator = "$contains" if condition.present else "$not_contains"
        parts = [{"tags": {operator: tag}} for tag in condition.tags]
        # One of the tags present, or all of them absent.
        return _joined(parts, every=not condition.present)
    if isinstance(condition, InRange):
        compared = {condition.field: {_RANGES[condition.operator]: condition.number}}
        return {"$and": [{"tags": {"$contains": condition.tag}}, compared]}
    parts = [_to_where(part) for part in condition.parts]
    return _joined(parts, every=condition.every)


def _joined(parts: list[dict[str, Any]], *, every: bool) -> dict[str, Any]:
    """Join clauses with AND or OR, which Chroma allows only for two or more clauses."""
    if not parts:
        return {"tags": {"$contains": _ALWAYS if every else _NEVER}}
    return parts[0] if len(parts) == 1 else {"$and" if every else "$or": parts}
