"""Milvus Lite: Milvus's rows in one path, in the process.

The rows are those of ``milvus``, with two differences, measured at 20,000 chunks
(docs/decisions/0006-other-stores.md):

- Unflushed chunks are read slowly, so a search flushes first if there are many.
- Keywords are ranked in memory: Milvus Lite's sparse index takes its BM25 statistics from single
  segments, and is slow. One process owns the path; a file keeps the index between two runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from pymilvus import MilvusClient, MilvusException

from kvasir.components.stores.database_store import Scores
from kvasir.components.stores.hybrid import KeywordsInMemory, similarities
from kvasir.components.stores.keyword_index import IndexCache, Postings
from kvasir.components.stores.milvus import MilvusStore, filter_expression, vectors_of
from kvasir.components.stores.store_uris import local_path, make_folder, refuse_credentials
from kvasir.core.errors import ComponentError, StoreLockedError
from kvasir.core.filters import Filter
from kvasir.core.types import Chunk, Matrix, Metadata, SparseVector

_FLUSH_FROM = 500
"""A search flushes from this many unflushed chunks; fewer cost it a few milliseconds."""
_FLUSH_LATEST = 4_000
"""A write flushes from this many unflushed chunks."""
_PAGE = 1000
_NO_PINGS = {"grpc.keepalive_time_ms": 2**31 - 1}
"""Milvus Lite closes a connection with pymilvus's pings, and both report it on the terminal."""
_INSTEAD = "set rag.vectordb.type to 'milvus'"


class MilvusLiteStore(KeywordsInMemory, MilvusStore):
    """Keeps a collection in the process, in a path that ends in ``.db``.

    Any other ``uri`` is a folder, and the path is ``milvus.db`` in it.
    """

    name = "milvuslite"

    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        with self._writing():
            super()._upsert(chunks, vectors)
            self._unflushed += len(chunks)
            self._flush_from(_FLUSH_LATEST)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error."""
        with self._writing():
            super().delete(ids)

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""
        with self._changing:
            super().set_metadata(ids, metadata)

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[Scores]:
        self._flush_if_free()
        return super()._search(vectors, top_k, filters)

    def _connect(self, uri: str, **login: str | None) -> None:
        refuse_credentials(self.name, _INSTEAD, **login)
        path = local_path(uri, store=self.name, instead=_INSTEAD)
        if path.suffix != ".db":
            path = path / "milvus.db"
        self._index_file = path / f"kvasir-{self._name}.npz"
        self._stamp = ""  # in memory: only this process can write
        put_stamp = partial(setattr, self, "_stamp")
        self._index = IndexCache(lambda: self._stamp, put_stamp, self._load_index)
        self._changing = threading.RLock()
        self._changed: Callable[[list[str], list[SparseVector] | None], None] | None = None
        self._unflushed = 0
        make_folder(path)
        try:
            self._client = MilvusClient(uri=str(path), grpc_options=_NO_PINGS)
        except (MilvusException, OSError, RuntimeError) as error:
            if _is_held(path):
                raise StoreLockedError(
                    f"another process holds '{path}': stop it, or use a Milvus server, which "
                    "serves several processes (rag.vectordb.type: milvus)"
                ) from error
            raise ComponentError(self.name, f"opening {path}", error) from error

    def _open_collection(self, fingerprint: str) -> None:
        super()._open_collection(fingerprint)
        self._unflushed = _FLUSH_FROM  # unknown after a former process
        if self.count() == 0:
            self._index.start_empty()

    def _drop(self) -> None:
        with self._changing:
            self._index.forget()
            self._unflushed = 0
            self._index_file.unlink(missing_ok=True)
            super()._drop()

    def _before_closing(self) -> None:
        with self._changing:
            kept = self._index.snapshot()
            if kept is not None and not self._index_file.exists():
                kept[0].save(self._index_file, str(self.count()))
            self._flush_from(_FLUSH_FROM)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Let one thread write, and record its changes in the keyword index."""
        with self._changing, self._index.writing() as changed:
            self._index_file.unlink(missing_ok=True)  # a crash from here on must not revive it
            self._changed = changed
            yield

    def _note_terms(self, ids: list[str], terms: list[SparseVector] | None) -> None:
        assert self._changed is not None
        self._changed(ids, terms)

    def _flush_if_free(self) -> None:
        """Flush if it is due; during a write do nothing, because a search must not wait."""
        if self._changing.acquire(blocking=False):
            try:
                self._flush_from(_FLUSH_FROM)
            finally:
                self._changing.release()

    def _flush_from(self, least: int) -> None:
        if self._unflushed >= least:
            self._request("flushing", self._client.flush)
            self._unflushed = 0

    def _load_index(self, stamp: str) -> Postings:
        saved = Postings.load(self._index_file, str(self.count()))
        return self._read_index() if saved is None else saved

    def _read_index(self) -> Postings:
        self._flush_if_free()
        vectors: dict[str, SparseVector] = {}
        for rows in self._pages("", ["id", "sparse"], _PAGE):
            for row in rows:
                weights = {term: w for term, w in row["sparse"].items() if term}
                vectors[row["id"]] = SparseVector(
                    np.fromiter(weights, dtype=np.uint32, count=len(weights)),
                    np.fromiter(weights.values(), dtype=np.float32, count=len(weights)),
                )
        return Postings(vectors)

    def _matching(self, filters: Filter) -> set[str]:
        pages = self._pages(filter_expression(filters), ["id"], _PAGE)
        return {row["id"] for rows in pages for row in rows}

    def _scores(self, query: Matrix, ids: Sequence[str], filters: Filter | None) -> Scores:
        return similarities(query, vectors_of(self._rows(ids, ["id", "dense"])))


def _is_held(path: Path) -> bool:
    """Return True if a process has a Milvus Lite file open."""
    try:
        with FileLock(path / "LOCK", timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False
