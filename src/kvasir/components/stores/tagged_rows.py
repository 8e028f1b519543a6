"""Rows for chunks in databases of rows (Milvus, Chroma), and filters over them.

A row has these fields for filters:

- ``tags``: a digest of each metadata entry's field, type and value. Text, numbers and truth values
  stay apart, and no value or field name is part of an expression that a database parses;
- ``numbers``: the numeric entries by a digest of their field, for ranges;
- one more tag for each numeric entry, so that the opposite of a range can be expressed.

``condition`` expresses filters without NOT: databases lack it or differ for missing fields.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from kvasir.core.filters import Comparison, Filter
from kvasir.core.types import Chunk, Metadata, MetadataValue
from kvasir.core.wire import dumps, from_json, to_json

_OPPOSITES = {"==": "!=", "!=": "==", "in": "not in", "not in": "in"}
_INVERSE_RANGES = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}


@dataclass(frozen=True, slots=True)
class HasTag:
    """At least one of the tags is present; if ``present`` is False, none is."""

    tags: tuple[str, ...]
    present: bool = True


@dataclass(frozen=True, slots=True)
class InRange:
    """A field has a number, shown by ``tag``, in a range: ``>``, ``>=``, ``<`` or ``<=`` a number.

    ``field`` is the digest of the field, as in ``numbers``; ``number`` is finite.
    """

    field: str
    tag: str
    operator: str
    number: float


@dataclass(frozen=True, slots=True)
class Group:
    """All parts hold, or if ``every`` is False at least one; without parts always, or never."""

    parts: tuple[Condition, ...]
    every: bool


Condition = HasTag | InRange | Group


def tags(metadata: Metadata) -> list[str]:
    """Return the distinct tags of metadata."""
    found = {_tag(field, value) for field, value in metadata.items()}
    return sorted(found | {digest("number", field) for field, _ in _numeric(metadata)})


def numbers(metadata: Metadata) -> dict[str, float]:
    """Return the finite numbers of metadata by a digest of their field."""
    return {digest("field", field): value for field, value in _numeric(metadata)}


def record(chunk: Chunk) -> str:
    """Return a chunk without its id and text, as JSON."""
    form = to_json(chunk)
    return dumps({name: form[name] for name in form if name not in ("id", "text")})


def chunk(chunk_id: str, text: str, record: str) -> Chunk:
    """Return the chunk of a record that ``record`` made."""
    return from_json(Chunk, {"id": chunk_id, "text": text, **json.loads(record)})


def condition(filters: Filter, *, negate: bool = False) -> Condition:
    """Return a filter over tags and numbers, with the meaning of ``filters.matches``."""
    if isinstance(filters, Comparison):
        return _comparison(filters, negate=negate)
    every = (filters.operator == "OR") == negate
    if filters.operator == "NOT":
        every, negate = negate, not negate
    parts = tuple(condition(item, negate=negate) for item in filters.conditions)
    return Group(parts, every)


def _comparison(filters: Comparison, *, negate: bool) -> Condition:
    field, operator, value = filters.field, filters.operator, filters.value
    if operator in _OPPOSITES:
        operator = _OPPOSITES[operator] if negate else operator
        values = value if isinstance(value, tuple) else (value,)
        found = tuple(_tag(field, item) for item in values)
        return HasTag(found, present=operator in ("==", "in"))
    number = finite_number(value)
    if number is None:
        return Group((), every=negate)
    name, tag = digest("field", field), digest("number", field)
    if not negate:
        return InRange(name, tag, operator, number)
    inverse = InRange(name, tag, _INVERSE_RANGES[operator], number)
    return Group((HasTag((tag,), present=False), inverse), every=False)


def _numeric(metadata: Metadata) -> Sequence[tuple[str, float]]:
    found = ((field, finite_number(value)) for field, value in metadata.items())
    return [(field, number) for field, number in found if number is not None]


def finite_number(value: object) -> float | None:
    """Return a value as a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _tag(field: str, value: MetadataValue) -> str:
    kind, text = typed(value)
    return digest(kind, field, text)


def typed(value: MetadataValue) -> tuple[str, str]:
    """Return type and text of a value, equal for values that ``core.filters`` calls equal."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1 and 1.0 are equal
    return type(value).__name__, str(value)


def digest(*parts: str) -> str:
    """Return a digest of parts, 32 hexadecimal digits."""
    return text_digest("\0".join(f"{len(part)}:{part}" for part in parts))


def text_digest(text: str) -> str:
    """Return a digest of a text, 32 hexadecimal digits."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
