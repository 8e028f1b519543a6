"""How a chunk lies in a database that knows rows rather than documents (Milvus, Chroma).

Metadata that filters look at are kept apart from the chunk itself:

- ``tags``: a digest of each entry's field, type and value, so that text, numbers and truth
  values stay apart, a value of any length takes 32 letters, and neither values nor field
  names are ever part of an expression that a database parses;
- ``numbers``: the numeric entries by a digest of their field, for ranges;
- one more tag for each numeric entry, which says that there is a number: so the opposite of
  a range can be said, too.

``condition`` puts filters into these terms without NOT, which some databases lack and others
apply to missing fields in ways of their own.
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
    """Any of the tags is there; where ``present`` is False, none is."""

    tags: tuple[str, ...]
    present: bool = True


@dataclass(frozen=True, slots=True)
class InRange:
    """The number of a field compares so; a missing one does not.

    Attributes:
        field: Digest of the field, as in ``numbers``.
        tag: Its tag, which says that there is a number.
        operator: One of ``>``, ``>=``, ``<``, ``<=``.
        number: A finite number.
    """

    field: str
    tag: str
    operator: str
    number: float


@dataclass(frozen=True, slots=True)
class Every:
    """All parts hold; with no parts it always holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part holds; with no parts it never holds."""

    parts: tuple[Condition, ...]


Condition = HasTag | InRange | Every | Some


def tags(metadata: Metadata) -> list[str]:
    """Return the distinct tags of metadata."""
    found = {_tag(field, value) for field, value in metadata.items()}
    return sorted(found | {_number_tag(field) for field, _ in _numeric(metadata)})


def numbers(metadata: Metadata) -> dict[str, float]:
    """Return the finite numbers of metadata by a digest of their field."""
    return {digest("field", field): value for field, value in _numeric(metadata)}


def record(chunk: Chunk) -> str:
    """Return all of a chunk but its id and text, as JSON."""
    form = to_json(chunk)
    return dumps({name: form[name] for name in form if name not in ("id", "text")})


def chunk(chunk_id: str, text: str, record: str) -> Chunk:
    """Return the chunk that ``record`` was made of."""
    return from_json(Chunk, {"id": chunk_id, "text": text, **json.loads(record)})


def condition(filters: Filter) -> Condition:
    """Say a filter in terms of tags and numbers, with the meaning of ``filters.matches``."""
    return _condition(filters, negate=False)


def _condition(filters: Filter, *, negate: bool) -> Condition:
    if isinstance(filters, Comparison):
        return _comparison(filters, negate=negate)
    every = (filters.operator == "OR") == negate
    if filters.operator == "NOT":
        every, negate = negate, not negate
    parts = tuple(_condition(item, negate=negate) for item in filters.conditions)
    return Every(parts) if every else Some(parts)


def _comparison(filters: Comparison, *, negate: bool) -> Condition:
    field, operator, value = filters.field, filters.operator, filters.value
    if operator in _OPPOSITES:
        operator = _OPPOSITES[operator] if negate else operator
        values = value if isinstance(value, tuple) else (value,)
        found = tuple(_tag(field, item) for item in values)
        return HasTag(found, present=operator in ("==", "in"))
    number = finite_number(value)
    if number is None:
        return Every(()) if negate else Some(())
    name, tag = digest("field", field), _number_tag(field)
    if not negate:
        return InRange(name, tag, operator, number)
    inverse = InRange(name, tag, _INVERSE_RANGES[operator], number)
    return Some((HasTag((tag,), present=False), inverse))


def _numeric(metadata: Metadata) -> Sequence[tuple[str, float]]:
    found = ((field, finite_number(value)) for field, value in metadata.items())
    return [(field, number) for field, number in found if number is not None]


def finite_number(value: object) -> float | None:
    """Return a value as a finite number, or None where it is none."""
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
    """Return type and text of a value, alike where ``core.filters`` calls values equal."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1 and 1.0 are equal
    return type(value).__name__, str(value)


def _number_tag(field: str) -> str:
    return digest("number", field)


def digest(*parts: str) -> str:
    """Return 32 letters that stand for parts; different parts, different letters."""
    return text_digest("\0".join(f"{len(part)}:{part}" for part in parts))


def text_digest(text: str) -> str:
    """Return 32 letters that stand for a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
