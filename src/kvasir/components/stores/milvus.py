"""A Milvus server, through ``MilvusClient``; ``milvuslite`` keeps the same rows in the process.

Milvus's own BM25 function is not used: it cuts text by rules of its own. Our analyzer's term
weights lie in a sparse field with inner product instead, and a query's weights are the IDF of
its terms, counted by searching each term alone: exactly up to Milvus's limit to one answer, and
from a sample of the chunks beyond it. So every store ranks alike.

Source: https://milvus.io/docs (pymilvus 3.0, milvus-lite 3.2).
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from kvasir.components.stores.collection_checks import check_maker, check_vectors, not_ours
from kvasir.components.stores.collection_names import accepted_name
from kvasir.components.stores.milvus_rows import (
    MOST_BYTES,
    chunk_of,
    chunk_row,
    filter_expression,
    known_form,
    sparse_row,
)
from kvasir.components.stores.store_uris import server_address
from kvasir.core.batches import batches, sized_batches
from kvasir.core.errors import ComponentError
from kvasir.core.filters import Filter
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Chunk, Hit, Matrix, Metadata, SparseVector

T = TypeVar("T")

_PIECES = 4096
_BATCH_ROWS = 500
_BATCH_CHARACTERS = 4_000_000
_MOST_HITS = 16_384
"""Milvus's limit to the results of one query."""
_MAX_FREQUENCIES = 100_000
"""Terms whose frequencies are kept between searches."""
_GRAPH = {"index_type": "HNSW", "params": {"M": 16, "efConstruction": 200}}
_CHUNK_FIELDS = ["id", "text", "record"]


