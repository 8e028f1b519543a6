"""Convert chunks to Qdrant points and back, and filters to Qdrant's conditions.

The embedded engine and a Qdrant server use the same points. A point has

- two named vectors: ``dense`` (cosine) and ``bm25`` (sparse; the engine multiplies by the IDF);
- the chunk's fields under their own names, its metadata under ``metadata``;
- ``tags``: each metadata entry as one text, ``language=s:en``, with one keyword index for all. So
  equality is fast for every field, text, numbers and truth values stay apart (the engine takes
  ``True`` for 1), and field names are not part of a JSON path. A list has a tag for each item, a
  date more for its normal forms, and the source URI one for each folder (``index_terms``);
- ``numbers`` and ``times``: the numbers and the points in time again, for ranges. The first range
  over a field creates its index, if a chunk has the field and fewer than ``_MAX_NUMBER_INDEXES``
  fields have one. The engine scans the others.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
import uuid
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, TypeGuard

import numpy as np

from kvasir.components.stores import index_terms
from kvasir.components.stores.database_store import ClientStore
from kvasir.core.errors import ComponentError
from kvasir.core.filters import UNDER, Comparison, Filter, comparisons, items_of, values_of
from kvasir.core.types import Chunk, Matrix, Metadata, MetadataScalar, MetadataValue
from kvasir.core.wire import from_json, to_json

LAYOUT_VERSION = 1
PointId = int | uuid.UUID | str
"""The engine's type of ids; ours are UUIDs or their texts."""

DENSE = "dense"
BM25 = "bm25"
DOCUMENT_ID = "document_id"
TAGS = "tags"
NUMBERS = "numbers"
TIMES = "times"
RANGES = (NUMBERS, TIMES)
"""Payload fields whose entries are for ranges."""
KEYWORD_FIELDS = (DOCUMENT_ID, TAGS)
"""Payload fields that every collection has a keyword index on."""

_MAX_NUMBER_INDEXES = 32
"""Most number fields with an index: each costs memory, and a second at 100,000 chunks."""

CHUNK_FIELDS = [DOCUMENT_ID, "text", "start", "end", "page", "headings", "metadata", "exact"]
"""The payload fields of a chunk."""

_OWN = [name for name in CHUNK_FIELDS if name not in ("metadata", "exact")]
_MAX_TAG = 200
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_NO_TAG = "="
"""A tag that no entry has: other tags have a type letter."""


class Dialect:
    """The condition classes of one client library; their keywords are the same in all."""

    def __init__(self, library: Any, range_class: Callable[..., Any]) -> None:
        self.filter, self.field = library.Filter, library.FieldCondition
        self.match, self.match_any = library.MatchValue, library.MatchAny
        self.range = range_class


