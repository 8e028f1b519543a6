"""Chroma, in a folder or as a server (``chroma run``).

Chroma has a sparse index in its cloud only, and its full-text search does not rank. So each record
holds its term weights, and the keyword index is in memory (``index_cache``), with a stamp in the
collection's metadata. A folder has a copy of the index in a file, for a fast start.

Chroma lets several processes write into one folder, but one may not find what another writes. So
one process owns a folder; its stores share it.

Chroma must not be used across a fork of the process.

Source: https://docs.trychroma.com (chromadb 1.5).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import chromadb
import httpx
import numpy as np
from chromadb.errors import ChromaError, NotFoundError

from kvasir.components.stores.chroma_client import (
    authorization,
    chroma_address,
    http_sessions,
    open_folder,
    open_server,
)
from kvasir.components.stores.chroma_rows import (
    chunks_of,
    entries_of,
    pairs_of,
    where_clause,
)
from kvasir.components.stores.collection_checks import not_ours
from kvasir.components.stores.database_store import DatabaseStore, KeywordsInMemory
from kvasir.components.stores.folder_lock import SharedFolder
from kvasir.components.stores.hybrid import similarities
from kvasir.components.stores.index_cache import IndexCache
from kvasir.components.stores.keyword_index import Postings, pack, unpack
from kvasir.components.stores.store_uris import local_path, make_folder, refuse_credentials
from kvasir.core.batches import batches, sized_batches
from kvasir.core.errors import ComponentError
from kvasir.core.filters import Filter
from kvasir.core.protocols import Candidate
from kvasir.core.scoring import dense_score
from kvasir.core.types import Chunk, Matrix, Metadata, SparseVector

_SPACE = {
    "hnsw": {"space": "cosine", "max_neighbors": 24, "ef_construction": 200, "ef_search": 400}
}
_PAGE = 2000
_BATCH_CHARACTERS = 4_000_000
_CHUNK = ["documents", "metadatas"]
_CHUNK_AND_VECTOR = ["documents", "metadatas", "embeddings"]


class ChromaStore(KeywordsInMemory, DatabaseStore):
    """Keeps a collection in a Chroma folder or on a Chroma server.

    Without a port, ``http://`` means 8000 and ``https://`` 443. A server is asked with a bearer
    token or with a user name and a password (basic authentication).
    """

    name = "chroma"
    _errors = (ChromaError, httpx.HTTPError, ValueError, OSError)
    _client: Any
    _collection: chromadb.Collection

    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        with self._index.writing() as changed:
            measured = ((i, len(chunk.text)) for i, chunk in enumerate(chunks))
            for batch in sized_batches(measured, self._batch, _BATCH_CHARACTERS):
                written = [chunks[i] for i in batch]
                terms = self._write(written, vectors[batch])
                changed([chunk.id for chunk in written], terms)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error."""
        if len(ids) == 0:
            return
        with self._index.writing() as changed:
            for batch in batches(list(dict.fromkeys(ids)), self._batch):
                self._call("deleting", self._collection.delete, ids=batch)
                changed(batch, None)

    def count(self, filters: Filter | None = None) -> int:
        """Return how many chunks there are."""
        if filters is None:
            return int(self._call("counting", self._collection.count))
        return len(self._get(where=where_clause(filters), include=[])["ids"])

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Return chunks and their vectors [dimension]; unknown ids are left out."""
        pairs: list[tuple[Chunk, Matrix]] = []
        for batch in batches(list(dict.fromkeys(ids)), self._batch):
            pairs += pairs_of(self._get(ids=batch, include=_CHUNK_AND_VECTOR))
        return pairs

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yield every chunk with its vector [dimension], in batches."""
        # The ids first: pages by offset would shift when something is deleted meanwhile.
        found = self._get(where=where_clause(filters), include=[])["ids"]
        for batch in batches(found, min(batch_size, self._batch)):
            if pairs := pairs_of(self._get(ids=batch, include=_CHUNK_AND_VECTOR)):
                yield pairs

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks without their vectors; unknown ids are left out."""
        return [
            chunk
            for batch in batches(list(dict.fromkeys(ids)), self._batch)
            for chunk in chunks_of(self._get(ids=batch, include=_CHUNK))
        ]

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[list[Candidate]]:
        query: Callable[..., Any] = self._collection.query
        found = self._call(
            "searching",
            query,
            query_embeddings=np.asarray(vectors, dtype=np.float32),
            n_results=top_k,
            where=where_clause(filters),
            include=["distances"],
        )
        # Chroma's cosine distance is 1 - cosine.
        return [
            [Candidate(i, dense_score(1.0 - d)) for i, d in zip(ids, distances, strict=True)]
            for ids, distances in zip(found["ids"], found["distances"], strict=True)
        ]

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""
        for batch in batches(list(dict.fromkeys(ids)), self._batch):
            known = [
                replace(chunk, metadata=dict(metadata))
                for chunk in chunks_of(self._get(ids=batch, include=_CHUNK))
            ]
            if known:
                self._call(
                    "writing",
                    self._collection.update,
                    ids=[chunk.id for chunk in known],
                    metadatas=[entries_of(chunk) for chunk in known],
                )

    def _connect(
        self, uri: str, token: str | None, username: str | None, password: str | None
    ) -> None:
        self._index = IndexCache(
            read_stamp=self._stamp,
            put_stamp=self._put_stamp,
            load=self._load_index,
            count=self.count,
        )
        self._saved_stamp = ""
        self._index_file: Path | None = None
        self._folder: SharedFolder | None = None
        if uri.lower().startswith(("http://", "https://")):
            address = chroma_address(uri)
            headers = authorization(token, username, password)
            self._client = self._call(f"connecting to {uri}", open_server, address, headers)
            return
        refuse_credentials(
            "chroma",
            "name a server in rag.vectordb.uri",
            token=token,
            username=username,
            password=password,
        )
        folder = local_path(uri, store="chroma", instead="begin it with http://")
        make_folder(folder)
        self._index_file = folder / f"kvasir-{self._name}.npz"
        self._folder = SharedFolder(folder, uri)
        try:
            self._client = self._call(f"opening {folder}", open_folder, folder)
        except BaseException:
            self._folder.close()
            raise

    def _drop(self) -> None:
        self._call("deleting the collection", self._client.delete_collection, self._name)
        self._index.forget()
        if self._index_file:
            self._index_file.unlink(missing_ok=True)

    def _before_closing(self) -> None:
        """Write the keyword index to its file, for the next start."""
        kept = self._index.snapshot()
        if kept is not None and self._index_file and kept[1] != self._saved_stamp:
            kept[0].save(self._index_file, kept[1])

    def _disconnect(self) -> None:
        sessions = http_sessions(self._client)
        try:
            self._client.close()
        finally:
            for session in sessions:
                session.close()
            if self._folder:
                self._folder.close()

    def _open_collection(self, fingerprint: str) -> None:
        opened: chromadb.Collection
        try:
            opened = self._call(
                "opening", self._client.get_collection, self._name, embedding_function=None
            )
        except ComponentError as error:
            if not isinstance(error.__cause__, NotFoundError):
                raise
            about = {"kvasir": 1, "dimension": self.dimension, "fingerprint": fingerprint}
            opened = self._call(
                "creating a collection",
                self._client.get_or_create_collection,
                self._name,
                embedding_function=None,
                metadata=about,
                configuration=_SPACE,
            )
        about = opened.metadata or {}
        if "kvasir" not in about:
            raise not_ours(self._title)
        self._check_maker(str(about["fingerprint"]), int(str(about["dimension"])), fingerprint)
        self._collection = opened
        self._batch = min(500, int(self._client.get_max_batch_size()))
        if self.count() == 0:
            self._index.start_empty()

    def _write(self, chunks: Sequence[Chunk], vectors: Matrix) -> list[SparseVector]:
        """Write chunks and return their terms."""
        terms = self._terms(chunks)
        self._call(
            "writing",
            self._collection.upsert,
            ids=[chunk.id for chunk in chunks],
            embeddings=np.asarray(vectors, dtype=np.float32),
            documents=[chunk.text for chunk in chunks],
            metadatas=[
                {**entries_of(chunk), "terms": base64.b85encode(pack(sparse)).decode()}
                for chunk, sparse in zip(chunks, terms, strict=True)
            ],
        )
        return terms

    def _put_stamp(self, stamp: str) -> None:
        about = {**(self._collection.metadata or {}), "stamp": stamp}
        self._call("writing", self._collection.modify, metadata=about)

    def _stamp(self) -> str:
        opened = self._call(
            "opening", self._client.get_collection, self._name, embedding_function=None
        )
        return str((opened.metadata or {}).get("stamp", ""))

    def _load_index(self, stamp: str) -> Postings:
        saved = Postings.load(self._index_file, stamp) if self._index_file else None
        self._saved_stamp = "" if saved is None else stamp
        return self._read_index() if saved is None else saved

    def _read_index(self) -> Postings:
        vectors: dict[str, SparseVector] = {}
        for batch in batches(self._get(include=[])["ids"], _PAGE):
            page = self._get(ids=batch, include=["metadatas"])
            for chunk_id, entries in zip(page["ids"], page["metadatas"], strict=True):
                vectors[chunk_id] = unpack(base64.b85decode(entries["terms"]))
        return Postings(vectors)

    def _scores(
        self, query: Matrix, filters: Filter | None, ids: Sequence[str]
    ) -> dict[str, float]:
        found = self._get(ids=list(ids), where=where_clause(filters), include=["embeddings"])
        return similarities(query, dict(zip(found["ids"], found["embeddings"], strict=True)))

    def _get(self, **options: Any) -> dict[str, Any]:
        return dict(self._call("reading", self._collection.get, **options))
