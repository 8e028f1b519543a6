"""Convert chunks to Milvus rows and back, and filters to Milvus expressions.

Expressions hold digests, not a user's values or fields: see ``tagged_rows``. (Milvus Lite 3.2 lacks
expression templates.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kvasir.components.stores import tagged_rows
from kvasir.components.stores.tagged_rows import Condition, HasTag, InRange
from kvasir.core.errors import ComponentError
from kvasir.core.filters import Filter
from kvasir.core.types import Chunk, SparseVector

MOST_BYTES = 65_535
"""Milvus's limit to a text."""
_PIECE = 16_000
"""Characters in one array element: at most 64,000 bytes."""
_NO_TERM = {0: 1e-9}
"""Stands for an empty sparse vector, which Milvus refuses."""
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


def chunk_row(chunk: Chunk) -> dict[str, Any]:
    """Return a row without the vectors.

    Raises:
        ComponentError: The id is malformed, or the metadata do not fit into a row.
    """
    if not _ID.fullmatch(chunk.id):
        raise ComponentError("milvus", "writing", f"'{chunk.id}' is not a chunk's id")
    # One text: Milvus Lite searches a substring fifty times faster than an array.
    tags = " ".join(tagged_rows.tags(chunk.metadata))
    if len(tags) > MOST_BYTES:
        raise ComponentError(
            "milvus",
            "writing",
            f"chunk '{chunk.id}' has {len(chunk.metadata):,} metadata entries, more than Milvus "
            "takes (1,985, and a number counts twice): give it fewer, or use another store",
        )
    return {
        "id": chunk.id,
        "text": _pieces(chunk.text),
        "record": _pieces(tagged_rows.record(chunk)),
        "tags": tags,
        "numbers": tagged_rows.numbers(chunk.metadata),
    }


def chunk_of(row: dict[str, Any]) -> Chunk:
    """Return the chunk of a row."""
    return tagged_rows.chunk(row["id"], "".join(row["text"]), "".join(row["record"]))


def sparse_row(terms: SparseVector) -> dict[int, float]:
    """Return term weights in Milvus's form."""
    weights = dict(zip(terms.indices.tolist(), terms.values.tolist(), strict=True))
    weights.pop(2**32 - 1, None)  # the one id that Milvus does not take
    return weights or _NO_TERM


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def well_formed(ids: Sequence[str]) -> list[str]:
    """Return the distinct well-formed ids: nothing else may enter an expression."""
    return [chunk_id for chunk_id in dict.fromkeys(ids) if _ID.fullmatch(chunk_id)]


def filter_expression(filters: Filter | None) -> str:
    """Return a filter as a Milvus expression; empty for none."""
    return "" if filters is None else _to_expression(tagged_rows.condition(filters))


def _to_expression(condition: Condition) -> str:
    if isinstance(condition, HasTag):
        if not condition.tags:
            return 'id == ""' if condition.present else 'id != ""'
        matching = " or ".join(f'tags like "%{tag}%"' for tag in condition.tags)
        return f"({matching})" if condition.present else f"not ({matching})"
    if isinstance(condition, InRange):
        path = f'numbers["{condition.field}"]'
        there = f'tags like "%{condition.tag}%"'
        return f"({there} and {path} {condition.operator} {condition.number!r})"
    if not condition.parts:
        return 'id != ""' if condition.every else 'id == ""'
    word = " and " if condition.every else " or "
    return "(" + word.join(_to_expression(part) for part in condition.parts) + ")"