class MilvusStore:
    """Keeps a collection on a Milvus server."""

    name = "milvus"

    def __init__(
        self,
        uri: str,
        collection: str,
        dimension: int,
        analyzer: TextAnalyzer,
        fingerprint: str = "",
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        """Opens a collection, and creates it where there is none.

        Args:
            uri: Address of the server, such as ``http://localhost:19530``.
            collection: Any name; characters that Milvus refuses are replaced.
            dimension: Length of the vectors.
            analyzer: Makes the terms of the keyword leg.
            fingerprint: Of the embedder; empty accepts any.
            token: API key, in place of user name and password.
            username: User of the server.
            password: The user's password.

        Raises:
            SettingsError: ``uri`` is no address.
            CollectionError: It was made with another dimension or by another embedder.
            ComponentError: The server cannot be reached.
        """
        self.dimension = dimension
        self._title = collection
        self._collection = accepted_name(collection)
        self._analyzer = analyzer
        self._frequencies: dict[int, int] = {}
        self._counted = 0
        self._lock = threading.Lock()
        self._closed = False
        # Both write what they raise to the terminal as well.
        for library in ("pymilvus", "milvus_lite"):
            logging.getLogger(library).setLevel(logging.CRITICAL)
        self._client = self._connect(uri, token, username, password)
        try:
            self._open_collection(fingerprint)
        except BaseException:
            self.close()
            raise

    def upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Writes chunks, replacing those of the same id; durable when it returns."""
        if len(chunks) == 0:
            return
        check_vectors(self._title, self.dimension, vectors, len(chunks))
        last = {chunk.id: position for position, chunk in enumerate(chunks)}
        positions = sorted(last.values())
        chosen = [chunks[position] for position in positions]
        languages = [str(chunk.metadata.get("language", "")) for chunk in chosen]
        terms = self._analyzer.document_terms([chunk.passage for chunk in chosen], languages)
        self._forget_terms([chunk.id for chunk in chosen], terms)
        self._write(
            {
                **chunk_row(chunk),
                "dense": np.asarray(vectors[position], dtype=np.float32),
                "sparse": sparse_row(sparse),
            }
            for chunk, position, sparse in zip(chosen, positions, terms, strict=True)
        )

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes chunks by id; unknown ids are no error."""
        known = known_form(ids)
        self._forget_terms(known, None)
        for batch in batches(known, 1000):
            self._call("deleting", self._client.delete, self._collection, ids=batch)

    def count(self, filters: Filter | None = None) -> int:
        """Returns how many chunks there are."""
        rows = self._query(filter_expression(filters), ["count(*)"])
        return int(rows[0]["count(*)"])

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Returns chunks and their vectors [dimension]; unknown ids are left out."""
        rows = self._rows(ids, [*_CHUNK_FIELDS, "dense"])
        return [(chunk_of(row), np.asarray(row["dense"], dtype=np.float32)) for row in rows]

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yields every chunk with its vector [dimension], in batches."""
        for rows in self._pages(filter_expression(filters), [*_CHUNK_FIELDS, "dense"], batch_size):
            yield [(chunk_of(row), np.asarray(row["dense"], dtype=np.float32)) for row in rows]

    def search_dense(
        self, vectors: Matrix, top_k: int, filters: Filter | None = None
    ) -> list[list[Hit]]:
        """Returns for each query vector its nearest chunks, best first."""
        check_vectors(self._title, self.dimension, vectors, len(vectors))
        if top_k < 1:
            return [[] for _ in vectors]
        limit = min(top_k, _MOST_HITS)
        parameters = {"metric_type": self._metric, "params": {"ef": max(128, limit)}}
        queries = [np.asarray(vector, dtype=np.float32) for vector in vectors]
        found = self._search("dense", queries, limit, parameters, filter_expression(filters))
        return [[self._dense_hit(row) for row in rows] for rows in found]

    def search_lexical(
        self,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Hit]]:
        """Returns for each query the best chunks by BM25, best first."""
        if top_k < 1:
            return [[] for _ in queries]
        terms = [query.indices.tolist() for query in self._analyzer.query_terms(queries, languages)]
        weights = self._inverse_frequencies({term for query in terms for term in query})
        sparse = [{term: weights[term] for term in query if term in weights} for query in terms]
        asked = [position for position, query in enumerate(sparse) if query]
        found = self._search(
            "sparse",
            [sparse[position] for position in asked],
            min(top_k, _MOST_HITS),
            {"metric_type": "IP", "params": {}},
            filter_expression(filters),
        )
        results: list[list[Hit]] = [[] for _ in queries]
        for position, rows in zip(asked, found, strict=True):
            scores = [float(row["distance"]) for row in rows]
            results[position] = [
                Hit(chunk_of(row["entity"]), score / scores[0], None, score)
                for row, score in zip(rows, scores, strict=True)
                if score > 0
            ]
        return results

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replaces the metadata of chunks without touching text or vectors."""
        rows = self._rows(ids, [*_CHUNK_FIELDS, "dense", "sparse"])
        self._write(
            {
                **chunk_row(replace(chunk_of(row), metadata=dict(metadata))),
                "dense": np.asarray(row["dense"], dtype=np.float32),
                "sparse": row["sparse"],
            }
            for row in rows
        )

    def drop(self) -> None:
        """Deletes the collection with all that is in it, and closes the store."""
        self._call("deleting the collection", self._client.drop_collection, self._collection)
        self.close()

    def close(self) -> None:
        """Releases the connection; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._client.close()

    # --- opening -----------------------------------------------------------------------

    def _connect(
        self, uri: str, token: str | None, username: str | None, password: str | None
    ) -> MilvusClient:
        address = server_address(
            uri, store=self.name, example="http://localhost:19530", embedded="milvuslite"
        )
        try:
            return MilvusClient(
                uri=address, user=username or "", password=password or "", token=token or ""
            )
        except (MilvusException, OSError, RuntimeError) as error:
            raise ComponentError(self.name, f"connecting to {uri}", error) from error

    def _open_collection(self, fingerprint: str) -> None:
        if not self._call("opening", self._client.has_collection, self._collection):
            self._create_collection(fingerprint)
        description = self._call("opening", self._client.describe_collection, self._collection)
        fields = {field["name"]: field for field in description["fields"]}
        if set(fields) != {"id", "dense", "sparse", "text", "record", "tags", "numbers"}:
            raise not_ours(self._title)
        properties = description.get("properties") or {}
        about = properties.get("kvasir") or description["description"] or "{}"
        made_by = json.loads(about).get("fingerprint", "")
        check_maker(
            self._title,
            made_by=made_by,
            made_dimension=int(fields["dense"]["params"]["dim"]),
            fingerprint=fingerprint,
            dimension=self.dimension,
        )
        index = self._call("opening", self._client.describe_index, self._collection, "dense")
        self._metric = str(index["metric_type"])
        self._call("loading", self._client.load_collection, self._collection)

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
            self._collection,
            schema=schema,
            consistency_level="Strong",
        )
        made = self._call("opening", self._client.describe_collection, self._collection)
        if made["description"] != about:  # Milvus Lite forgets descriptions
            self._call(
                "creating a collection",
                self._client.alter_collection_properties,
                self._collection,
                properties={"kvasir": about},
            )
        # An empty collection is indexed at once: waiting would take half a second an index.
        self._call(
            "creating an index",
            self._client.create_index,
            self._collection,
            indexes,
            sync=False,
        )

    # --- asking ------------------------------------------------------------------------

    def _inverse_frequencies(self, terms: set[int]) -> dict[int, float]:
        """Returns the IDF of the terms that occur. Source: Lucene's BM25Similarity."""
        if not terms:
            return {}
        count = self.count()
        with self._lock:
            # Other processes write too; and the words that readers ask for have no end.
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
            term: math.log(1.0 + (total - known[term] + 0.5) / (known[term] + 0.5))
            for term in terms
            if known[term]
        }

    def _containing(self, terms: Sequence[int], expression: str) -> dict[int, int]:
        """Counts the chunks with each term, up to Milvus's limit."""
        found = self._search(
            "sparse",
            [{term: 1.0} for term in terms],
            _MOST_HITS,
            {"metric_type": "IP", "params": {}},
            expression,
            ["id"],
        )
        return {term: len(rows) for term, rows in zip(terms, found, strict=True)}

    def _estimate(self, terms: Sequence[int], total: int) -> dict[int, int]:
        """Estimates how many chunks have each term, where that is more than one answer holds.

        Ids are digests, so those that end in as many zeros as needed are a fair sample, small
        enough to be counted: at 1,000,000 chunks some 3,900, and a term that is in 2 % of all
        is found in 78 of them. Without a sample the term counts as being everywhere.
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

    def _forget_terms(self, ids: list[str], terms: list[SparseVector] | None) -> None:
        """Takes note that chunks get new terms, or lose theirs."""
        with self._lock:
            self._frequencies.clear()

    def _search(
        self,
        field: str,
        queries: Sequence[Any],
        limit: int,
        parameters: dict[str, Any],
        expression: str,
        output: list[str] | None = None,
    ) -> list[list[dict[str, Any]]]:
        found: list[list[dict[str, Any]]] = []
        for batch in batches(queries, max(1, 10_000 // limit)):
            found += self._call(
                "searching",
                self._client.search,
                self._collection,
                data=batch,
                anns_field=field,
                limit=limit,
                filter=expression,
                output_fields=output or _CHUNK_FIELDS,
                search_params=parameters,
            )
        return found

    def _dense_hit(self, row: dict[str, Any]) -> Hit:
        distance = float(row["distance"])
        # Milvus returns the squared distance for L2, the similarity itself for the others.
        cosine = 1.0 - distance / 2.0 if self._metric == "L2" else distance
        score = min(1.0, max(0.0, (1.0 + cosine) / 2.0))
        return Hit(chunk_of(row["entity"]), score, score)

    def _query(self, expression: str, fields: list[str]) -> list[dict[str, Any]]:
        return list(
            self._call(
                "reading",
                self._client.query,
                self._collection,
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
            self._collection,
            batch_size=min(size, 1000),
            filter=expression,
            output_fields=fields,
        )
        try:
            while rows := self._call("reading", iterator.next):
                yield rows
        finally:
            iterator.close()

    def _read_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        return [chunk_of(row) for row in self._rows(ids, _CHUNK_FIELDS)]

    def _matching(self, filters: Filter | None) -> set[str] | None:
        """Returns the ids of all chunks that pass a filter; None where there is no filter."""
        if filters is None:
            return None
        pages = self._pages(filter_expression(filters), ["id"], 1000)
        return {row["id"] for rows in pages for row in rows}

    def _rows(self, ids: Sequence[str], fields: list[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for batch in batches(known_form(ids), 500):
            rows += self._call(
                "reading", self._client.get, self._collection, ids=batch, output_fields=fields
            )
        return rows

    def _write(self, rows: Iterator[dict[str, Any]]) -> None:
        measured = ((row, sum(map(len, row["text"] + row["record"]))) for row in rows)
        for batch in sized_batches(measured, _BATCH_ROWS, _BATCH_CHARACTERS):
            self._call("writing", self._client.upsert, self._collection, data=batch)

    def _call(self, doing: str, method: Callable[..., T], *args: Any, **options: Any) -> T:
        try:
            return method(*args, **options)
        except MilvusException as error:
            raise ComponentError(self.name, doing, error) from error
