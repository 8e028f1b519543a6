"""Milvus Lite: Milvus's rows in one path, in the process.

The rows are those of ``milvus``. Two things are done in another way, all measured at 20,000
chunks (docs/decisions/0006-other-stores.md):

- What is not flushed yet is read slowly, so that a search flushes first when much is.
- The keyword leg ranks in memory (``postings``): Milvus Lite's own sparse index takes its BM25
  statistics from each segment alone and counts in plain Python. One process owns the path, so
  the index cannot be outdated by another; between two runs it is kept in a file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from pymilvus import MilvusClient, MilvusException

from kvasir.components.stores.keyword_index import Postings
from kvasir.components.stores.milvus import MilvusStore
from kvasir.components.stores.store_uris import local_path, make_folder, refuse_credentials
from kvasir.core.errors import ComponentError, StoreLockedError
from kvasir.core.filters import Filter
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Hit, Matrix, SparseVector

_FLUSH_FROM = 500
"""Unflushed chunks that a search does not wait for: they cost it a few milliseconds."""
_PAGE = 1000
_NO_PINGS = {"grpc.keepalive_time_ms": 2**31 - 1}
"""pymilvus asks every ten seconds whether its server is there. Milvus Lite's, in this process,
soon ends the connection for that, and both of them write so to the terminal."""
_INSTEAD = "set rag.vectordb.type to 'milvus'"


class MilvusLiteStore(MilvusStore):
    """Keeps a collection in the process, in a path that ends in ``.db``.

    Any other ``uri`` is a folder, and the path is ``milvus.db`` in it.
    """

    name = "milvuslite"

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
            uri: The path.
            collection: Any name; characters that Milvus refuses are replaced.
            dimension: Length of the vectors.
            analyzer: Makes the terms of the keyword leg.
            fingerprint: Of the embedder; empty accepts any.
            token: Must be empty, as the next two: a path knows no users.
            username: Must be empty.
            password: Must be empty.

        Raises:
            SettingsError: ``uri`` is an address, its folder cannot be made, or a credential is
                given.
            CollectionError: It was made with another dimension or by another embedder.
            StoreLockedError: Another process holds the path.
        """
        refuse_credentials(self.name, _INSTEAD, token=token, username=username, password=password)
        self._path = local_path(uri, store=self.name, instead=_INSTEAD).absolute()
        if self._path.suffix != ".db":
            self._path = self._path / "milvus.db"
        self._indexing = threading.RLock()
        self._postings: Postings | None = None
        self._unflushed = 0
        super().__init__(uri, collection, dimension, analyzer, fingerprint)
        self._unflushed = _FLUSH_FROM  # what a former process left is not known
        self._index_file = self._path / f"kvasir-{self._collection}.npz"
        if self.count() == 0:
            self._postings = Postings()

    def upsert(self, chunks: Sequence[Any], vectors: Matrix) -> None:
        """Writes chunks, replacing those of the same id; durable when it returns."""
        with self._indexing, self._dropping_terms_of_a_failure():
            super().upsert(chunks, vectors)
            self._unflushed += len(chunks)

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes chunks by id; unknown ids are no error."""
        with self._indexing, self._dropping_terms_of_a_failure():
            super().delete(ids)

    def search_dense(
        self, vectors: Matrix, top_k: int, filters: Filter | None = None
    ) -> list[list[Hit]]:
        """Returns for each query vector its nearest chunks, best first."""
        self._flush_if_due()
        return super().search_dense(vectors, top_k, filters)

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
        terms = self._analyzer.query_terms(queries, languages)
        allowed = self._matching(filters)
        with self._indexing:
            postings = self._loaded_postings()
            rankings = [postings.rank(query) for query in terms]
        best = [
            [(i, score) for i, score in ranking if allowed is None or i in allowed][:top_k]
            for ranking in rankings
        ]
        wanted = list(dict.fromkeys(i for ranking in best for i, _ in ranking))
        chunks = {chunk.id: chunk for chunk in self._read_chunks(wanted)}
        return [
            [Hit(chunks[i], s / ranking[0][1], None, s) for i, s in ranking if i in chunks]
            for ranking in best
        ]

    def drop(self) -> None:
        """Deletes the collection with all that is in it, and closes the store."""
        with self._indexing:
            self._postings, self._unflushed = None, 0
            self._index_file.unlink(missing_ok=True)
            super().drop()

    def close(self) -> None:
        """Keeps the keyword index for the next start; a second call does nothing."""
        if not self._closed:
            if self._postings is not None and not self._index_file.exists():
                self._postings.save(self._index_file, str(self.count()))
            self._flush_if_due()
        super().close()

    def _connect(
        self, uri: str, token: str | None, username: str | None, password: str | None
    ) -> MilvusClient:
        path = self._path
        make_folder(path.parent)
        try:
            return MilvusClient(uri=str(path), grpc_options=_NO_PINGS)
        except (MilvusException, OSError, RuntimeError) as error:
            if _is_held(path):
                raise StoreLockedError(
                    f"another process holds '{path}': stop it, or use a Milvus server, which "
                    "serves several processes (rag.vectordb.type: milvus)"
                ) from error
            raise ComponentError(self.name, f"opening {path}", error) from error

    def _forget_terms(self, ids: list[str], terms: list[SparseVector] | None) -> None:
        with self._indexing:
            self._index_file.unlink(missing_ok=True)  # a crash from here on must not revive it
            if self._postings is None:
                return
            if terms is None:
                self._postings.remove(ids)
            else:
                self._postings.replace(ids, terms)

    @contextmanager
    def _dropping_terms_of_a_failure(self) -> Iterator[None]:
        """Forgets the keyword index where a write fails: it is changed before the rows are."""
        try:
            yield
        except BaseException:
            self._postings = None
            raise

    def _loaded_postings(self) -> Postings:
        if self._postings is None:
            saved = Postings.load(self._index_file, str(self.count()))
            self._postings = self._read_postings() if saved is None else saved
        return self._postings

    def _read_postings(self) -> Postings:
        self._flush_if_due()
        vectors: dict[str, SparseVector] = {}
        for rows in self._pages("", ["id", "sparse"], _PAGE):
            for row in rows:
                weights = {term: w for term, w in row["sparse"].items() if term}
                vectors[row["id"]] = SparseVector(
                    np.fromiter(weights, dtype=np.uint32, count=len(weights)),
                    np.fromiter(weights.values(), dtype=np.float32, count=len(weights)),
                )
        return Postings(vectors)

    def _flush_if_due(self) -> None:
        with self._indexing:
            if self._unflushed >= _FLUSH_FROM:
                self._call("flushing", self._client.flush, self._collection)
                self._unflushed = 0


def _is_held(path: Path) -> bool:
    """Says whether a process has a Milvus Lite file open, which pymilvus keeps to itself."""
    lock = FileLock(path / "LOCK")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False
