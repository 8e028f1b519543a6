"""The common parts of stores that call a client library: checks, opening, closing, errors."""

from __future__ import annotations

import hashlib
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from kvasir.core.errors import ComponentError, ConflictError, WrongEmbedderError
from kvasir.core.filters import Filter
from kvasir.core.protocols import Candidate, TextAnalyzer
from kvasir.core.types import Chunk, Matrix, SparseVector

T = TypeVar("T")
Scores = dict[str, float]
"""The ``dense_score`` of chunks by id."""


class ClientStore(ABC):
    """Keeps one collection by calling a client library, and turns its errors into ours."""

    name: ClassVar[str]
    _errors: ClassVar[tuple[type[Exception], ...]]
    """The errors that the client library raises."""

    def __init__(self, collection: str, dimension: int, analyzer: TextAnalyzer) -> None:
        self.dimension = dimension
        self._title = collection
        self._analyzer = analyzer
        self._closing = threading.Lock()
        self._closed = False

    def upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Write chunks, replacing those of the same id; durable when it returns."""
        if len(chunks) == 0:
            return
        check_vectors(self._title, self.dimension, vectors, len(chunks))
        last = {chunk.id: position for position, chunk in enumerate(chunks)}
        positions = sorted(last.values())
        self._upsert([chunks[position] for position in positions], vectors[positions])

    def search(
        self, vectors: Matrix, top_k: int, filters: Filter | None = None
    ) -> list[list[Candidate]]:
        """Return for each query vector its nearest chunks, best first."""
        nearest = self._nearest(vectors, len(vectors), top_k, filters)
        return [[Candidate(*pair) for pair in near.items()] for near in nearest]

    def flush(self) -> None:
        """Do nothing: every acknowledged write is durable."""
        self._check_open("flushing")

    def drop(self) -> None:
        """Delete the collection with everything in it, and close the store."""
        self._drop()
        self.close()

    def close(self) -> None:
        """Release files and connections; a second call does nothing."""
        with self._closing:
            if self._closed:
                return
            try:
                self._before_closing()
            finally:
                self._closed = True
                self._disconnect()

    @abstractmethod
    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Write chunks of different ids with their vectors."""

    def _nearest(
        self, vectors: Matrix, queries: int, top_k: int, filters: Filter | None
    ) -> list[Scores]:
        check_vectors(self._title, self.dimension, vectors, queries)
        if queries == 0 or top_k < 1:
            return [{} for _ in range(queries)]
        return self._search(vectors, top_k, filters)

    @abstractmethod
    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[Scores]:
        """Return the nearest chunks of each vector, best first; ``top_k`` is above 0."""

    @abstractmethod
    def _drop(self) -> None:
        """Delete the collection."""

    def _before_closing(self) -> None:  # noqa: B027  most stores save nothing
        """Save what makes the next start faster."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Close the client."""

    def _terms(self, chunks: Sequence[Chunk]) -> list[SparseVector]:
        languages = [str(chunk.metadata.get("language", "")) for chunk in chunks]
        return self._analyzer.document_terms([chunk.passage for chunk in chunks], languages)

    def _check_maker(
        self, stored_fingerprint: str, stored_dimension: int, fingerprint: str
    ) -> None:
        check_maker(self._title, stored_fingerprint, stored_dimension, fingerprint, self.dimension)

    def _check_open(self, doing: str) -> None:
        if self._closed:
            raise ComponentError(self.name, doing, "the store is closed")

    def _call(self, doing: str, method: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call the client library.

        Raises:
            ComponentError: The store is closed, or the database failed.
        """
        self._check_open(doing)
        try:
            return method(*args, **options)
        except Exception as error:
            self._check_open(doing)
            if isinstance(error, self._errors):
                raise ComponentError(self.name, doing, error) from error
            raise


class DatabaseStore(ClientStore):
    """Keeps a collection in a database that has an address or a path."""

    _client: Any

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
        """Open a collection, and create it where there is none.

        Args:
            uri: The server's address, such as ``http://localhost:6333``, or for a store in the
                process its path.
            collection: Any name; characters that the database refuses are replaced.
            dimension: Length of the vectors.
            analyzer: Makes the terms of the keyword leg.
            fingerprint: Of the embedder; empty accepts any.
            token: API key, in place of user name and password.
            username: User of the server.
            password: The user's password.

        Raises:
            SettingsError: ``uri`` or a credential is of a kind that the store does not take.
            StoreLockedError: Another process has the path open.
            WrongEmbedderError: It was made with another dimension or by another embedder.
            ComponentError: The server cannot be reached.
        """
        super().__init__(collection, dimension, analyzer)
        self._name = accepted_name(collection)
        self._fingerprint = fingerprint
        self._connect(uri, token=token, username=username, password=password)
        try:
            self._open_collection(fingerprint)
        except BaseException:
            self.close()
            raise

    def upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Write chunks, replacing those of the same id; durable when it returns.

        A collection that another process has deleted is created again.
        """
        try:
            super().upsert(chunks, vectors)
        except ComponentError as error:
            if not self._is_gone(error):
                raise
            self._open_collection(self._fingerprint)
            super().upsert(chunks, vectors)

    def _disconnect(self) -> None:
        self._client.close()

    def _request(self, doing: str, method: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call a method of the client that takes the collection's name first; see ``_call``."""
        return self._call(doing, method, self._name, *args, **options)

    @abstractmethod
    def _connect(self, uri: str, **login: str | None) -> None:
        """Make the client; ``login`` has the token, username and password, each maybe None."""

    @abstractmethod
    def _is_gone(self, error: ComponentError) -> bool:
        """Return True if an error says that the database does not have the collection."""

    @abstractmethod
    def _open_collection(self, fingerprint: str) -> None:
        """Open the collection, and create it where there is none."""


def check_vectors(collection: str, dimension: int, vectors: Matrix, rows: int) -> None:
    """Raise ``WrongEmbedderError`` unless there is a vector [dimension] for each row."""
    if vectors.shape != (rows, dimension):
        raise WrongEmbedderError(
            f"collection '{collection}' holds vectors of dimension {dimension}, not an "
            f"array {list(vectors.shape)} for {rows}: use the embedder that made the "
            "collection, or ingest into a new one"
        )


def check_maker(
    collection: str,
    stored_fingerprint: str,
    stored_dimension: int,
    fingerprint: str,
    dimension: int,
) -> None:
    """Raise ``WrongEmbedderError`` if another embedder made a collection.

    An empty fingerprint matches any.
    """
    if stored_dimension != dimension or (
        fingerprint and stored_fingerprint and stored_fingerprint != fingerprint
    ):
        raise WrongEmbedderError(
            f"collection '{collection}' was made by another embedder (dimension "
            f"{stored_dimension}, not {dimension}; fingerprint '{stored_fingerprint}', not "
            f"'{fingerprint}'): use that embedder, or ingest into a new collection"
        )


def not_ours(collection: str) -> ConflictError:
    """Return the error for a collection that another program made."""
    return ConflictError(f"collection '{collection}' was not made by Kvasir: name another one")


def accepted_name(name: str) -> str:
    """Return a name of letters, digits and underscores, unchanged if possible.

    Changed names end in a digest of the original, so that no two collections share one.
    """
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{1,61}[A-Za-z0-9]", name, re.ASCII) and "__" not in name:
        return name
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name, flags=re.ASCII).strip("_")[:40] or "collection"
    return f"c_{plain}__{hashlib.blake2b(name.encode(), digest_size=5).hexdigest()}"
