"""Convert chunks to Chroma records and back, and filters to Chroma's syntax."""

from __future__ import annotations

from typing import Any

import numpy as np

from kvasir.components.stores import tagged_rows
from kvasir.components.stores.tagged_rows import Condition, HasTag, InRange
from kvasir.core.filters import Filter
from kvasir.core.types import Chunk, Matrix

_ALWAYS = "-"
"""A tag of every record: Chroma takes no empty list."""
_NEVER = "!"
"""A tag of no record."""
_RANGES = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}


def entries_of(chunk: Chunk) -> dict[str, Any]:
    """Return a record's metadata without the terms.

    An update of a record keeps the numbers of the former version. Ranges do not find them, because
    they ask for the number's tag, too, and tags are replaced.
    """
    return {
        "record": tagged_rows.record(chunk),
        "tags": [_ALWAYS, *tagged_rows.tags(chunk.metadata)],
        **tagged_rows.numbers(chunk.metadata),
    }


def chunk_of(chunk_id: str, text: str | None, entries: dict[str, Any]) -> Chunk:
    """Return the chunk of a record."""
    return tagged_rows.chunk(chunk_id, text or "", entries["record"])


def chunks_of(found: dict[str, Any]) -> list[Chunk]:
    """Return the chunks that Chroma found."""
    return list(map(chunk_of, found["ids"], found["documents"], found["metadatas"]))


def pairs_of(found: dict[str, Any]) -> list[tuple[Chunk, Matrix]]:
    """Return the chunks that Chroma found with their vectors [dimension]."""
    vectors = np.asarray(found["embeddings"], dtype=np.float32)
    return list(zip(chunks_of(found), vectors, strict=True))


def where_clause(filters: Filter | None) -> dict[str, Any] | None:
    """Return a filter in Chroma's syntax."""
    return None if filters is None else _to_where(tagged_rows.condition(filters))


def _to_where(condition: Condition) -> dict[str, Any]:
    if isinstance(condition, HasTag):
        operator = "$contains" if condition.present else "$not_contains"
        parts = [{"tags": {operator: tag}} for tag in condition.tags]
        return _joined(parts, every=not condition.present)
    if isinstance(condition, InRange):
        compared = {condition.field: {_RANGES[condition.operator]: condition.number}}
        return {"$and": [{"tags": {"$contains": condition.tag}}, compared]}
    parts = [_to_where(part) for part in condition.parts]
    return _joined(parts, every=condition.every)


def _joined(parts: list[dict[str, Any]], *, every: bool) -> dict[str, Any]:
    if not parts:
        return {"tags": {"$contains": _ALWAYS if every else _NEVER}}
    return parts[0] if len(parts) == 1 else {"$and" if every else "$or": parts}
