"""The default store: Qdrant's engine in the process, in a folder (Qdrant Edge).

Why this one: docs/decisions/0007-embedded-store.md. The engine has one owner at a time.
``qdrant_edge_folder`` holds the lock and the collection's record, ``qdrant_edge_shard`` and
``qdrant_edge_graph`` rebuild the search graph during use, ``qdrant_points`` converts points and
filters, also for servers.

Source: https://qdrant.tech/documentation/edge/ and the package's type stubs, version 0.9.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import qdrant_edge as edge

from kvasir.components.stores.database_store import Scores, check_vectors
from kvasir.components.stores.hybrid import Ranking, join_legs, resolved, search_terms
from kvasir.components.stores.qdrant_edge_folder import INSTEAD, CollectionFolder, drop_collection
from kvasir.components.stores.qdrant_edge_graph import SEARCH_EF
from kvasir.components.stores.qdrant_edge_shard import QdrantShard
from kvasir.components.stores.qdrant_points import (
    BM25,
    DENSE,
    RANGES,
    Dialect,
    PointId,
    QdrantPoints,
    metadata_payload,
    payloads_of,
    point_ids,
)
from kvasir.components.stores.store_uris import refuse_credentials
from kvasir.core.batches import batches
from kvasir.core.filters import Filter
from kvasir.core.protocols import Candidate, PendingVectors, TextAnalyzer
from kvasir.core.run import StopToken
from kvasir.core.scoring import dense_score
from kvasir.core.types import Chunk, Matrix, Metadata, SparseVector

_RESCORED = edge.QuantizationSearchParams(rescore=True, oversampling=2.0)
_GRAPH = edge.SearchParams(hnsw_ef=SEARCH_EF, quantization=_RESCORED)
_ALL = edge.SearchParams(exact=True)
# Acorn steps over nodes that a filter excludes: slow, but the graph stays connected.
_ACORN = edge.SearchParams(
    hnsw_ef=SEARCH_EF,
    quantization=_RESCORED,
    acorn=edge.AcornSearchParams(enable=True, max_selectivity=1.0),
)
_GRAPH_HOLDS = 0.4
"""Smallest share of chunks, after a filter, with which the plain graph finds the nearest."""
_SCAN_FILTERED = 100_000
"""Up to this many filtered chunks a full scan (0.13 ms a thousand) is faster than Acorn."""

_WRITE_BATCH = 256
"""Points in one write: the engine holds the interpreter's lock for about 12 ms."""
_POINT_BYTES = 2_000
"""Bytes of a chunk's ids, offsets and usual metadata."""
_EARLY_INDEXES = 16
_EARLY_POINTS = 10_000

_NO_TERMS = edge.SparseVector([], [])

Nearest = Callable[[list[float]], edge.QueryRequest]
"""Makes the request for the nearest chunks of a vector."""


