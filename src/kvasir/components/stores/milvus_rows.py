"""How a chunk lies in a row of Milvus, and how filters are said to it.

Filters name no user's value and no field: see ``chunk_rows``. (Expression templates would
serve on a server; Milvus Lite 3.2 does not know them.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kvasir.components.stores import tagged_rows
from kvasir.components.stores.tagged_rows import Condition, Every, HasTag, InRange
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
    """Return what a row keeps besides the vectors.

    Raises:
        ComponentError: The id is none, or there is more metadata than a row takes.
    """
    if not _ID.fullmatch(chunk.id):
        raise ComponentError("milvus", "writing", f"'{chunk.id}' is not a chunk's id")
    # One text: Milvus Lite looks for a substring fifty times faster than into an array.
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
    """Return term weights as Milvus takes them."""
    weights = dict(zip(terms.indices.tolist(), terms.values.tolist(), strict=True))
    weights.pop(2**32 - 1, None)  # the one id that Milvus does not take
    return weights or _NO_TERM


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def known_form(ids: Sequence[str]) -> list[str]:
    """Leave out what cannot be a chunk's id, so that nothing else enters an expression."""
    return [chunk_id for chunk_id in dict.fromkeys(ids) if _ID.fullmatch(chunk_id)]


def filter_expression(filters: Filter | None) -> str:
    """Return a filter as Milvus takes it; empty for none."""
    return "" if filters is None else _say(tagged_rows.condition(filters))


def _say(condition: Condition) -> str:
    if isinstance(condition, HasTag):
        if not condition.tags:
            return 'id == ""' if condition.present else 'id != ""'
        said = " or ".join(f'tags like "%{tag}%"' for tag in condition.tags)
        return f"({said})" if condition.present else f"not ({said})"
    if isinstance(condition, InRange):
        path = f'numbers["{condition.field}"]'
        there = f'tags like "%{condition.tag}%"'
        return f"({there} and {path} {condition.operator} {condition.number!r})"
    if not condition.parts:
        return 'id != ""' if isinstance(condition, Every) else 'id == ""'
    word = " and " if isinstance(condition, Every) else " or "
    return "(" + word.join(_say(part) for part in condition.parts) + ")"
