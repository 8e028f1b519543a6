"""Chroma, in a folder or as a server (``chroma run``).

Chroma's own sparse index is for its cloud alone, and its full-text search knows no ranking;
so the keyword leg is ours: each record carries its term weights, and the process keeps them
in memory (``postings``). They are read when the first question comes, and again when another
store has written: every write changes a stamp in the collection's metadata, before and after,
and a writer keeps its index only where no other one wrote meanwhile. A folder keeps a copy of
the index in one file, so that the next start is quick.

Chroma itself lets any number of processes write into one folder, and what one writes another
may not find. So one process owns a folder; its stores share it.

Chroma must not be used across a fork of the process.

Source: https://docs.trychroma.com (chromadb 1.5).
"""

from __future__ import annotations

import base64
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

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
    chunk_of,
    chunks_of,
    entries_of,
    pairs_of,
    where_clause,
)
from kvasir.components.stores.collection_checks import check_maker, check_vectors, not_ours
from kvasir.components.stores.collection_names import accepted_name
from kvasir.components.stores.folder_lock import SharedFolder
from kvasir.components.stores.keyword_index import Postings, pack, unpack
from kvasir.components.stores.store_uris import local_path, make_folder, refuse_credentials
from kvasir.core.batches import batches, sized_batches
from kvasir.core.errors import ComponentError
from kvasir.core.filters import Filter
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Chunk, Hit, Matrix, Metadata, SparseVector

T = TypeVar("T")

_SPACE = {
    "hnsw": {"space": "cosine", "max_neighbors": 24, "ef_construction": 200, "ef_search": 400}
}
_PAGE = 2000
_BATCH_CHARACTERS = 4_000_000
_CHUNK = ["documents", "metadatas"]
_CHUNK_AND_VECTOR = ["documents", "metadatas", "embeddings"]


