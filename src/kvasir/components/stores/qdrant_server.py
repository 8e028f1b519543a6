"""A Qdrant server, with the same points and filters as the embedded store (``qdrant_points``).

Source: https://qdrant.tech/documentation, qdrant-client 1.20.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from kvasir.components.stores.collection_checks import check_vectors, not_ours
from kvasir.components.stores.database_store import DatabaseStore
from kvasir.components.stores.hybrid import join_legs, resolved
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
from kvasir.core.protocols import Candidate, PendingVectors
from kvasir.core.scoring import dense_score
from kvasir.core.types import Chunk, Matrix, Metadata, SparseVector

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
"""Parts of one request; a hybrid query has three."""
_SECONDS = 60
_EXAMPLE = "http://localhost:6333"


class QdrantServerStore(DatabaseStore):
    """Keeps a collection on a Qdrant server."""

    name = "qdrant-server"
    _errors = (ApiException, httpx.HTTPError, OSError)
    _client: QdrantClient

    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        points = (
            (_point(chunk, vector, sparse), len(chunk.text))
            for chunk, vector, sparse in zip(chunks, vectors, self._terms(chunks), strict=True)
        )
        for batch in sized_batches(points, _BATCH_ROWS, _BATCH_CHARACTERS):
            self._call("writing", self._client.upsert, self._name, batch, wait=True)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error."""
        for batch in batches(point_ids(ids), 1000):
            chosen = models.PointIdsList(points=batch)
            self._call("deleting", self._client.delete, self._name, chosen, wait=True)

    def count(self, filters: Filter | None = None) -> int:
        """Return how many chunks there are."""
        condition = self._condition(filters)
        counted = self._call("counting", self._client.count, self._name, condition, exact=True)
        return int(counted.count)

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Return chunks and their vectors [dimension]; unknown ids are left out."""
        found = self._retrieve(ids, with_payload=CHUNK_FIELDS, with_vectors=[DENSE])
        return [_pair(record) for record in found]

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yield every chunk with its vector [dimension], in batches."""
        condition = self._condition(filters)
        offset = None
        while True:
            records, offset = self._call(
                "reading",
                self._client.scroll,
                self._name,
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

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks without their vectors; unknown ids are left out."""
        return [
            chunk_of(str(record.id), record.payload or {})
            for record in self._retrieve(ids, with_payload=CHUNK_FIELDS, with_vectors=False)
        ]

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[list[Candidate]]:
        condition = self._condition(filters)
        requests = [_nearest(v.tolist(), DENSE, top_k, condition) for v in vectors]
        return [_candidates(_near(points)) for points in self._query(requests)]

    def search_hybrid(
        self,
        vectors: Matrix | PendingVectors,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Candidate]]:
        """Return for each query the chunks that either leg finds, with one request to the server.

        Its third part computes the dense scores of the keyword leg's chunks.
        """
        terms = self._analyzer.query_terms(queries, languages)
        vectors = resolved(vectors)
        check_vectors(self._title, self.dimension, vectors, len(queries))
        if top_k < 1:
            return [[] for _ in queries]
        condition = self._condition(filters)
        requests: list[models.QueryRequest] = []
        for vector, sparse in zip(vectors, terms, strict=True):
            requests.append(_nearest(vector.tolist(), DENSE, top_k, condition))
            if len(sparse.indices):
                words = _nearest(_sparse(sparse), BM25, top_k, condition)
                again = models.Prefetch(
                    query=words.query, using=BM25, filter=condition, limit=top_k
                )
                requests += [words, _nearest(vector.tolist(), DENSE, top_k, None, again)]
        answers = iter(self._query(requests))
        return [
            _joined(next(answers), next(answers), next(answers), top_k)
            if len(sparse.indices)
            else _candidates(_near(next(answers)))
            for sparse in terms
        ]

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""
        known = [
            record.id for record in self._retrieve(ids, with_payload=False, with_vectors=False)
        ]
        for batch in batches(known, 1000):
            self._call(
                "writing",
                self._client.set_payload,
                self._name,
                metadata_payload(metadata),
                batch,
                wait=True,
            )

    def _connect(
        self, uri: str, token: str | None, username: str | None, password: str | None
    ) -> None:
        if username or password:
            raise SettingsError(
                "Qdrant knows no user names: put its API key in rag.vectordb.token, and leave "
                "username and password empty"
            )
        address = server_address(uri, store=self.name, example=_EXAMPLE, embedded="qdrant")
        self._client = self._call(f"connecting to {uri}", self._make_client, address, token)

    def _make_client(self, address: str, token: str | None) -> QdrantClient:
        return QdrantClient(url=address, api_key=token, timeout=_SECONDS, check_compatibility=False)

    def _disconnect(self) -> None:
        self._client.close()

    def _drop(self) -> None:
        self._call("deleting the collection", self._client.delete_collection, self._name)

    def _open_collection(self, fingerprint: str) -> None:
        if not self._call("opening", self._client.collection_exists, self._name):
            self._create_collection(fingerprint)
        info = self._call("opening", self._client.get_collection, self._name)
        dense = info.config.params.vectors
        about = info.config.metadata or {}
        if not isinstance(dense, dict) or DENSE not in dense:
            raise not_ours(self._title)
        stored_fingerprint = str(about.get("fingerprint", ""))
        self._check_maker(stored_fingerprint, int(dense[DENSE].size), fingerprint)
        self._indexed = set(info.payload_schema or {})

    def _create_collection(self, fingerprint: str) -> None:
        self._call(
            "creating a collection",
            self._client.create_collection,
            self._name,
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
            "indexing", self._client.create_payload_index, self._name, field, kind, wait=True
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
            self._name,
            has_number(field, _DIALECT),
            limit=1,
            with_payload=False,
        )
        return bool(records)

    def _query(self, requests: Sequence[models.QueryRequest]) -> list[list[models.ScoredPoint]]:
        return [
            answer.points
            for batch in batches(requests, _QUERIES)
            for answer in self._call(
                "searching", self._client.query_batch_points, self._name, batch
            )
        ]

    def _retrieve(self, ids: Sequence[str], **options: Any) -> Iterator[models.Record]:
        for batch in batches(point_ids(ids), 1000):
            yield from self._call("reading", self._client.retrieve, self._name, batch, **options)


def _nearest(
    query: Any,
    using: str,
    top_k: int,
    condition: models.Filter | None,
    among: models.Prefetch | None = None,
) -> models.QueryRequest:
    """Return the request for the best ids, optionally among those of another query."""
    return models.QueryRequest(
        query=query,
        using=using,
        filter=condition,
        limit=top_k,
        prefetch=among,
        with_payload=False,
        with_vector=False,
    )


def _near(points: Sequence[models.ScoredPoint]) -> dict[str, float]:
    return {str(point.id): dense_score(float(point.score)) for point in points}


def _candidates(near: dict[str, float]) -> list[Candidate]:
    return [Candidate(*pair) for pair in near.items()]


def _joined(
    near: Sequence[models.ScoredPoint],
    words: Sequence[models.ScoredPoint],
    again: Sequence[models.ScoredPoint],
    top_k: int,
) -> list[Candidate]:
    ranking = [(str(point.id), float(point.score)) for point in words if point.score > 0]
    scores = _near(again)
    return join_legs(_near(near), ranking, top_k, lambda ids: scores)


def _pair(record: models.Record) -> tuple[Chunk, Matrix]:
    vectors = record.vector
    if not isinstance(vectors, dict):
        raise ComponentError("qdrant-server", "reading", f"chunk {record.id} has no vector")
    chunk = chunk_of(str(record.id), record.payload or {})
    return chunk, np.asarray(vectors[DENSE], dtype=np.float32)


def _point(chunk: Chunk, vector: Matrix, terms: SparseVector) -> models.PointStruct:
    vectors: dict[str, Any] = {DENSE: vector.tolist(), BM25: _sparse(terms)}
    return models.PointStruct(id=chunk.id, vector=vectors, payload=payload_of(chunk))


def _sparse(terms: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=terms.indices.tolist(), values=terms.values.tolist())
