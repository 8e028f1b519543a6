"""A Milvus server, through ``MilvusClient``; ``milvuslite`` keeps the same rows in the process.

Milvus's own BM25 function is not used, because it has its own tokenizer. A sparse field with inner
product holds the analyzer's term weights, so every store ranks alike. A query's weights are the IDF
of its terms. A search for each single term counts its chunks, exactly up to Milvus's limit of
results, above it from a sample.

Filters hold digests, not a user's values or fields: see ``tagged_rows``. (Milvus Lite 3.2 lacks
expression templates.)

Source: https://milvus.io/docs (pymilvus 3.0, milvus-lite 3.2).
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from kvasir.components.stores import tagged_rows
from kvasir.components.stores.database_store import DatabaseStore, Scores, not_ours
from kvasir.components.stores.hybrid import Leg, TwoLegs, similarities
from kvasir.components.stores.store_uris import server_address
from kvasir.components.stores.tagged_rows import Condition, HasTag, InRange
from kvasir.core.batches import batches, sized_batches
from kvasir.core.errors import ComponentError
from kvasir.core.filters import Filter
from kvasir.core.scoring import dense_score, inverse_document_frequency
from kvasir.core.types import Chunk, Matrix, Metadata, SparseVector

# Both log the errors that they raise, and pymilvus logs to the terminal. The null handler keeps
# Python from writing these logs to the terminal instead.
for _log in (logging.getLogger("pymilvus"), logging.getLogger("milvus_lite")):
    for _handler in [each for each in _log.handlers if type(each) is logging.StreamHandler]:
        _log.removeHandler(_handler)
    _log.addHandler(logging.NullHandler())

_NO_COLLECTION = 100
"""Milvus's code for it."""
_EXAMPLE = "http://localhost:19530"
_BATCH_ROWS = 500
_BATCH_CHARACTERS = 4_000_000
_MOST_HITS = 16_384
"""Milvus's limit to the results of one query."""
_MAX_FREQUENCIES = 100_000
"""Most terms with a cached frequency."""
_INDEXES: Mapping[str, Mapping[str, Any]] = {
    "dense": {
        "metric_type": "COSINE",
        "index_type": "HNSW",
        "params": {"M": 16, "efConstruction": 200},
    },
    "sparse": {"metric_type": "IP", "index_type": "SPARSE_INVERTED_INDEX"},
}
_SPARSE = {"anns_field": "sparse", "search_params": {"metric_type": "IP", "params": {}}}
_CHUNK_FIELDS = ["id", "text", "record"]
_MOST_BYTES = 65_535
"""Milvus's limit to a text."""
_TEXTS = {"element_type": DataType.VARCHAR, "max_capacity": 4096, "max_length": _MOST_BYTES}
_PIECE = 16_000
"""Characters in one array element: at most 64,000 bytes."""
_NO_TERM = {0: 1e-9}
"""Stands for an empty sparse vector, which Milvus refuses."""
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