class ChromaStore:
    """Keeps a collection in a Chroma folder or on a Chroma server."""

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
            uri: A folder, or a server's address such as ``http://localhost:8000``. Without a
                port, ``http://`` means 8000 and ``https://`` 443.
            collection: Any name; characters that Chroma refuses are replaced.
            dimension: Length of the vectors.
            analyzer: Makes the terms of the keyword leg.
            fingerprint: Of the embedder; empty accepts any.
            token: Bearer token of the server.
            username: User for basic authentication, in place of a token.
            password: The user's password.

        Raises:
            SettingsError: ``uri`` is no address that Chroma can be at, or no folder can be there.
            StoreLockedError: Another process has the folder open.
            CollectionError: It was made with another dimension or by another embedder.
            ComponentError: The server cannot be reached.
        """
        self.dimension = dimension
        self._title = collection
        self._analyzer = analyzer
        self._lock = threading.RLock()
        self._postings: Postings | None = None
        self._loaded_stamp = ""
        self._saved_stamp = ""
        self._closed = False
        name = accepted_name(collection)
        self._index_file: Path | None = None
        self._folder: SharedFolder | None = None
        if uri.lower().startswith(("http://", "https://")):
            address = chroma_address(uri)
            headers = authorization(token, username, password)
            self._client = self._call(f"connecting to {uri}", open_server, address, headers)
        else:
            refuse_credentials(
                "chroma",
                "name a server in rag.vectordb.uri",
                token=token,
                username=username,
                password=password,
            )
            folder = local_path(uri, store="chroma", instead="begin it with http://")
            make_folder(folder)
            self._index_file = folder / f"kvasir-{name}.npz"
            self._folder = SharedFolder(folder, uri)
            try:
                self._client = self._call(f"opening {folder}", open_folder, folder)
            except BaseException:
                self._folder.close()
                raise
        try:
            self._collection = self._open_collection(name, fingerprint)
        except BaseException:
            self.close()
            raise
        stamp = self._stamp()
        if self.count() == 0:  # written from now on, the keyword index need never be read
            self._postings, self._loaded_stamp = Postings(), stamp
        self._batch = min(500, int(self._client.get_max_batch_size()))

    def upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Writes chunks, replacing those of the same id; durable when it returns."""
        if len(chunks) == 0:
            return
        check_vectors(self._title, self.dimension, vectors, len(chunks))
        last = {chunk.id: position for position, chunk in enumerate(chunks)}
        positions = sorted(last.values())
        with self._lock:
            started, current = self._begin_write()
            measured = ((position, len(chunks[position].text)) for position in positions)
            for batch in sized_batches(measured, self._batch, _BATCH_CHARACTERS):
                self._write([chunks[i] for i in batch], vectors[batch], keep=current)
            self._end_write(started, current)

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes chunks by id; unknown ids are no error."""
        if len(ids) == 0:
            return
        with self._lock:
            started, current = self._begin_write()
            for batch in batches(list(dict.fromkeys(ids)), self._batch):
                self._call("deleting", self._collection.delete, ids=batch)
                if current is not None:
                    current.remove(batch)
            self._end_write(started, current)

    def count(self, filters: Filter | None = None) -> int:
        """Returns how many chunks there are."""
        if filters is None:
            return int(self._call("counting", self._collection.count))
        return len(self._get(where=where_clause(filters), include=[])["ids"])

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Returns chunks and their vectors [dimension]; unknown ids are left out."""
        pairs: list[tuple[Chunk, Matrix]] = []
        for batch in batches(list(dict.fromkeys(ids)), self._batch):
            pairs += pairs_of(self._get(ids=batch, include=_CHUNK_AND_VECTOR))
        return pairs

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yields every chunk with its vector [dimension], in batches."""
        # The ids first: pages by offset would shift when something is deleted meanwhile.
        found = self._get(where=where_clause(filters), include=[])["ids"]
        for batch in batches(found, min(batch_size, self._batch)):
            if pairs := pairs_of(self._get(ids=batch, include=_CHUNK_AND_VECTOR)):
                yield pairs

    def search_dense(
        self, vectors: Matrix, top_k: int, filters: Filter | None = None
    ) -> list[list[Hit]]:
        """Returns for each query vector its nearest chunks, best first."""
        check_vectors(self._title, self.dimension, vectors, len(vectors))
        if len(vectors) == 0 or top_k < 1:
            return [[] for _ in vectors]
        query: Callable[..., Any] = self._collection.query
        found = self._call(
            "searching",
            query,
            query_embeddings=np.asarray(vectors, dtype=np.float32),
            n_results=top_k,
            where=where_clause(filters),
            include=["documents", "metadatas", "distances"],
        )
        results = []
        for ids, texts, entries, distances in zip(
            found["ids"], found["documents"], found["metadatas"], found["distances"], strict=True
        ):
            # Chroma's cosine distance is 1 - cosine.
            scores = [min(1.0, max(0.0, 1.0 - distance / 2)) for distance in distances]
            chunks = map(chunk_of, ids, texts, entries)
            results.append([Hit(c, s, s) for c, s in zip(chunks, scores, strict=True)])
        return results

    def search_lexical(
        self,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Hit]]:
        """Returns for each query the best chunks by BM25, best first."""
        terms = self._analyzer.query_terms(queries, languages)
        with self._lock:
            postings = self._current_postings()
            rankings = [postings.rank(query) for query in terms]
        return [self._best(ranking, top_k, filters) for ranking in rankings]

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replaces the metadata of chunks without touching text or vectors."""
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

    def drop(self) -> None:
        """Deletes the collection with all that is in it, and closes the store."""
        with self._lock:
            name = self._collection.name
            self._call("deleting the collection", self._client.delete_collection, name)
            self._postings = None
            if self._index_file:
                self._index_file.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Writes the keyword index to its file and closes; a second call does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if (
                self._postings is not None
                and self._index_file
                and self._saved_stamp != self._loaded_stamp
            ):
                self._postings.save(self._index_file, self._loaded_stamp)
            sessions = http_sessions(self._client)
            try:
                self._client.close()
            finally:
                for session in sessions:
                    session.close()
                if self._folder:
                    self._folder.close()

    # --- opening -----------------------------------------------------------------------

    def _open_collection(self, name: str, fingerprint: str) -> chromadb.Collection:
        opened: chromadb.Collection
        try:
            opened = self._call(
                "opening", self._client.get_collection, name, embedding_function=None
            )
        except NotFoundError:
            about = {"kvasir": 1, "dimension": self.dimension, "fingerprint": fingerprint}
            opened = self._call(
                "creating a collection",
                self._client.get_or_create_collection,
                name,
                embedding_function=None,
                metadata=about,
                configuration=_SPACE,
            )
        about = opened.metadata or {}
        if "kvasir" not in about:
            raise not_ours(self._title)
        check_maker(
            self._title,
            made_by=str(about["fingerprint"]),
            made_dimension=int(str(about["dimension"])),
            fingerprint=fingerprint,
            dimension=self.dimension,
        )
        return opened

    # --- writing -----------------------------------------------------------------------

    def _write(self, chunks: Sequence[Chunk], vectors: Matrix, keep: Postings | None) -> None:
        languages = [str(chunk.metadata.get("language", "")) for chunk in chunks]
        terms = self._analyzer.document_terms([chunk.passage for chunk in chunks], languages)
        ids = [chunk.id for chunk in chunks]
        self._call(
            "writing",
            self._collection.upsert,
            ids=ids,
            embeddings=np.asarray(vectors, dtype=np.float32),
            documents=[chunk.text for chunk in chunks],
            metadatas=[
                {**entries_of(chunk), "terms": base64.b85encode(pack(sparse)).decode()}
                for chunk, sparse in zip(chunks, terms, strict=True)
            ],
        )
        if keep is not None:
            keep.replace(ids, terms)

    def _begin_write(self) -> tuple[str, Postings | None]:
        """Announces a write to other stores.

        Returns:
            The stamp of this write, and the keyword index if it is current.
        """
        current = self._postings if self._stamp() == self._loaded_stamp else None
        return self._put_stamp(), current

    def _end_write(self, started: str, current: Postings | None) -> None:
        """Announces that a write is done, and keeps the keyword index if no other store wrote.

        Chroma cannot compare and set in one step: a stamp that comes in between is overwritten
        here, but its writer sees that at its own end, and puts one more. The number of chunks
        tells of a writer that was done before this one's first stamp.
        """
        if self._stamp() != started or (current is not None and len(current) != self.count()):
            current = None
        self._postings, self._loaded_stamp = current, self._put_stamp()

    def _put_stamp(self) -> str:
        stamp = uuid.uuid4().hex
        about = {**(self._collection.metadata or {}), "stamp": stamp}
        self._call("writing", self._collection.modify, metadata=about)
        return stamp

    def _stamp(self) -> str:
        name = self._collection.name
        opened = self._call("opening", self._client.get_collection, name, embedding_function=None)
        return str((opened.metadata or {}).get("stamp", ""))

    # --- asking ------------------------------------------------------------------------

    def _current_postings(self) -> Postings:
        stamp = self._stamp()
        if self._postings is not None and stamp == self._loaded_stamp:
            return self._postings
        saved = Postings.load(self._index_file, stamp) if self._index_file else None
        self._saved_stamp = "" if saved is None else stamp
        postings = self._read_postings() if saved is None else saved
        self._postings, self._loaded_stamp = postings, stamp
        return postings

    def _read_postings(self) -> Postings:
        vectors: dict[str, SparseVector] = {}
        for batch in batches(self._get(include=[])["ids"], _PAGE):
            page = self._get(ids=batch, include=["metadatas"])
            for chunk_id, entries in zip(page["ids"], page["metadatas"], strict=True):
                vectors[chunk_id] = unpack(base64.b85decode(entries["terms"]))
        return Postings(vectors)

    def _best(
        self, ranking: list[tuple[str, float]], top_k: int, filters: Filter | None
    ) -> list[Hit]:
        """Returns hits of the best ranked chunks that are there and pass the filter."""
        condition = where_clause(filters)
        hits: list[tuple[Chunk, float]] = []
        size = top_k
        while ranking and len(hits) < top_k:
            batch, ranking = ranking[:size], ranking[size:]
            size = min(4 * size, _PAGE)
            found = self._get(
                ids=[chunk_id for chunk_id, _ in batch], where=condition, include=_CHUNK
            )
            chunks = {chunk.id: chunk for chunk in chunks_of(found)}
            hits += [(chunks[i], score) for i, score in batch if i in chunks]
        return [Hit(c, s / hits[0][1], None, s) for c, s in hits[:top_k]]

    def _get(self, **options: Any) -> dict[str, Any]:
        return dict(self._call("reading", self._collection.get, **options))

    def _call(self, doing: str, method: Callable[..., T], *args: Any, **options: Any) -> T:
        try:
            return method(*args, **options)
        except NotFoundError:
            raise
        except (ChromaError, httpx.HTTPError, ValueError, OSError) as error:
            raise ComponentError("chroma", doing, error) from error