class QdrantPoints(ClientStore):
    """Reads and filters the points of a collection."""

    _dialect: ClassVar[Dialect]
    _indexed: set[str]
    """The payload fields with an index."""

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Return chunks and their vectors [dimension]; unknown ids are left out."""
        return [self._pair(record) for record in self._retrieve(ids, vectors=True)]

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks without their vectors; unknown ids are left out."""
        found = self._retrieve(ids, vectors=False)
        return [chunk_of(str(record.id), record.payload or {}) for record in found]

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yield every chunk with its vector [dimension], in batches, in the order of ids."""
        condition, offset = self._condition(filters), None
        while True:
            records, offset = self._scroll(condition, batch_size, offset)
            if records:
                yield [self._pair(record) for record in records]
            if offset is None:
                return

    def _pair(self, record: Any) -> tuple[Chunk, Matrix]:
        if not isinstance(record.vector, dict):
            raise ComponentError(self.name, "reading", f"chunk {record.id} has no vector")
        chunk = chunk_of(str(record.id), record.payload or {})
        return chunk, np.asarray(record.vector[DENSE], dtype=np.float32)

    def _condition(self, filters: Filter | None) -> Any:
        if filters is None:
            return None
        for comparison in comparisons(filters):
            if comparison.operator in _OPERATORS:
                self._ensure_index(comparison)
        return translate(filters, self._dialect, self._indexed)

    def _ensure_index(self, comparison: Comparison) -> None:
        """Index the field of a range, if a chunk has it."""
        field = comparison.field
        path = _range_path(field, comparison.value)
        if path in self._indexed or self._range_indexes() >= _MAX_NUMBER_INDEXES:
            return
        if path.startswith(TIMES):
            has_field = _match(TAGS, [_time_tag(field)], self._dialect)
        else:
            has_field = self._dialect.field(
                key=path, range=self._dialect.range(gte=-sys.float_info.max)
            )
        if self._scroll(self._dialect.filter(must=[has_field]), 1, None)[0]:
            self._index_number(path)

    def _range_indexes(self) -> int:
        return sum(path.partition(".")[0] in RANGES for path in list(self._indexed))

    @abstractmethod
    def _retrieve(self, ids: Sequence[str], *, vectors: bool) -> Iterable[Any]:
        """Return records, with the dense vector or without."""

    @abstractmethod
    def _scroll(self, condition: Any, limit: int, offset: Any) -> tuple[Sequence[Any], Any]:
        """Return records with their dense vectors, and the next offset or None."""

    @abstractmethod
    def _index_number(self, path: str) -> None:
        """Create an index for ranges over a payload field."""


def payloads_of(chunks: Iterable[Chunk]) -> Iterator[dict[str, Any]]:
    """Yield the payload of each chunk's point; what metadata gives is made once a document."""
    metadata: Metadata | None = None
    shared: dict[str, Any] = {}
    for chunk in chunks:
        if chunk.metadata is not metadata:
            metadata, shared = chunk.metadata, metadata_payload(chunk.metadata)
        form = to_json(replace(chunk, metadata={}))
        yield {name: form[name] for name in _OWN} | shared


def metadata_payload(metadata: Metadata) -> dict[str, Any]:
    """Return the payload fields that depend on metadata alone."""
    plain = {key: value for key, value in metadata.items() if _fits_json(value)}
    rest = {key: value for key, value in metadata.items() if key not in plain}
    numbers = {
        key: [float(x) for x in items_of(value) if _is_number(x)] for key, value in metadata.items()
    }
    times = {key: index_terms.times(value) for key, value in metadata.items()}
    return {
        "metadata": to_json(plain),
        "exact": json.dumps(rest) if rest else None,
        TAGS: [each for entry in metadata.items() for each in _tags(*entry)],
        NUMBERS: _for_ranges(numbers),
        TIMES: _for_ranges(times),
    }


def _for_ranges(values: Mapping[str, list[float]]) -> dict[str, float | list[float]]:
    found = ((key, each) for key, each in values.items() if each)
    return {_name(key): each[0] if len(each) == 1 else each for key, each in found}


def chunk_of(point_id: str, payload: Mapping[str, Any]) -> Chunk:
    """Return the chunk of a point."""
    metadata = payload.get("metadata") or {}
    exact = payload.get("exact")
    if exact:
        metadata = {**metadata, **json.loads(exact)}
    found = {name: item for name, item in payload.items() if name in _OWN and item is not None}
    return from_json(Chunk, {**found, "id": point_id, "metadata": metadata})


def tag(field: str, value: MetadataScalar) -> str:
    """Return the tag of a metadata entry: equal entries, and only those, have equal tags."""
    return _tag(field, _typed(value))


def _tag(field: str, typed: str) -> str:
    text = f"{field.replace('%', '%25').replace('=', '%3D')}={typed}"
    if len(text) <= _MAX_TAG and "\0" not in text:
        return text
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    return f"{field[:40]}=h:{digest}".replace("\0", "")


def _tags(field: str, value: MetadataValue) -> list[str]:
    """Return all tags of a metadata entry."""
    found = [tag(field, item) for item in items_of(value)]
    if dates := list(index_terms.date_keys(value)):
        found += [_tag(field, f"d:{key}") for key in dates] + [_time_tag(field)]
    found += [_tag(field, f"u:{folder}") for folder in index_terms.folders(field, value)]
    return list(dict.fromkeys(found))


def _time_tag(field: str) -> str:
    """Return the tag of every entry that has a date."""
    return _tag(field, "t:")