class MilvusStore(TwoLegs, DatabaseStore):
    """Keeps a collection on a Milvus server."""

    name = "milvus"
    _errors = (MilvusException,)
    _client: MilvusClient

    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        terms = self._terms(chunks)
        parts = zip(chunks, vectors, map(_sparse, terms), strict=True)
        self._write(_row(*part) for part in parts)
        self._note_terms([chunk.id for chunk in chunks], terms)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error."""
        known = _well_formed(ids)
        for batch in batches(known, 1000):
            self._request("deleting", self._client.delete, ids=batch)
        self._note_terms(known, None)

    def count(self, filters: Filter | None = None) -> int:
        """Return how many chunks there are."""
        return self._count(filter_expression(filters))

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Return chunks and their vectors [dimension]; unknown ids are left out."""
        return _pairs(self._rows(ids, [*_CHUNK_FIELDS, "dense"]))

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yield every chunk with its vector [dimension], in batches."""
        for rows in self._pages(filter_expression(filters), [*_CHUNK_FIELDS, "dense"], batch_size):
            yield _pairs(rows)

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks without their vectors; unknown ids are left out."""
        return list(map(_chunk, self._rows(ids, _CHUNK_FIELDS)))

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[Scores]:
        limit = min(top_k, _MOST_HITS)
        parameters = {"metric_type": self._metric, "params": {"ef": max(128, limit)}}
        queries = [np.asarray(vector, dtype=np.float32) for vector in vectors]
        field = {"anns_field": "dense", "search_params": parameters}
        found = self._find(field, queries, limit, filter_expression(filters), ["id"])
        return [{row["id"]: self._score(row["distance"]) for row in rows} for rows in found]

    def _rank(self, terms: Sequence[SparseVector], top_k: int, filters: Filter | None) -> list[Leg]:
        queries = [query.indices.tolist() for query in terms]
        weights = self._inverse_frequencies({term for query in queries for term in query})
        sparse = [{term: weights[term] for term in query if term in weights} for query in queries]
        asked = [query for query in sparse if query]
        limit, expression = max(1, min(top_k, _MOST_HITS)), filter_expression(filters)
        found = iter(self._find(_SPARSE, asked, limit, expression, ["id", "dense"]))
        return [_leg(next(found) if query else []) for query in sparse]

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""
        self._write(
            _row(replace(_chunk(row), metadata=dict(metadata)), row["dense"], row["sparse"])
            for row in self._rows(ids, [*_CHUNK_FIELDS, "dense", "sparse"])
        )

    def _connect(self, uri: str, **login: str | None) -> None:
        self._frequencies: dict[int, int] = {}
        self._counted = 0
        self._lock = threading.Lock()
        address = server_address(uri, store=self.name, example=_EXAMPLE, embedded="milvuslite")
        user, password, token = (login[name] or "" for name in ("username", "password", "token"))
        try:
            self._client = MilvusClient(address, user, password, token=token)
        except (MilvusException, OSError, RuntimeError) as error:
            raise ComponentError(self.name, f"connecting to {uri}", error) from error

    def _drop(self) -> None:
        self._request("deleting the collection", self._client.drop_collection)

    def _is_gone(self, error: ComponentError) -> bool:
        cause = error.__cause__
        return isinstance(cause, MilvusException) and cause.code == _NO_COLLECTION

    def _open_collection(self, fingerprint: str) -> None:
        if not self._request("opening", self._client.has_collection):
            self._create_collection(fingerprint)
        description = self._request("opening", self._client.describe_collection)
        fields = {field["name"]: field for field in description["fields"]}
        if set(fields) != {"id", "dense", "sparse", "text", "record", "tags", "numbers"}:
            raise not_ours(self._title)
        properties = description.get("properties") or {}
        about = properties.get("kvasir") or description["description"] or "{}"
        stored_fingerprint = json.loads(about).get("fingerprint", "")
        self._check_maker(stored_fingerprint, int(fields["dense"]["params"]["dim"]), fingerprint)
        self._create_missing_indexes()
        index = self._request("opening", self._client.describe_index, "dense")
        self._metric = str(index["metric_type"])
        self._request("loading", self._client.load_collection)

    def _create_collection(self, fingerprint: str) -> None:
        about = json.dumps({"kvasir": 1, "fingerprint": fingerprint})
        schema = self._client.create_schema(
            auto_id=False, enable_dynamic_field=False, description=about
        )
        schema.add_field("id", DataType.VARCHAR, max_length=128, is_primary=True)
        schema.add_field("dense", DataType.FLOAT_VECTOR, dim=self.dimension)
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
        for field in ("text", "record"):
            schema.add_field(field, DataType.ARRAY, **_TEXTS)
        schema.add_field("tags", DataType.VARCHAR, max_length=_MOST_BYTES)
        schema.add_field("numbers", DataType.JSON)
        self._request(
            "creating a collection",
            self._client.create_collection,
            schema=schema,
            consistency_level="Strong",
        )
        made = self._request("opening", self._client.describe_collection)
        if made["description"] != about:  # Milvus Lite forgets descriptions
            self._request(
                "creating a collection",
                self._client.alter_collection_properties,
                properties={"kvasir": about},
            )

    def _create_missing_indexes(self) -> None:
        """Create the indexes of a new collection, or of one whose creation was interrupted."""
        present = self._request("opening", self._client.list_indexes)
        missing = self._client.prepare_index_params()
        for field, options in _INDEXES.items():
            if field not in present:
                missing.add_index(field, **options)
        if missing:
            # Waiting takes half a second per index, and an empty collection needs none.
            self._request("creating an index", self._client.create_index, missing, sync=False)

    def _inverse_frequencies(self, terms: set[int]) -> dict[int, float]:
        """Return the IDF of the terms that occur."""
        if not terms:
            return {}
        count = self.count()
        with self._lock:
            # Other processes write too, and the cache must not grow without limit.
            if count != self._counted or len(self._frequencies) > _MAX_FREQUENCIES:
                self._frequencies.clear()
                self._counted = count
            known = dict(self._frequencies)
        unknown = sorted(terms - known.keys())
        counted = self._containing(unknown, "")
        many = [term for term in unknown if counted[term] >= _MOST_HITS]
        if many:
            counted.update(self._estimate(many, count))
        with self._lock:
            if count == self._counted:
                self._frequencies.update(counted)
        known.update(counted)
        total = max(count, *(known[term] for term in terms))
        return {
            term: inverse_document_frequency(total, known[term]) for term in terms if known[term]
        }

    def _containing(self, terms: Sequence[int], expression: str) -> dict[int, int]:
        """Count the chunks with each term, up to Milvus's limit."""
        queries = [{term: 1.0} for term in terms]
        found = self._find(_SPARSE, queries, _MOST_HITS, expression, ["id"])
        return {term: len(rows) for term, rows in zip(terms, found, strict=True)}

    def _estimate(self, terms: Sequence[int], total: int) -> dict[int, int]:
        """Estimate how many chunks have each term, where that is more than one answer holds.

        Ids are digests, so the ids that end in some zeros are a fair sample: of 1,000,000 chunks
        about 3,900. Without a sample the term counts as being in every chunk.
        """
        zeros = 1
        while total > _MOST_HITS * 16**zeros:
            zeros += 1
        sample = f'id like "%{"0" * zeros}"'
        size = self._count(sample)
        if not 0 < size <= _MOST_HITS:
            return dict.fromkeys(terms, total)
        found = self._containing(terms, sample)
        return {
            term: min(total, max(_MOST_HITS, round(total * hits / size)))
            for term, hits in found.items()
        }

    def _note_terms(self, ids: list[str], terms: list[SparseVector] | None) -> None:
        """Record new terms of chunks, or None for deleted chunks."""
        with self._lock:
            self._frequencies.clear()

    def _find(
        self, field: dict[str, Any], queries: list[Any], limit: int, where: str, output: list[str]
    ) -> list[list[dict[str, Any]]]:
        options = {**field, "limit": limit, "filter": where, "output_fields": output}
        found: list[list[dict[str, Any]]] = []
        for batch in batches(queries, max(1, 10_000 // limit)):
            found += self._request("searching", self._client.search, batch, **options)
        return found

    def _score(self, distance: float) -> float:
        # Milvus returns the squared distance for L2, the similarity itself for the others.
        return dense_score(1.0 - distance / 2.0 if self._metric == "L2" else distance)

    def _count(self, expression: str) -> int:
        query, fields = self._client.query, ["count(*)"]
        rows = self._request("reading", query, filter=expression, output_fields=fields)
        return int(rows[0]["count(*)"])

    def _pages(
        self, expression: str, fields: list[str], size: int
    ) -> Iterator[list[dict[str, Any]]]:
        options = {"batch_size": min(size, 1000), "filter": expression, "output_fields": fields}
        iterator = self._request("reading", self._client.query_iterator, **options)
        try:
            while rows := self._call("reading", iterator.next):
                yield rows
        finally:
            iterator.close()

    def _rows(self, ids: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        get = self._client.get
        for batch in batches(_well_formed(ids), 500):
            rows += self._request("reading", get, ids=batch, output_fields=fields)
        return rows

    def _write(self, rows: Iterable[dict[str, Any]]) -> None:
        measured = ((row, sum(map(len, row["text"] + row["record"]))) for row in rows)
        for batch in sized_batches(measured, _BATCH_ROWS, _BATCH_CHARACTERS):
            self._request("writing", self._client.upsert, data=batch)


def _leg(rows: Sequence[dict[str, Any]]) -> Leg:
    """Return a ranking of rows with their vectors, and the function that scores them."""
    ranking = [(row["id"], float(row["distance"])) for row in rows if row["distance"] > 0]
    vectors = {row["id"]: np.asarray(row["entity"]["dense"], dtype=np.float32) for row in rows}
    return ranking, lambda query, ids: similarities(query, {i: vectors[i] for i in ids})


def _row(chunk: Chunk, dense: Any, sparse: dict[int, float]) -> dict[str, Any]:
    if not _ID.fullmatch(chunk.id):
        raise ComponentError("milvus", "writing", f"'{chunk.id}' is not a chunk's id")
    # One text: Milvus Lite searches a substring fifty times faster than an array.
    tags = " ".join(tagged_rows.tags(chunk.metadata))
    if len(tags) > _MOST_BYTES:
        raise ComponentError(
            "milvus",
            "writing",
            f"chunk '{chunk.id}' has {len(chunk.metadata):,} metadata entries, more than Milvus "
            "takes (1,985, where each item of a list counts, and a number or date more than once): "
            "give it fewer, or use another store",
        )
    return {
        "id": chunk.id,
        "dense": np.asarray(dense, dtype=np.float32),
        "sparse": sparse,
        "text": _pieces(chunk.text),
        "record": _pieces(tagged_rows.record(chunk)),
        "tags": tags,
        "numbers": tagged_rows.numbers(chunk.metadata),
    }


def _chunk(row: dict[str, Any]) -> Chunk:
    return tagged_rows.chunk(row["id"], "".join(row["text"]), "".join(row["record"]))


def vectors_of(rows: Iterable[dict[str, Any]]) -> dict[str, Matrix]:
    """Return the dense vectors, float32 [dimension], of rows by chunk id."""
    return {row["id"]: np.asarray(row["dense"], dtype=np.float32) for row in rows}


def _pairs(rows: list[dict[str, Any]]) -> list[tuple[Chunk, Matrix]]:
    return [(_chunk(row), np.asarray(row["dense"], dtype=np.float32)) for row in rows]


def _sparse(terms: SparseVector) -> dict[int, float]:
    weights = dict(zip(terms.indices.tolist(), terms.values.tolist(), strict=True))
    weights.pop(2**32 - 1, None)  # the one id that Milvus does not take
    return weights or _NO_TERM


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _well_formed(ids: Sequence[str]) -> list[str]:
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
