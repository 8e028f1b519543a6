"""A Milvus server, through ``MilvusClient``; ``milvuslite`` keeps the same rows in the process.

Milvus's own BM25 function is not used, because it has its own tokenizer. A sparse field with inner
product holds the analyzer's term weights, so every store ranks alike. A query's weights are the IDF
of its terms. A search for each single term counts its chunks, exactly up to Milvus's limit of
results, above it from a sample.

Source: https://milvus.io/docs (pymilvus 3.0, milvus-lite 3.2).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from kvasir.components.stores.collection_checks import not_ours
from kvasir.components.stores.database_store import DatabaseStore
from kvasir.components.stores.hybrid import join_legs, resolved, scores_of, similarities
from kvasir.components.stores.milvus_rows import (
    MOST_BYTES,
    chunk_of,
    chunk_row,
    filter_expression,
    sparse_row,
    well_formed,
)
from kvasir.components.stores.store_uris import server_address
from kvasir.core.batches import batches, sized_batches
from kvasir.core.errors import ComponentError
from kvasir.core.filters import Filter
from kvasir.core.protocols import Candidate, PendingVectors
from kvasir.core.scoring import dense_score, inverse_document_frequency
from kvasir.core.types import Chunk, Matrix, Metadata, SparseVector

# Both log the errors that they raise, and pymilvus logs to the terminal. The null handler keeps
# Python from writing these logs to the terminal instead.
for _log in (logging.getLogger("pymilvus"), logging.getLogger("milvus_lite")):
    for _handler in [each for each in _log.handlers if type(each) is logging.StreamHandler]:
        _log.removeHandler(_handler)
    _log.addHandler(logging.NullHandler())

_EXAMPLE = "http://localhost:19530"
_PIECES = 4096
_BATCH_ROWS = 500
_BATCH_CHARACTERS = 4_000_000
_MOST_HITS = 16_384
"""Milvus's limit to the results of one query."""
_MAX_FREQUENCIES = 100_000
"""Most terms with a cached frequency."""
_GRAPH = {"index_type": "HNSW", "params": {"M": 16, "efConstruction": 200}}
_CHUNK_FIELDS = ["id", "text", "record"]


