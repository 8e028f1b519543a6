"""A Qdrant server, with the same points as the embedded store: growing is a change of ``uri``.

Source: https://qdrant.tech/documentation, qdrant-client 1.20; points and filters as in
``qdrant_layout``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import httpx
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from kvasir.components.stores.collection_checks import check_maker, check_vectors, not_ours
from kvasir.components.stores.collection_names import accepted_name
from kvasir.components.stores.qdrant_points import (
    BM25,
    CHUNK_FIELDS,
    DENSE,
    KEYWORD_FIELDS,
    LAYOUT_VERSION,
    Dialect,
    chunk_of,
    has_number,
    may_index_number,
    metadata_payload,
    payload_of,
    point_ids,
    range_fields,
    translate,
)
from kvasir.components.stores.store_uris import server_address
from kvasir.core.batches import batches, sized_batches
from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.filters import Filter
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Chunk, Hit, Matrix, Metadata, SparseVector

T = TypeVar("T")

_DIALECT = Dialect(
    filter=models.Filter,
    field=models.FieldCondition,
    match=models.MatchValue,
    match_any=models.MatchAny,
    range=models.Range,
)
_BATCH_ROWS = 256
_BATCH_CHARACTERS = 4_000_000
_QUERIES = 64
"""Queries in one request."""
_SECONDS = 60


class QdrantServerStore:
    """Keeps a collection on a Qdrant server."""

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
            uri: Address of the server, such as ``http://localhost:6333``.
            collection: Any name; characters that a server could refuse are replaced.
            dimension: Length of the vectors.
            analyzer: Makes the terms of the keyword leg.
            fingerprint: Of the embedder; empty accepts any.
            token: API key.
            username: Must be empty: Qdrant knows keys only.
            password: Must be empty.

        Raises:
            SettingsError: ``uri`` is no address, or a user name or a password is given.
            CollectionError: It was made with another dimension or by another embedder.
            ComponentError: The server cannot be reached.
        """
        if username or password:
            raise SettingsError(
                "Qdrant knows no user names: put its API key in rag.vectordb.token, and leave "
                "username and password empty"
            )
        self.dimension = dimension
        self._title = collection
        self._collection = accepted_name(collection)
        self._analyzer = analyzer
        self._indexed: set[str] = set()
        self._client = self._call(f"connecting to {uri}", self._connect, uri, token)
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
        languages = [str(chunk.metadata.get("language", "und")) for chunk in chunks]
        terms = self._analyzer.document_terms([chunk.passage for chunk in chunks], languages)
        points = (
            (_point(chunk, vector, sparse), len(chunk.text))
            for chunk, vector, sparse in zip(chunks, vectors, terms, strict=True)
        )
        for batch in sized_batches(points, _BATCH_ROWS, _BATCH_CHARACTERS):
            self._call("writing", self._client.upsert, self._collection, batch, wait=True)

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes chunks by id; unknown ids are no error."""
        for batch in batches(point_ids(ids), 1000):
            chosen = models.PointIdsList(points=batch)
            self._call("deleting", self._client.delete, self._collection, chosen, wait=True)

    def count(self, filters: Filter | None = None) -> int:
        """Returns how many chunks there are."""
        condition = self._condition(filters)
        counted = self._call(
            "counting", self._client.count, self._collection, condition, exact=True
        )
        return int(counted.count)

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Returns chunks and their vectors [dimension]; unknown ids are left out."""
        return [
            _pair(record)
            for batch in batches(point_ids(ids), 1000)
            for record in self._call(
                "reading",
                self._client.retrieve,
                self._collection,
                batch,
                with_payload=CHUNK_FIELDS,
                with_vectors=[DENSE],
            )
        ]

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yields every chunk with its vector [dimension], in batches."""
        condition = self._condition(filters)
        offset = None
        while True:
            records, offset = self._call(
                "reading",
                self._client.scroll,
                self._collection,
                condition,
                limit=batch_size,
                offset=offset,
                with_payload=CHUNK_FIELDS,
                with_vectors=[DENSE],
            )
            if records:
                yield [_pair(record) for record in records]
            if offset is None:
                return

    def search_dense(
        self, vectors: Matrix, top_k: int, filters: Filter | None = None
    ) -> list[list[Hit]]:
        """Returns for each query vector its nearest chunks, best first."""
        check_vectors(self._title, self.dimension, vectors, len(vectors))
        found = self._search([vector.tolist() for vector in vectors], DENSE, top_k, filters)
        return [[_dense_hit(point) for point in points] for points in found]

    def search_lexical(
        self,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Hit]]:
        """Returns for each query the best chunks by BM25, best first."""
        terms = self._analyzer.query_terms(queries, languages)
        asked = [position for position, query in enumerate(terms) if len(query.indices)]
        vectors = [_sparse(terms[position]) for position in asked]
        results: list[list[Hit]] = [[] for _ in queries]
        for position, points in zip(
            asked, self._search(vectors, BM25, top_k, filters), strict=True
        ):
            scores = [float(point.score) for point in points if point.score > 0]
            results[position] = [
                Hit(_chunk(point), score / scores[0], None, score)
                for point, score in zip(points, scores, strict=False)
            ]
        return results

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replaces the metadata of chunks without touching text or vectors."""
        known = [
            record.id
            for batch in batches(point_ids(ids), 1000)
            for record in self._call(
                "reading",
                self._client.retrieve,
                self._collection,
                batch,
                with_payload=False,
                with_vectors=False,
            )
        ]
        for batch in batches(known, 1000):
            self._call(
                "writing",
                self._client.set_payload,
                self._collection,
                metadata_payload(metadata),
                batch,
                wait=True,
            )

    def drop(self) -> None:
        """Deletes the collection from the server, and closes the store."""
        self._call("deleting the collection", self._client.delete_collection, self._collection)
        self.close()

    def close(self) -> None:
        """Releases the connection; a second call does nothing."""
        self._client.close()

    def _connect(self, uri: str, token: str | None) -> QdrantClient:
        address = server_address(
            uri, store="qdrant-server", example="http://localhost:6333", embedded="qdrant"
        )
        return QdrantClient(url=address, api_key=token, timeout=_SECONDS, check_compatibility=False)

    def _open_collection(self, fingerprint: str) -> None:
        if not self._call("opening", self._client.collection_exists, self._collection):
            self._create_collection(fingerprint)
        info = self._call("opening", self._client.get_collection, self._collection)
        dense = info.config.params.vectors
        about = info.config.metadata or {}
        if not isinstance(dense, dict) or DENSE not in dense:
            raise not_ours(self._title)
        check_maker(
            self._title,
            made_by=str(about.get("fingerprint", "")),
            made_dimension=int(dense[DENSE].size),
            fingerprint=fingerprint,
            dimension=self.dimension,
        )
        self._indexed = set(info.payload_schema or {})

    def _create_collection(self, fingerprint: str) -> None:
        self._call(
            "creating a collection",
            self._client.create_collection,
            self._collection,
            vectors_config={
                DENSE: models.VectorParams(size=self.dimension, distance=models.Distance.COSINE)
            },
            sparse_vectors_config={BM25: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            metadata={"layout": LAYOUT_VERSION, "fingerprint": fingerprint},
        )
        for field in KEYWORD_FIELDS:
            self._index(field, models.PayloadSchemaType.KEYWORD)

    def _index(self, field: str, kind: models.PayloadSchemaType) -> None:
        self._call(
            "indexing", self._client.create_payload_index, self._collection, field, kind, wait=True
        )

    def _condition(self, filters: Filter | None) -> models.Filter | None:
        if filters is None:
            return None
        for field in range_fields(filters) - self._indexed:
            if may_index_number(self._indexed) and self._has_number(field):
                self._index(field, models.PayloadSchemaType.FLOAT)
                self._indexed.add(field)
        condition: models.Filter = translate(filters, _DIALECT)
        return condition

    def _has_number(self, field: str) -> bool:
        records, _ = self._call(
            "reading",
            self._client.scroll,
            self._collection,
            has_number(field, _DIALECT),
            limit=1,
            with_payload=False,
        )
        return bool(records)

    def _search(
        self, queries: Sequence[Any], using: str, top_k: int, filters: Filter | None
    ) -> list[list[models.ScoredPoint]]:
        if top_k < 1:
            return [[] for _ in queries]
        condition = self._condition(filters)
        requests = [
            models.QueryRequest(
                query=query,
                using=using,
                filter=condition,
                limit=top_k,
                with_payload=CHUNK_FIELDS,
                with_vector=False,
            )
            for query in queries
        ]
        return [
            answer.points
            for batch in batches(requests, _QUERIES)
            for answer in self._call(
                "searching", self._client.query_batch_points, self._collection, batch
            )
        ]

    def _call(self, doing: str, method: Callable[..., T], *args: Any, **options: Any) -> T:
        try:
            return method(*args, **options)
        except (ApiException, httpx.HTTPError, OSError) as error:
            raise ComponentError("qdrant-server", doing, error) from error


def _dense_hit(point: models.ScoredPoint) -> Hit:
    score = min(1.0, max(0.0, (1.0 + float(point.score)) / 2))
    return Hit(_chunk(point), score, score)


def _chunk(point: models.ScoredPoint | models.Record) -> Chunk:
    return chunk_of(str(point.id), point.payload or {})


def _pair(record: models.Record) -> tuple[Chunk, Matrix]:
    vectors = record.vector
    if not isinstance(vectors, dict):
        raise ComponentError("qdrant-server", "reading", f"chunk {record.id} has no vector")
    return _chunk(record), np.asarray(vectors[DENSE], dtype=np.float32)


def _point(chunk: Chunk, vector: Matrix, terms: SparseVector) -> models.PointStruct:
    vectors: dict[str, Any] = {DENSE: vector.tolist(), BM25: _sparse(terms)}
    return models.PointStruct(id=chunk.id, vector=vectors, payload=payload_of(chunk))


def _sparse(terms: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=terms.indices.tolist(), values=terms.values.tolist())
