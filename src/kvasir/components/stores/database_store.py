"""The common parts of stores that call a client library: checks, opening, closing, errors."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

from kvasir.components.stores.collection_checks import accepted_name, check_maker, check_vectors
from kvasir.components.stores.hybrid import join_legs, resolved, scores_of
from kvasir.components.stores.index_cache import IndexCache
from kvasir.core.errors import ComponentError
from kvasir.core.filters import Filter
from kvasir.core.protocols import Candidate, PendingVectors, TextAnalyzer
from kvasir.core.types import Chunk, Matrix, SparseVector

T = TypeVar("T")


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
        check_vectors(self._title, self.dimension, vectors, len(vectors))
        if len(vectors) == 0 or top_k < 1:
            return [[] for _ in vectors]
        return self._search(vectors, top_k, filters)

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

    @abstractmethod
    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[list[Candidate]]:
        """Search for one query vector or more, and for one result or more of each."""

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
        check_maker(
            self._title,
            stored_fingerprint=stored_fingerprint,
            stored_dimension=stored_dimension,
            fingerprint=fingerprint,
            dimension=self.dimension,
        )

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
        self._connect(uri, token, username, password)
        try:
            self._open_collection(fingerprint)
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _connect(
        self, uri: str, token: str | None, username: str | None, password: str | None
    ) -> None:
        """Make the client."""

    @abstractmethod
    def _open_collection(self, fingerprint: str) -> None:
        """Open the collection, and create it where there is none."""


class KeywordsInMemory(ClientStore):
    """Ranks keywords in memory, for databases without a keyword index of their own."""

    _index: IndexCache

    def search_hybrid(
        self,
        vectors: Matrix | PendingVectors,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Candidate]]:
        """Return for each query the chunks that either leg finds."""
        words = self._rank(self._analyzer.query_terms(queries, languages), filters)
        vectors = resolved(vectors)
        return [
            join_legs(scores_of(near), ranking, top_k, partial(self._scores, vector, filters))
            for near, ranking, vector in zip(
                self.search(vectors, top_k, filters), words, vectors, strict=True
            )
        ]

    def _rank(
        self, queries: Sequence[SparseVector], filters: Filter | None
    ) -> list[list[tuple[str, float]]]:
        """Return chunk ids and BM25 scores; ``_scores`` applies the filter."""
        index = self._index.current()
        return [index.rank(query) for query in queries]

    @abstractmethod
    def _scores(
        self, query: Matrix, filters: Filter | None, ids: Sequence[str]
    ) -> dict[str, float]:
        """Return the ``dense_score`` of the chunks that exist and pass the filter."""