class MilvusStore(DatabaseStore):
    """Keeps a collection on a Milvus server."""

    name = "milvus"
    _errors = (MilvusException,)
    _client: MilvusClient

    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        terms = self._terms(chunks)
        self._write(
            {
                **chunk_row(chunk),
                "dense": np.asarray(vector, dtype=np.float32),
                "sparse": sparse_row(sparse),
            }
            for chunk, vector, sparse in zip(chunks, vectors, terms, strict=True)
        )
        self._note_terms([chunk.id for chunk in chunks], terms)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error."""
        known = well_formed(ids)
        for batch in batches(known, 1000):
            self._call("deleting", self._client.delete, self._name, ids=batch)
        self._note_terms(known, None)

    def count(self, filters: Filter | None = None) -> int:
        """Return how many chunks there are."""
        rows = self._query(filter_expression(filters), ["count(*)"])
        return int(rows[0]["count(*)"])

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Return chunks and their vectors [dimension]; unknown ids are left out."""
        rows = self._rows(ids, [*_CHUNK_FIELDS, "dense"])
        return [(chunk_of(row), np.asarray(row["dense"], dtype=np.float32)) for row in rows]

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yield every chunk with its vector [dimension], in batches."""
        for rows in self._pages(filter_expression(filters), [*_CHUNK_FIELDS, "dense"], batch_size):
            yield [(chunk_of(row), np.asarray(row["dense"], dtype=np.float32)) for row in rows]

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks without their vectors; unknown ids are left out."""
        return [chunk_of(row) for row in self._rows(ids, _CHUNK_FIELDS)]

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[list[Candidate]]:
        limit = min(top_k, _MOST_HITS)
        parameters = {"metric_type": self._metric, "params": {"ef": max(128, limit)}}
        queries = [np.asarray(vector, dtype=np.float32) for vector in vectors]
        expression = filter_expression(filters)
        found = self._search_field("dense", queries, limit, parameters, expression, ["id"])
        return [[self._candidate(row) for row in rows] for rows in found]

    def search_hybrid(
        self,
        vectors: Matrix | PendingVectors,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Candidate]]:
        """Return for each query the chunks that either leg finds."""
        words = self._search_words(queries, languages, top_k, filters)
        vectors = resolved(vectors)
        return [
            join_legs(
                scores_of(near),
                [(row["id"], float(row["distance"])) for row in rows if row["distance"] > 0],
                top_k,
                partial(_scores, vector, rows),
            )
            for near, rows, vector in zip(
                self.search(vectors, top_k, filters), words, vectors, strict=True
            )
        ]

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""
        rows = self._rows(ids, [*_CHUNK_FIELDS, "dense", "sparse"])
        self._write(
            {
                **chunk_row(replace(chunk_of(row), metadata=dict(metadata))),
                "dense": np.asarray(row["dense"], dtype=np.float32),
                "sparse": row["sparse"],
            }
            for row in rows
        )

    def _connect(
        self, uri: str, token: str | None, username: str | None, password: str | None
    ) -> None:
        self._frequencies: dict[int, int] = {}
        self._counted = 0
        self._lock = threading.Lock()
        address = server_address(uri, store=self.name, example=_EXAMPLE, embedded="milvuslite")
        try:
            self._client = MilvusClient(
                uri=address, user=username or "", password=password or "", token=token or ""
            )
        except (MilvusException, OSError, RuntimeError) as error:
            raise ComponentError(self.name, f"connecting to {uri}", error) from error

    def _disconnect(self) -> None:
        self._client.close()

    def _drop(self) -> None:
        self._call("deleting the collection", self._client.drop_collection, self._name)

    def _open_collection(self, fingerprint: str) -> None:
        if not self._call("opening", self._client.has_collection, self._name):
            self._create_collection(fingerprint)
        description = self._call("opening", self._client.describe_collection, self._name)
        fields = {field["name"]: field for field in description["fields"]}
        if set(fields) != {"id", "dense", "sparse", "text", "record", "tags", "numbers"}:
            raise not_ours(self._title)
        properties = description.get("properties") or {}
        about = properties.get("kvasir") or description["description"] or "{}"
        stored_fingerprint = json.loads(about).get("fingerprint", "")
        self._check_maker(stored_fingerprint, int(fields["dense"]["params"]["dim"]), fingerprint)
        index = self._call("opening", self._client.describe_index, self._name, "dense")
        self._metric = str(index["metric_type"])
        self._call("loading", self._client.load_collection, self._name)

    def _create_collection(self, fingerprint: str) -> None:
        about = json.dumps({"kvasir": 1, "fingerprint": fingerprint})
        schema = self._client.create_schema(
            auto_id=False, enable_dynamic_field=False, description=about
        )
        schema.add_field("id", DataType.VARCHAR, max_length=128, is_primary=True)
        schema.add_field("dense", DataType.FLOAT_VECTOR, dim=self.dimension)
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
        for field in ("text", "record"):
            schema.add_field(
                field,
                DataType.ARRAY,
                element_type=DataType.VARCHAR,
                max_capacity=_PIECES,
                max_length=MOST_BYTES,
            )
        schema.add_field("tags", DataType.VARCHAR, max_length=MOST_BYTES)
        schema.add_field("numbers", DataType.JSON)
        indexes = self._client.prepare_index_params()
        indexes.add_index("dense", metric_type="COSINE", **_GRAPH)
        indexes.add_index("sparse", metric_type="IP", index_type="SPARSE_INVERTED_INDEX")
        self._call(
            "creating a collection",
            self._client.create_collection,
            self._name,
            schema=schema,
            consistency_level="Strong",
        )
        made = self._call("opening", self._client.describe_collection, self._name)
        if made["description"] != about:  # Milvus Lite forgets descriptions
            self._call(
                "creating a collection",
                self._client.alter_collection_properties,
                self._name,
                properties={"kvasir": about},
            )
        # Waiting takes half a second per index, and an empty collection needs none.
        self._call(
            "creating an index",
            self._client.create_index,
            self._name,
            indexes,
            sync=False,
        )

    def _search_words(
        self,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None,
    ) -> list[list[dict[str, Any]]]:
        """Return for each query rows of the best chunks by BM25, with their vectors."""
        results: list[list[dict[str, Any]]] = [[] for _ in queries]
        if top_k < 1:
            return results
        terms = [query.indices.tolist() for query in self._analyzer.query_terms(queries, languages)]
        weights = self._inverse_frequencies({term for query in terms for term in query})
        sparse = [{term: weights[term] for term in query if term in weights} for query in terms]
        asked = [position for position, query in enumerate(sparse) if query]
        found = self._search_field(
            "sparse",
            [sparse[position] for position in asked],
            min(top_k, _MOST_HITS),
            {"metric_type": "IP", "params": {}},
            filter_expression(filters),
            ["id", "dense"],
        )
        for position, rows in zip(asked, found, strict=True):
            results[position] = rows
        return results

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
        found = self._search_field(
            "sparse",
            [{term: 1.0} for term in terms],
            _MOST_HITS,
            {"metric_type": "IP", "params": {}},
            expression,
            ["id"],
        )
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
        size = int(self._query(sample, ["count(*)"])[0]["count(*)"])
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

    def _search_field(
        self,
        field: str,
        queries: Sequence[Any],
        limit: int,
        parameters: dict[str, Any],
        expression: str,
        output: list[str],
    ) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = []
        for batch in batches(queries, max(1, 10_000 // limit)):
            found += self._call(
                "searching",
                self._client.search,
                self._name,
                data=batch,
                anns_field=field,
                limit=limit,
                filter=expression,
                output_fields=output,
                search_params=parameters,
            )
        return found

    def _candidate(self, row: dict[str, Any]) -> Candidate:
        distance = float(row["distance"])
        # Milvus returns the squared distance for L2, the similarity itself for the others.
        cosine = 1.0 - distance / 2.0 if self._metric == "L2" else distance
        return Candidate(row["id"], dense_score(cosine))

    def _query(self, expression: str, fields: list[str]) -> list[dict[str, Any]]:
        return list(
            self._call(
                "reading",
                self._client.query,
                self._name,
                filter=expression,
                output_fields=fields,
            )
        )

    def _pages(
        self, expression: str, fields: list[str], size: int
    ) -> Iterator[list[dict[str, Any]]]:
        iterator = self._call(
            "reading",
            self._client.query_iterator,
            self._name,
            batch_size=min(size, 1000),
            filter=expression,
            output_fields=fields,
        )
        try:
            while rows := self._call("reading", iterator.next):
                yield rows
        finally:
            iterator.close()

    def _rows(self, ids: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for batch in batches(well_formed(ids), 500):
            rows += self._call(
                "reading", self._client.get, self._name, ids=batch, output_fields=fields
            )
        return rows

    def _write(self, rows: Iterator[dict[str, Any]]) -> None:
        measured = ((row, sum(map(len, row["text"] + row["record"]))) for row in rows)
        for batch in sized_batches(measured, _BATCH_ROWS, _BATCH_CHARACTERS):
            self._call("writing", self._client.upsert, self._name, data=batch)


def _scores(query: Matrix, rows: Sequence[dict[str, Any]], ids: Sequence[str]) -> dict[str, float]:
    vectors = {row["id"]: np.asarray(row["entity"]["dense"], dtype=np.float32) for row in rows}
    return similarities(query, {chunk_id: vectors[chunk_id] for chunk_id in ids})