class QdrantStore(QdrantPoints):
    """Keeps one collection in the folder ``uri/collection``, with vectors and keyword index."""

    name = "qdrant"
    _errors = ()  # ``QdrantShard`` converts the engine's errors
    _dialect = Dialect(edge, edge.RangeFloat)

    def __init__(
        self,
        uri: str,
        collection: str,
        dimension: int,
        analyzer: TextAnalyzer,
        fingerprint: str = "",
        graph_from: int = 10_000,
        graph_threads: int = 0,
        lock_timeout: float = 0.5,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        """Open a collection, or create it.

        Args:
            uri: Folder of all collections.
            collection: Any name.
            dimension: Length of its vectors.
            analyzer: Makes the terms of the keyword index.
            fingerprint: Of the embedder; "" accepts any.
            graph_from: ``optimize`` builds the search graph when this many chunks, and a tenth
                of all, are not in it; such chunks are scanned (0.1 ms a thousand). It also does
                when 2 % of all were changed or deleted since.
            graph_threads: Threads that build it; 0 means half of the processors.
            lock_timeout: Seconds to wait for another process to release the collection.
            token: Must be empty, like the next two: a folder has no users.
            username: Must be empty.
            password: Must be empty.

        Raises:
            SettingsError: ``uri`` cannot be a folder, or a credential is given.
            StoreLockedError: Another process has the collection open.
            WrongEmbedderError: It was made with another dimension or embedder.
            ComponentError: The files cannot be opened.
        """
        refuse_credentials("qdrant", INSTEAD, token=token, username=username, password=password)
        super().__init__(collection, dimension, analyzer)
        self._folder = CollectionFolder(uri, collection, dimension, fingerprint, lock_timeout)
        threads = graph_threads or max(1, (os.cpu_count() or 1) // 2)
        try:
            self._shard = QdrantShard(self._folder, dimension, threads, graph_from)
        except BaseException:
            self._folder.close()
            raise
        self._indexed = self._shard.indexed

    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        for rows in batches(range(len(chunks)), _WRITE_BATCH):
            batch = [chunks[row] for row in rows]
            parts = zip(batch, vectors[rows], self._terms(batch), payloads_of(batch), strict=True)
            points = [_point(*part) for part in parts]
            self._index_early(points)
            ids = [chunk.id for chunk in batch]
            operation = edge.UpdateOperation.upsert_points(points)
            size = vectors[rows].nbytes + sum(_room(chunk) for chunk in batch)
            with self._shard.exclusive() as shard:
                replaced = len(_known(shard, ids)) if self._shard.has_graph else 0
                self._shard.write(ids, operation, size=size, vectors=True, replaced=replaced)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error. They stay deleted after a crash."""
        with self._shard.exclusive() as shard:
            for batch in batches(_known(shard, ids), _WRITE_BATCH):
                # The engine counts the terms of deleted points (for the IDF) until it is opened
                # again, so remove their terms first.
                empty = [edge.PointVectors(point_id, {BM25: _NO_TERMS}) for point_id in batch]
                self._shard.write(batch, edge.UpdateOperation.update_vectors(empty))
                deletion = edge.UpdateOperation.delete_points(batch)
                self._shard.write(batch, deletion, replaced=len(batch))

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""
        payload = metadata_payload(metadata)
        with self._shard.exclusive() as shard:
            for batch in batches(_known(shard, ids), _WRITE_BATCH):
                change = edge.UpdateOperation.set_payload(batch, payload)
                self._shard.write(batch, change, replaced=len(batch))

    def optimize(self, *, wait: bool = False, stop: StopToken | None = None) -> None:
        """Start building the search graph if it is due; searches and writes go on meanwhile.

        The work is lost when the store is closed before it is finished.

        Args:
            wait: Return only when the graph is in use.
            stop: Ends the waiting, and the building that this call started.

        Raises:
            ComponentError: It could not be built (only with ``wait``).
            StoppedError: ``stop`` was set (only with ``wait``).
        """
        self._shard.renew_graph(wait=wait, stop=stop or StopToken())

    def flush(self) -> None:
        """Write everything to the disk, so that it survives a power cut."""
        self._shard.flush()

    def _drop(self) -> None:
        self.close()  # the files cannot be deleted while they are open
        drop_collection(str(self._folder.path.parent), self._title)

    def _disconnect(self) -> None:
        try:
            self._shard.close()
        finally:
            self._folder.close()

    def count(self, filters: Filter | None = None) -> int:
        """Return how many chunks there are."""
        condition = self._condition(filters)
        with self._shard.reading() as shard:
            return int(shard.count(edge.CountRequest(exact=True, filter=condition)))

    def _retrieve(self, ids: Sequence[str], *, vectors: bool) -> list[edge.Record]:
        with self._shard.reading() as shard:
            return shard.retrieve(point_ids(ids), True, [DENSE] if vectors else False)

    def _scroll(
        self, condition: edge.Filter | None, limit: int, offset: Any
    ) -> tuple[list[edge.Record], Any]:
        request = edge.ScrollRequest(
            offset=offset, limit=limit, filter=condition, with_payload=True, with_vector=[DENSE]
        )
        with self._shard.reading() as shard:
            return shard.scroll(request)

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[Scores]:
        nearest = self._nearest_of(self._condition(filters), top_k)
        return [_scores(*self._query(nearest(vector.tolist()))) for vector in vectors]

    def search_hybrid(
        self,
        vectors: Matrix | PendingVectors,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Candidate]]:
        """Return for each query the chunks that either leg finds."""
        terms = search_terms(self._analyzer, queries, languages)
        condition = self._condition(filters)
        rankings = [self._words(query, top_k, condition) for query in terms]
        vectors = resolved(vectors)
        check_vectors(self._title, self.dimension, vectors, len(queries))
        if top_k < 1:
            return [[] for _ in queries]
        nearest = self._nearest_of(condition, top_k)
        return [
            self._joined(nearest, vector.tolist(), ranking, top_k)
            for vector, ranking in zip(vectors, rankings, strict=True)
        ]

    def _joined(
        self, nearest: Nearest, vector: list[float], ranking: Ranking, top_k: int
    ) -> list[Candidate]:
        """Join the nearest chunks with a ranking of keywords, whose scores are asked for too.

        Both in one call: a call waits for the engine's threads, with the interpreter's lock.
        """
        requests = [nearest(vector)]
        if ranking:
            ids = [chunk_id for chunk_id, _ in ranking]
            known = edge.Filter(must=[edge.HasIdCondition(set(ids))])
            requests.append(_request(vector, DENSE, len(ids), filter=known, params=_ALL))
        near, *ranked = map(_scores, self._query(*requests))
        return join_legs(near, ranking, top_k, lambda _: ranked[0])

    def _words(self, terms: SparseVector, top_k: int, condition: edge.Filter | None) -> Ranking:
        if top_k < 1 or not len(terms.indices):
            return []
        (points,) = self._query(_request(_sparse(terms), BM25, top_k, filter=condition))
        return [(str(point.id), point.score) for point in points if point.score > 0]

    def _nearest_of(self, condition: edge.Filter | None, top_k: int) -> Nearest:
        params = self._params(condition)
        return lambda vector: _request(vector, DENSE, top_k, filter=condition, params=params)

    def _params(self, condition: edge.Filter | None) -> edge.SearchParams:
        """Choose the search by the engine's estimate of the number of filtered chunks."""
        if condition is None:
            return _GRAPH
        with self._shard.reading() as shard:
            left = shard.count(edge.CountRequest(exact=False, filter=condition))
            total = shard.count(edge.CountRequest(exact=False))
        if left >= _GRAPH_HOLDS * total:
            return _GRAPH
        return _ALL if left <= _SCAN_FILTERED else _ACORN

    def _query(self, *requests: edge.QueryRequest) -> list[list[edge.ScoredPoint]]:
        with self._shard.reading() as shard:
            return shard.query_batch(edge.QueryBatchRequest(list(requests)))

    def _index_number(self, path: str) -> None:
        self._shard.ensure_number_index(path)

    def _index_early(self, points: Sequence[edge.Point]) -> None:
        """Index number fields while that is cheap: later it takes a second for 100,000."""
        payloads = [point.payload or {} for point in points]
        fields = {f"{kind}.{name}" for each in payloads for kind in RANGES for name in each[kind]}
        if fields <= self._indexed or self._shard.points() > _EARLY_POINTS:
            return
        room = max(0, _EARLY_INDEXES - self._range_indexes())
        for field in sorted(fields - self._indexed)[:room]:
            self._index_number(field)


def _request(
    vector: list[float] | edge.SparseVector, using: str, top_k: int, **options: Any
) -> edge.QueryRequest:
    nearest = edge.Query.Nearest(vector, using)
    return edge.QueryRequest(
        limit=top_k, query=nearest, with_payload=False, with_vector=False, **options
    )


def _scores(points: Sequence[edge.ScoredPoint]) -> Scores:
    return {str(point.id): dense_score(point.score) for point in points}


def _point(
    chunk: Chunk, vector: Matrix, terms: SparseVector, payload: dict[str, Any]
) -> edge.Point:
    vectors = {DENSE: vector.tolist(), BM25: _sparse(terms)}
    return edge.Point(chunk.id, vectors, payload)


def _room(chunk: Chunk) -> int:
    """Return about how many bytes a chunk's payload and terms take."""
    return 4 * len(chunk.passage) + _POINT_BYTES


def _sparse(terms: SparseVector) -> edge.SparseVector:
    return edge.SparseVector(terms.indices.tolist(), terms.values.tolist())


def _known(shard: edge.EdgeShard, ids: Sequence[str]) -> list[PointId]:
    """Return the ids that exist: some operations fail for others."""
    return [str(record.id) for record in shard.retrieve(point_ids(ids), False, False)]
