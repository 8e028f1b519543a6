"""Rows for chunks in databases of rows (Milvus, Chroma), and filters over them.

A row has these fields for filters:

- ``tags``: a digest of field, type and value of each part of ``index_terms``. Text, numbers and
  truth values stay apart, and no value or field name is part of an expression that a database
  parses;
- ``numbers``: numbers and points in time by a digest of their field, for ranges. Of a list it is
  the greatest, and the least by another digest: one item of a list is above a limit if the greatest
  is, and below it if the least is;
- one more tag for each of these, so that the opposite of a range can be expressed.

``condition`` expresses filters without NOT: databases lack it or differ for missing fields.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from kvasir.components.stores import index_terms
from kvasir.core.filters import UNDER, Comparison, Filter, items_of, values_of
from kvasir.core.types import Chunk, Metadata, MetadataScalar, MetadataValue
from kvasir.core.wire import dumps, from_json, to_json

_ABSENT = ("!=", "not in")
_INVERSE_RANGES = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}
_FIELDS = {
    "number": "field",
    "least_number": "least field",
    "time": "time field",
    "least_time": "least time field",
}
"""First parts of the digests of a tag and of its field, by the tag's."""


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
    found: set[str] = set()
    for field, value in metadata.items():
        found.update(entry_tags(field, value))
        found.update(digest(kind, field) for kind, _ in range_numbers(value))
    return sorted(found)


def entry_tags(field: str, value: MetadataValue) -> list[str]:
    """Return the tags of one entry that equality and ``under`` look for."""
    found = [_tag(field, item) for item in items_of(value)]
    found += [digest("date", field, key) for key in index_terms.date_keys(value)]
    return found + [digest(UNDER, field, each) for each in index_terms.folders(field, value)]


def numbers(metadata: Metadata) -> dict[str, float]:
    """Return the finite numbers and points in time of metadata by a digest of their field."""
    return {
        digest(_FIELDS[kind], field): number
        for field, value in metadata.items()
        for kind, number in range_numbers(value)
    }


def range_numbers(value: MetadataValue) -> Iterator[tuple[str, float]]:
    """Yield numbers of a value that ranges compare, each with the first part of its tag."""
    for kind, found in (("number", index_terms.numbers(value)), ("time", index_terms.times(value))):
        if found:
            yield kind, max(found)
        if len(found) > 1:
            yield f"least_{kind}", min(found)


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
    operator = filters.operator
    if operator not in _INVERSE_RANGES:
        return HasTag(wanted_tags(filters), present=(operator in _ABSENT) == negate)
    limit = index_terms.limit(operator, filters.value)
    if limit is None:
        return Group((), every=negate)
    kind = "time" if isinstance(filters.value, str) else "number"
    kinds = (kind, f"least_{kind}") if limit[0] in ("<", "<=") else (kind,)
    parts = tuple(_range(filters.field, each, *limit, negate=negate) for each in kinds)
    return parts[0] if len(parts) == 1 else Group(parts, every=negate)


def _range(field: str, kind: str, operator: str, number: float, *, negate: bool) -> Condition:
    name, tag = digest(_FIELDS[kind], field), digest(kind, field)
    if not negate:
        return InRange(name, tag, operator, number)
    inverse = InRange(name, tag, _INVERSE_RANGES[operator], number)
    return Group((HasTag((tag,), present=False), inverse), every=False)


def wanted_tags(filters: Comparison) -> tuple[str, ...]:
    """Return the tags of which an entry has one if it is equal to a value, or under it."""
    if filters.operator == UNDER:
        return (digest(UNDER, filters.field, str(filters.value)),)
    values = values_of(filters)
    keys = map(index_terms.date_key, values)
    found = [_tag(filters.field, item) for item in values]
    return (*found, *(digest("date", filters.field, key) for key in keys if key))


def _tag(field: str, value: MetadataScalar) -> str:
    kind, text = typed(value)
    return digest(kind, field, text)


def typed(value: MetadataScalar) -> tuple[str, str]:
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
