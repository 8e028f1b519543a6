"""The default store: Qdrant's engine in the process, in a folder (Qdrant Edge).

Why this one: docs/decisions/0007-embedded-store.md. The engine has one owner at a time.
``qdrant_edge_folder`` holds the lock and the collection's record, ``qdrant_edge_shard`` and
``qdrant_edge_graph`` rebuild the search graph during use, ``qdrant_points`` converts points and
filters, also for servers.

Source: https://qdrant.tech/documentation/edge/ and the package's type stubs, version 0.9.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import numpy as np
import qdrant_edge as edge

from kvasir.components.stores.collection_checks import check_vectors
from kvasir.components.stores.database_store import ClientStore
from kvasir.components.stores.hybrid import join_legs, resolved
from kvasir.components.stores.qdrant_edge_folder import INSTEAD, CollectionFolder, drop_collection
from kvasir.components.stores.qdrant_edge_graph import SEARCH_EF
from kvasir.components.stores.qdrant_edge_shard import QdrantShard
from kvasir.components.stores.qdrant_points import (
    BM25,
    DENSE,
    LAYOUT_VERSION,
    NUMBERS,
    Dialect,
    PointId,
    chunk_of,
    has_number,
    may_index_number,
    metadata_payload,
    payload_of,
    point_ids,
    range_fields,
    translate,
)
from kvasir.components.stores.store_uris import refuse_credentials
from kvasir.core.batches import batches
from kvasir.core.filters import Filter
from kvasir.core.protocols import Candidate, PendingVectors, TextAnalyzer
from kvasir.core.run import StopToken
from kvasir.core.scoring import dense_score
from kvasir.core.types import Chunk, Matrix, Metadata, SparseVector

_DIALECT = Dialect(
    filter=edge.Filter,
    field=edge.FieldCondition,
    match=edge.MatchValue,
    match_any=edge.MatchAny,
    range=edge.RangeFloat,
)
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
_EARLY_INDEXES = 16
_EARLY_POINTS = 10_000

_NO_TERMS = edge.SparseVector([], [])


class QdrantStore(ClientStore):
    """Keeps one collection in the folder ``uri/collection``, with vectors and keyword index."""

    name = "qdrant"
    _errors = ()  # ``QdrantShard`` converts the engine's errors

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
            collection: The collection's name.
            dimension: Length of its vectors.
            analyzer: Makes the terms of the keyword index.
            fingerprint: Of the embedder; "" accepts any.
            graph_from: ``optimize`` builds the search graph when this many chunks, and a tenth
                of all, are not in it; such chunks are scanned (0.1 ms a thousand).
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
        self._folder = CollectionFolder(
            uri,
            collection,
            layout=LAYOUT_VERSION,
            dimension=dimension,
            fingerprint=fingerprint,
            lock_timeout=lock_timeout,
        )
        threads = graph_threads or max(1, (os.cpu_count() or 1) // 2)
        try:
            self._shard = QdrantShard(self._folder, dimension, threads, graph_from)
        except BaseException:
            self._folder.close()
            raise

    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        for rows in batches(range(len(chunks)), _WRITE_BATCH):
            batch = [chunks[row] for row in rows]
            points = [
                edge.Point(
                    chunk.id,
                    {DENSE: vectors[row].tolist(), BM25: _sparse(terms)},
                    payload_of(chunk),
                )
                for row, chunk, terms in zip(rows, batch, self._terms(batch), strict=True)
            ]
            self._index_early(points)
            ids: list[PointId] = [chunk.id for chunk in batch]
            self._shard.write(ids, edge.UpdateOperation.upsert_points(points), vectors=True)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error. They stay deleted after a crash."""
        with self._shard.exclusive() as shard:
            for batch in batches(_known(shard, ids), _WRITE_BATCH):
                # The engine counts the terms of deleted points (for the IDF) until it is opened
                # again, so remove their terms first.
                empty = [edge.PointVectors(point_id, {BM25: _NO_TERMS}) for point_id in batch]
                self._shard.write(batch, edge.UpdateOperation.update_vectors(empty), vectors=False)
                self._shard.write(batch, edge.UpdateOperation.delete_points(batch), vectors=False)

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""
        payload = metadata_payload(metadata)
        with self._shard.exclusive() as shard:
            for batch in batches(_known(shard, ids), _WRITE_BATCH):
                self._shard.write(
                    batch, edge.UpdateOperation.set_payload(batch, payload), vectors=False
                )

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

    def drop(self) -> None:
        """Delete the collection with everything in it, and close the store."""
        self.close()  # the files cannot be deleted while they are open
        self._drop()

    def _drop(self) -> None:
        drop_collection(str(self._folder.path.parent), self._title)

    def _disconnect(self) -> None:
        self._shard.close()
        self._folder.close()

    def count(self, filters: Filter | None = None) -> int:
        """Return how many chunks there are."""
        condition = self._condition(filters)
        with self._shard.reading() as shard:
            return int(shard.count(edge.CountRequest(exact=True, filter=condition)))

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Return chunks and their vectors [dimension], in the order of the ids."""
        with self._shard.reading() as shard:
            records = shard.retrieve(point_ids(ids), True, [DENSE])
        return [_pair(record) for record in records]

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks in the order of the ids; unknown ids are left out."""
        with self._shard.reading() as shard:
            records = shard.retrieve(point_ids(ids), True, False)
        return [chunk_of(str(record.id), record.payload or {}) for record in records]

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yield every chunk with its vector [dimension], in batches, in the order of ids."""
        condition = self._condition(filters)
        offset = None
        while True:
            request = edge.ScrollRequest(
                offset=offset,
                limit=batch_size,
                filter=condition,
                with_payload=True,
                with_vector=[DENSE],
            )
            with self._shard.reading() as shard:
                records, offset = shard.scroll(request)
            if records:
                yield [_pair(record) for record in records]
            if offset is None:
                return

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[list[Candidate]]:
        condition = self._condition(filters)
        params = self._params(condition)
        return [
            [Candidate(*pair) for pair in self._near(vector, top_k, condition, params).items()]
            for vector in vectors
        ]

    def search_hybrid(
        self,
        vectors: Matrix | PendingVectors,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Candidate]]:
        """Return for each query the chunks that either leg finds."""
        condition = self._condition(filters)
        words = [
            self._words(terms, top_k, condition)
            for terms in self._analyzer.query_terms(queries, languages)
        ]
        vectors = resolved(vectors)
        check_vectors(self._title, self.dimension, vectors, len(queries))
        params = self._params(condition)
        return [
            join_legs(
                self._near(vector, top_k, condition, params),
                ranking,
                top_k,
                partial(self._scores, vector),
            )
            for vector, ranking in zip(vectors, words, strict=True)
        ]

    def _near(
        self, vector: Matrix, top_k: int, condition: edge.Filter | None, params: edge.SearchParams
    ) -> dict[str, float]:
        points = self._query(vector.tolist(), DENSE, top_k, condition, params)
        return {str(point.id): dense_score(point.score) for point in points}

    def _words(
        self, terms: SparseVector, top_k: int, condition: edge.Filter | None
    ) -> list[tuple[str, float]]:
        if not len(terms.indices):
            return []
        points = self._query(_sparse(terms), BM25, top_k, condition, None)
        return [(str(point.id), point.score) for point in points if point.score > 0]

    def _scores(self, vector: Matrix, ids: Sequence[str]) -> dict[str, float]:
        """Return the ``dense_score`` of given chunks for one query vector [dimension]."""
        condition = edge.Filter(must=[edge.HasIdCondition(set(point_ids(ids)))])
        found = self._query(vector.tolist(), DENSE, len(ids), condition, _ALL)
        return {str(point.id): dense_score(point.score) for point in found}

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

    def _query(
        self,
        vector: list[float] | edge.SparseVector,
        using: str,
        top_k: int,
        condition: edge.Filter | None,
        params: edge.SearchParams | None,
    ) -> list[edge.ScoredPoint]:
        if top_k < 1:
            return []
        request = edge.QueryRequest(
            limit=top_k,
            query=edge.Query.Nearest(vector, using),
            filter=condition,
            params=params,
            with_payload=False,
            with_vector=False,
        )
        with self._shard.reading() as shard:
            return shard.query(request)

    def _condition(self, filters: Filter | None) -> edge.Filter | None:
        if filters is None:
            return None
        for field in range_fields(filters) - self._shard.indexed:
            if may_index_number(self._shard.indexed) and self._has_number(field):
                self._shard.ensure_number_index(field)
        condition: edge.Filter = translate(filters, _DIALECT)
        return condition

    def _has_number(self, field: str) -> bool:
        one = edge.ScrollRequest(limit=1, filter=has_number(field, _DIALECT), with_payload=False)
        with self._shard.reading() as shard:
            records, _ = shard.scroll(one)
        return bool(records)

    def _index_early(self, points: Sequence[edge.Point]) -> None:
        """Index number fields while that is cheap: later it takes a second for 100,000."""
        fields = {
            f"{NUMBERS}.{name}" for point in points for name in (point.payload or {})[NUMBERS]
        }
        if fields <= self._shard.indexed or self._shard.points() > _EARLY_POINTS:
            return
        room = _EARLY_INDEXES - sum(f.startswith(NUMBERS) for f in self._shard.indexed)
        for field in sorted(fields - self._shard.indexed)[: max(0, room)]:
            self._shard.ensure_number_index(field)


def _sparse(terms: SparseVector) -> edge.SparseVector:
    return edge.SparseVector(terms.indices.tolist(), terms.values.tolist())


def _pair(record: edge.Record) -> tuple[Chunk, Matrix]:
    vectors = cast("dict[str, list[float]]", record.vector)
    chunk = chunk_of(str(record.id), record.payload or {})
    return chunk, np.asarray(vectors[DENSE], dtype=np.float32)


def _known(shard: edge.EdgeShard, ids: Sequence[str]) -> list[PointId]:
    """Return the ids that exist: some operations fail for others."""
    return [str(record.id) for record in shard.retrieve(point_ids(ids), False, False)]
