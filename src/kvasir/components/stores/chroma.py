"""Chroma, in a folder or as a server (``chroma run``).

Chroma has a sparse index in its cloud only, and its full-text search does not rank. So each record
holds its term weights, and the keyword index is in memory (``keyword_index``), with a stamp in the
collection's metadata. A folder has a copy of the index in a file, for a fast start.

Chroma lets several processes write into one folder, but one may not find what another writes. So
one process owns a folder; its stores share it.

Chroma's client finds a collection by an id. A store finds it again by its name when another one has
deleted and created it meanwhile.

Chroma must not be used across a fork of the process.

Source: https://docs.trychroma.com (chromadb 1.5).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
import httpx
import numpy as np
from chromadb.config import Settings
from chromadb.errors import ChromaError, NotFoundError

from kvasir.components.stores import tagged_rows
from kvasir.components.stores.database_store import DatabaseStore, Scores, not_ours
from kvasir.components.stores.folder_lock import FolderLock
from kvasir.components.stores.hybrid import KeywordsInMemory, similarities
from kvasir.components.stores.keyword_index import IndexCache, Postings, pack, unpack
from kvasir.components.stores.store_uris import (
    local_path,
    make_folder,
    refuse_credentials,
    server_address,
    unusable,
)
from kvasir.components.stores.tagged_rows import Condition, HasTag, InRange
from kvasir.core.batches import batches, sized_batches
from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.filters import Filter
from kvasir.core.scoring import dense_score
from kvasir.core.types import Chunk, Matrix, Metadata, SparseVector

_SPACE = {
    "hnsw": {"space": "cosine", "max_neighbors": 24, "ef_construction": 200, "ef_search": 400}
}
_PAGE = 2000
_BATCH_CHARACTERS = 4_000_000
_CHUNK = ["documents", "metadatas"]
_CHUNK_AND_VECTOR = ["documents", "metadatas", "embeddings"]
_ALWAYS = "-"
"""A tag of every record, because Chroma rejects empty lists; other tags are digests."""
_NEVER = "!"
"""A tag that no record has."""
_RANGES = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}


class ChromaStore(KeywordsInMemory, DatabaseStore):
    """Keeps a collection in a Chroma folder or on a Chroma server.

    Without a port, ``http://`` means 8000 and ``https://`` 443. A server is asked with a bearer
    token or with a user name and a password (basic authentication).
    """

    name = "chroma"
    _errors = (ChromaError, httpx.HTTPError, ValueError, OSError)
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
                self._ask("deleting", "delete", ids=batch)
                changed(batch, None)

    def count(self, filters: Filter | None = None) -> int:
        """Return how many chunks there are."""
        if filters is None:
            return int(self._ask("counting", "count"))
        return len(self._ids(filters))

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Return chunks and their vectors [dimension]; unknown ids are left out."""
        return [pair for page in self._pages(ids, _CHUNK_AND_VECTOR) for pair in _pairs(page)]

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yield every chunk with its vector [dimension], in batches."""
        # The ids first: pages by offset would shift when something is deleted meanwhile.
        size = min(batch_size, self._batch)
        for page in self._pages(self._ids(filters), _CHUNK_AND_VECTOR, size):
            if pairs := _pairs(page):
                yield pairs

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks without their vectors; unknown ids are left out."""
        return [chunk for page in self._pages(ids, _CHUNK) for chunk in _chunks(page)]

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[Scores]:
        found: Any = self._ask(
            "searching",
            "query",
            query_embeddings=np.asarray(vectors, dtype=np.float32),
            n_results=top_k,
            where=_where(filters),
            include=["distances"],
        )
        # Chroma's cosine distance is 1 - cosine.
        return [
            {i: dense_score(1.0 - d) for i, d in zip(ids, distances, strict=True)}
            for ids, distances in zip(found["ids"], found["distances"], strict=True)
        ]

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""
        for page in self._pages(ids, _CHUNK):
            known = [replace(chunk, metadata=dict(metadata)) for chunk in _chunks(page)]
            if known:
                entries = [_entries(chunk) for chunk in known]
                self._ask("writing", "update", page["ids"], metadatas=entries)

    def _connect(self, uri: str, **login: str | None) -> None:
        self._index = IndexCache(self._stamp, self._put_stamp, self._load_index, count=self.count)
        self._saved_stamp = ""
        self._index_file: Path | None = None
        self._folder: FolderLock | None = None
        if uri.lower().startswith(("http://", "https://")):
            self._client = self._call(f"connecting to {uri}", _open_server, uri, **login)
            return
        refuse_credentials("chroma", "name a server in rag.vectordb.uri", **login)
        folder = local_path(uri, store="chroma", instead="begin it with http://")
        make_folder(folder)
        self._index_file = folder / f"kvasir-{self._name}.npz"
        what = f"the folder {uri}"
        self._folder = FolderLock(folder, what, unusable, prefix="kvasir-", shared=True)
        # Each client has its own settings, because it changes them.
        client, settings = chromadb.PersistentClient, Settings(anonymized_telemetry=False)
        try:
            self._client = self._call(f"opening {folder}", client, folder, settings=settings)
        except BaseException:
            self._folder.close()
            raise

    def _drop(self) -> None:
        try:
            self._request("deleting the collection", self._client.delete_collection)
        except ComponentError as error:
            if not self._is_gone(error):
                raise
        self._index.forget()
        if self._index_file:
            self._index_file.unlink(missing_ok=True)

    def _before_closing(self) -> None:
        kept = self._index.snapshot()
        if kept is not None and self._index_file and kept[1] != self._saved_stamp:
            kept[0].save(self._index_file, kept[1])

    def _disconnect(self) -> None:
        sessions = _http_sessions(self._client)
        try:
            super()._disconnect()
        finally:
            for session in sessions:
                session.close()
            if self._folder:
                self._folder.close()

    def _open_collection(self, fingerprint: str) -> None:
        try:
            opened = self._found()
        except ComponentError as error:
            if not self._is_gone(error):
                raise
            about = {"kvasir": 1, "dimension": self.dimension, "fingerprint": fingerprint}
            opened = self._request(
                "creating a collection",
                self._client.get_or_create_collection,
                embedding_function=None,
                metadata=about,
                configuration=_SPACE,
            )
        self._use(opened)
        self._batch = min(500, int(self._client.get_max_batch_size()))
        if self.count() == 0:
            self._index.start_empty()

    def _is_gone(self, error: ComponentError) -> bool:
        return isinstance(error.__cause__, NotFoundError)

    def _use(self, found: chromadb.Collection) -> None:
        """Use a collection from now on.

        Raises:
            ConflictError: Another program made it.
            WrongEmbedderError: Another embedder made its vectors.
        """
        about = found.metadata or {}
        if "kvasir" not in about:
            raise not_ours(self._title)
        stored = str(about["fingerprint"]), int(str(about["dimension"]))
        self._check_maker(*stored, self._fingerprint)
        self._collection = found

    def _ask(self, doing: str, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of the collection, also if it was created again; see ``_call``."""
        try:
            return self._call(doing, getattr(self._collection, method), *args, **options)
        except ComponentError as error:
            if not self._is_gone(error):
                raise
        self._current()
        return self._call(doing, getattr(self._collection, method), *args, **options)

    def _current(self) -> chromadb.Collection:
        """Return the collection that has the name now, which has another index if it is new."""
        found = self._found()
        if found.id != self._collection.id:
            self._use(found)
            self._index.forget()
        return found

    def _write(self, chunks: Sequence[Chunk], vectors: Matrix) -> list[SparseVector]:
        """Write chunks and return their terms."""
        terms = self._terms(chunks)
        self._ask(
            "writing",
            "upsert",
            ids=[chunk.id for chunk in chunks],
            embeddings=np.asarray(vectors, dtype=np.float32),
            documents=[chunk.text for chunk in chunks],
            metadatas=[
                {**_entries(chunk), "terms": base64.b85encode(pack(sparse)).decode()}
                for chunk, sparse in zip(chunks, terms, strict=True)
            ],
        )
        return terms

    def _put_stamp(self, stamp: str) -> None:
        about = {**(self._current().metadata or {}), "stamp": stamp}
        self._ask("writing", "modify", metadata=about)

    def _stamp(self) -> str:
        return str((self._current().metadata or {}).get("stamp", ""))

    def _found(self) -> chromadb.Collection:
        get: Callable[..., chromadb.Collection] = self._client.get_collection
        return self._request("opening", get, embedding_function=None)

    def _load_index(self, stamp: str) -> Postings:
        saved = Postings.load(self._index_file, stamp) if self._index_file else None
        self._saved_stamp = "" if saved is None else stamp
        return self._read_index() if saved is None else saved

    def _read_index(self) -> Postings:
        vectors: dict[str, SparseVector] = {}
        for page in self._pages(self._ids(None), ["metadatas"], _PAGE):
            for chunk_id, entries in zip(page["ids"], page["metadatas"], strict=True):
                vectors[chunk_id] = unpack(base64.b85decode(entries["terms"]))
        return Postings(vectors)

    def _matching(self, filters: Filter) -> set[str]:
        # One pass over the collection: Chroma takes half a millisecond to filter one given id.
        return set(self._ids(filters))

    def _scores(self, query: Matrix, ids: Sequence[str], filters: Filter | None) -> Scores:
        found = self._get(ids=list(ids), include=["embeddings"])
        return similarities(query, dict(zip(found["ids"], found["embeddings"], strict=True)))

    def _ids(self, filters: Filter | None) -> list[str]:
        return list(self._get(where=_where(filters), include=[])["ids"])

    def _pages(
        self, ids: Sequence[str], include: list[str], size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        for batch in batches(list(dict.fromkeys(ids)), size or self._batch):
            yield self._get(ids=batch, include=include)

    def _get(self, **options: Any) -> dict[str, Any]:
        return dict(self._ask("reading", "get", **options))


def _open_server(uri: str, **login: str | None) -> Any:
    server_address(uri, store="chroma", example="http://localhost:8000", embedded="chroma")
    address = urlsplit(uri)
    if address.path.strip("/") or address.query or address.fragment:
        raise SettingsError(
            f"Chroma's client knows no path behind a server's name, but rag.vectordb.uri is "
            f"'{uri}': give the server a name or a port of its own, such as http://localhost:8000"
        )
    secure = address.scheme == "https"
    return chromadb.HttpClient(
        host=address.hostname or "localhost",
        port=address.port or (443 if secure else 8000),
        ssl=secure,
        headers=_authorization(**login),
        settings=Settings(anonymized_telemetry=False),
    )


def _http_sessions(client: Any) -> list[httpx.Client]:
    """Return the connections that a client of Chroma 1.5 leaves open when it is closed."""
    clients = (client, getattr(client, "_admin_client", None))
    servers = [getattr(each, "_server", None) for each in clients]
    sessions = [getattr(server, "_session", None) for server in servers]
    return [session for session in sessions if isinstance(session, httpx.Client)]


def _authorization(token: str | None, username: str | None, password: str | None) -> dict[str, str]:
    if token:
        return {"Authorization": f"Bearer {token}"}
    if username:
        pair = base64.b64encode(f"{username}:{password or ''}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}


def _entries(chunk: Chunk) -> dict[str, Any]:
    """Return the Chroma metadata of a chunk, without its terms.

    Chroma merges metadata in an update, so numbers of removed fields stay in the record. Range
    filters do not match them: they also need the tag of the number, and the tags are replaced.
    """
    return {
        "record": tagged_rows.record(chunk),
        "tags": [_ALWAYS, *tagged_rows.tags(chunk.metadata)],
        **tagged_rows.numbers(chunk.metadata),
    }


def _chunks(found: dict[str, Any]) -> list[Chunk]:
    records = zip(found["ids"], found["documents"], found["metadatas"], strict=True)
    return [tagged_rows.chunk(i, text or "", entries["record"]) for i, text, entries in records]


def _pairs(found: dict[str, Any]) -> list[tuple[Chunk, Matrix]]:
    vectors = np.asarray(found["embeddings"], dtype=np.float32)
    return list(zip(_chunks(found), vectors, strict=True))


def _where(filters: Filter | None) -> dict[str, Any] | None:
    return None if filters is None else _to_where(tagged_rows.condition(filters))


def _to_where(condition: Condition) -> dict[str, Any]:
    if isinstance(condition, HasTag):
        operator = "$contains" if condition.present else "$not_contains"
        parts = [{"tags": {operator: tag}} for tag in condition.tags]
        # One of the tags present, or all of them absent.
        return _joined(parts, every=not condition.present)
    if isinstance(condition, InRange):
        compared = {condition.field: {_RANGES[condition.operator]: condition.number}}
        return {"$and": [{"tags": {"$contains": condition.tag}}, compared]}
    parts = [_to_where(part) for part in condition.parts]
    return _joined(parts, every=condition.every)


def _joined(parts: list[dict[str, Any]], *, every: bool) -> dict[str, Any]:
    """Join clauses with AND or OR, which Chroma allows only for two or more clauses."""
    if not parts:
        return {"tags": {"$contains": _ALWAYS if every else _NEVER}}
    return parts[0] if len(parts) == 1 else {"$and" if every else "$or": parts}
