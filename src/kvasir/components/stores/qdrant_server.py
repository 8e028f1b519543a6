"""A Qdrant server, with the same points and filters as the embedded store (``qdrant_points``).

Source: https://qdrant.tech/documentation, qdrant-client 1.20.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from kvasir.components.stores.database_store import DatabaseStore, Scores, check_vectors, not_ours
from kvasir.components.stores.hybrid import join_legs, resolved, search_terms
from kvasir.components.stores.qdrant_points import (
    BM25,
    CHUNK_FIELDS,
    DENSE,
    KEYWORD_FIELDS,
    LAYOUT_VERSION,
    Dialect,
    QdrantPoints,
    metadata_payload,
    payloads_of,
    point_ids,
)
from kvasir.components.stores.store_uris import server_address
from kvasir.core.batches import batches, sized_batches
from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.filters import Filter
from kvasir.core.protocols import Candidate, PendingVectors
from kvasir.core.scoring import dense_score
from kvasir.core.types import Chunk, Matrix, Metadata, SparseVector

_BATCH_ROWS = 256
_BATCH_CHARACTERS = 4_000_000
_QUERIES = 64
"""Parts of one request; a hybrid query has three."""
_CLIENT_OPTIONS = {"timeout": 60, "check_compatibility": False}
_NOT_FOUND = 404
_EXISTS = 409
"""Status of the answer to the creation of a collection that exists."""
_EXAMPLE = "http://localhost:6333"


class QdrantServerStore(QdrantPoints, DatabaseStore):
    """Keeps a collection on a Qdrant server."""

    name = "qdrant-server"
    _errors = (ApiException, httpx.HTTPError, OSError)
    _dialect = Dialect(models, models.Range)
    _client: QdrantClient

    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        parts = zip(chunks, vectors, self._terms(chunks), payloads_of(chunks), strict=True)
        measured = ((_point(*part), len(part[0].text)) for part in parts)
        for batch in sized_batches(measured, _BATCH_ROWS, _BATCH_CHARACTERS):
            self._request("writing", self._client.upsert, batch, wait=True)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error."""
        for batch in batches(point_ids(ids), 1000):
            self._request("deleting", self._client.delete, batch, wait=True)

    def count(self, filters: Filter | None = None) -> int:
        """Return how many chunks there are."""
        condition = self._condition(filters)
        counted = self._request("counting", self._client.count, condition, exact=True)
        return int(counted.count)

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[Scores]:
        condition = self._condition(filters)
        requests = [_nearest(v.tolist(), DENSE, top_k, filter=condition) for v in vectors]
        return [_scores(points) for points in self._query(requests)]

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
        terms = search_terms(self._analyzer, queries, languages)
        vectors = resolved(vectors)
        check_vectors(self._title, self.dimension, vectors, len(queries))
        if top_k < 1:
            return [[] for _ in queries]
        condition = self._condition(filters)
        requests: list[models.QueryRequest] = []
        for vector, sparse in zip(vectors, terms, strict=True):
            dense = vector.tolist()
            requests.append(_nearest(dense, DENSE, top_k, filter=condition))
            if len(sparse.indices):
                query = _sparse(sparse)
                words = models.Prefetch(query=query, using=BM25, filter=condition, limit=top_k)
                requests.append(_nearest(query, BM25, top_k, filter=condition))
                requests.append(_nearest(dense, DENSE, top_k, prefetch=words))
        answers = iter(self._query(requests))
        sizes = [3 if len(sparse.indices) else 1 for sparse in terms]
        return [_joined(top_k, *islice(answers, size)) for size in sizes]

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""
        payload = metadata_payload(metadata)
        known = [record.id for record in self._records(ids, with_payload=False)]
        for batch in batches(known, 1000):
            self._request("writing", self._client.set_payload, payload, batch, wait=True)

    def _connect(self, uri: str, **login: str | None) -> None:
        if login["username"] or login["password"]:
            raise SettingsError(
                "Qdrant knows no user names: put its API key in rag.vectordb.token, and leave "
                "username and password empty"
            )
        address = server_address(uri, store=self.name, example=_EXAMPLE, embedded="qdrant")
        options = {"url": address, "api_key": login["token"], **_CLIENT_OPTIONS}
        self._client = self._call(f"connecting to {uri}", QdrantClient, **options)

    def _drop(self) -> None:
        self._request("deleting the collection", self._client.delete_collection)

    def _is_gone(self, error: ComponentError) -> bool:
        cause = error.__cause__
        return isinstance(cause, UnexpectedResponse) and cause.status_code == _NOT_FOUND

    def _open_collection(self, fingerprint: str) -> None:
        if not self._request("opening", self._client.collection_exists):
            self._create_collection(fingerprint)
        info = self._request("opening", self._client.get_collection)
        dense = info.config.params.vectors
        about = info.config.metadata or {}
        if not isinstance(dense, dict) or DENSE not in dense:
            raise not_ours(self._title)
        self._check_maker(str(about.get("fingerprint", "")), int(dense[DENSE].size), fingerprint)
        self._indexed = set(info.payload_schema or {})
        # They are missing from a new collection, and from one whose creation was interrupted.
        for field in KEYWORD_FIELDS:
            if field not in self._indexed:
                self._index(field, models.PayloadSchemaType.KEYWORD)

    def _create_collection(self, fingerprint: str) -> None:
        dense = models.VectorParams(size=self.dimension, distance=models.Distance.COSINE)
        try:
            self._request(
                "creating a collection",
                self._client.create_collection,
                vectors_config={DENSE: dense},
                sparse_vectors_config={
                    BM25: models.SparseVectorParams(modifier=models.Modifier.IDF)
                },
                metadata={"layout": LAYOUT_VERSION, "fingerprint": fingerprint},
            )
        except ComponentError as error:
            cause = error.__cause__
            # Another process has created it meanwhile.
            if not (isinstance(cause, UnexpectedResponse) and cause.status_code == _EXISTS):
                raise

    def _index(self, field: str, kind: models.PayloadSchemaType) -> None:
        self._request("indexing", self._client.create_payload_index, field, kind, wait=True)

    def _index_number(self, path: str) -> None:
        self._index(path, models.PayloadSchemaType.FLOAT)
        self._indexed.add(path)

    def _scroll(
        self, condition: models.Filter | None, limit: int, offset: Any
    ) -> tuple[list[models.Record], Any]:
        scroll, whole = self._client.scroll, {"with_payload": CHUNK_FIELDS, "with_vectors": [DENSE]}
        return self._request("reading", scroll, condition, limit=limit, offset=offset, **whole)

    def _query(self, requests: Sequence[models.QueryRequest]) -> list[list[models.ScoredPoint]]:
        return [
            answer.points
            for batch in batches(requests, _QUERIES)
            for answer in self._request("searching", self._client.query_batch_points, batch)
        ]

    def _retrieve(self, ids: Sequence[str], *, vectors: bool) -> Iterator[models.Record]:
        wanted = [DENSE] if vectors else False
        return self._records(ids, with_payload=CHUNK_FIELDS, with_vectors=wanted)

    def _records(self, ids: Sequence[str], **options: Any) -> Iterator[models.Record]:
        for batch in batches(point_ids(ids), 1000):
            yield from self._request("reading", self._client.retrieve, batch, **options)


def _nearest(query: Any, using: str, top_k: int, **options: Any) -> models.QueryRequest:
    """Return the request for the best ids, with a ``filter`` or among those of a ``prefetch``."""
    return models.QueryRequest(
        query=query, using=using, limit=top_k, with_payload=False, with_vector=False, **options
    )


def _scores(points: Iterable[models.ScoredPoint]) -> Scores:
    return {str(point.id): dense_score(float(point.score)) for point in points}


def _joined(
    top_k: int,
    near: Sequence[models.ScoredPoint],
    words: Sequence[models.ScoredPoint] = (),
    again: Sequence[models.ScoredPoint] = (),
) -> list[Candidate]:
    ranking = [(str(point.id), float(point.score)) for point in words if point.score > 0]
    scores = _scores(again)
    return join_legs(_scores(near), ranking, top_k, lambda ids: scores)


def _point(
    chunk: Chunk, vector: Matrix, terms: SparseVector, payload: dict[str, Any]
) -> models.PointStruct:
    vectors: dict[str, Any] = {DENSE: vector.tolist(), BM25: _sparse(terms)}
    return models.PointStruct(id=chunk.id, vector=vectors, payload=payload)


def _sparse(terms: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=terms.indices.tolist(), values=terms.values.tolist())