def translate(condition: Filter, dialect: Dialect, indexed: Collection[str]) -> Any:
    """Return a filter in a client library's classes, with the meaning of ``filters.matches``.

    ``indexed`` are the payload fields with an index.
    """
    if isinstance(condition, Comparison):
        made = _comparison(condition, dialect, indexed)
        return made if condition.operator in ("!=", "not in") else dialect.filter(must=[made])
    parts = [translate(item, dialect, indexed) for item in condition.conditions]
    if condition.operator == "AND":
        return dialect.filter(must=parts or [dialect.filter(must_not=[_nothing(dialect)])])
    if not parts:
        return dialect.filter(must=[_nothing(dialect)])
    if condition.operator == "OR":
        return dialect.filter(should=parts)
    return dialect.filter(must_not=[dialect.filter(must=parts)])


def _comparison(condition: Comparison, dialect: Dialect, indexed: Collection[str]) -> Any:
    field, operator, value = condition.field, condition.operator, condition.value
    if operator in _OPERATORS:
        return _range(field, operator, value, dialect, indexed)
    if operator == UNDER:
        return _match(TAGS, [_tag(field, f"u:{value}")], dialect)
    found = _any_of(field, [item for item in values_of(condition) if item == item], dialect)
    return dialect.filter(must_not=[found]) if operator in ("!=", "not in") else found


def _any_of(field: str, values: Sequence[MetadataScalar], dialect: Dialect) -> Any:
    if not values:
        return _nothing(dialect)
    keys = map(index_terms.date_key, values)
    tags = [tag(field, item) for item in values] + [_tag(field, f"d:{key}") for key in keys if key]
    found = _match(TAGS, tags, dialect)
    ids = [item for item in values if isinstance(item, str)]
    if field != DOCUMENT_ID or not ids:
        return found
    return dialect.filter(should=[found, _match(DOCUMENT_ID, ids, dialect)])


def _match(key: str, values: list[str], dialect: Dialect) -> Any:
    if len(values) == 1:
        return dialect.field(key=key, match=dialect.match(value=values[0]))
    return dialect.field(key=key, match=dialect.match_any(any=values))


def _range(
    field: str, operator: str, value: MetadataValue, dialect: Dialect, indexed: Collection[str]
) -> Any:
    limit = index_terms.limit(operator, value)
    if limit is None:
        return _nothing(dialect)
    path, limits = _range_path(field, value), {_OPERATORS[limit[0]]: limit[1]}
    found = dialect.field(key=path, range=dialect.range(**limits))
    if path in indexed or not isinstance(value, str):
        return found
    # Without the tag, the engine scans all chunks, which may be without the field.
    return dialect.filter(must=[_match(TAGS, [_time_tag(field)], dialect), found])


def _nothing(dialect: Dialect) -> Any:
    return dialect.field(key=TAGS, match=dialect.match(value=_NO_TAG))


def _range_path(field: str, value: MetadataValue) -> str:
    """Return the payload field of a range up to or from a value."""
    return f"{TIMES if isinstance(value, str) else NUMBERS}.{_name(field)}"


def _name(field: str) -> str:
    """Return a field name that is safe in a JSON path."""
    return field if _PLAIN_NAME.fullmatch(field) else "hex-" + field.encode("utf-8").hex()


def _typed(value: MetadataScalar) -> str:
    if isinstance(value, bool):
        return f"b:{value}"
    if isinstance(value, str):
        return f"s:{value}"
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    return f"n:{value!r}"


def _is_number(value: MetadataScalar) -> TypeGuard[int | float]:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and _is_word(value)


def _fits_json(value: MetadataValue) -> bool:
    """Return True if the engine's JSON parser (serde_json) returns the value unchanged.

    It may lose the last bit of a float of more than fifteen digits.
    """
    if isinstance(value, tuple):
        return all(map(_fits_json, value))
    if isinstance(value, float):
        return value == 0 or (1e-7 < abs(value) < 1e14 and float(f"{value:.15g}") == value)
    return not isinstance(value, int) or _is_word(value)


def _is_word(value: int) -> bool:
    return -(2**63) <= value < 2**63


def point_ids(ids: Iterable[str]) -> list[PointId]:
    """Return the ids that can be in a collection, as UUIDs: the engine refuses others."""
    found: list[PointId] = []
    for text in ids:
        with suppress(ValueError):
            found.append(uuid.UUID(text))
    return found
