"""What the stores behind a database's client library share: opening, closing, errors."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from kvasir.components.stores.collection_checks import accepted_name
from kvasir.core.errors import ComponentError
from kvasir.core.protocols import TextAnalyzer

T = TypeVar("T")


class DatabaseStore(ABC):
    """Opens a collection of a database, and turns the errors of its client into ours."""

    name: ClassVar[str]
    _errors: ClassVar[tuple[type[Exception], ...]]
    """What the client library raises."""

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
            SettingsError: ``uri`` cannot be that of such a store, or it knows no such
                credentials.
            StoreLockedError: Another process has the path open.
            WrongEmbedderError: It was made with another dimension or by another embedder.
            ComponentError: The server cannot be reached.
        """
        self.dimension = dimension
        self._title = collection
        self._name = accepted_name(collection)
        self._analyzer = analyzer
        self._closing = threading.Lock()
        self._closed = False
        self._connect(uri, token, username, password)
        try:
            self._open_collection(fingerprint)
        except BaseException:
            self.close()
            raise

    def flush(self) -> None:
        """Do nothing: the database keeps what it has acknowledged."""
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
    def _connect(
        self, uri: str, token: str | None, username: str | None, password: str | None
    ) -> None:
        """Make the client."""

    @abstractmethod
    def _open_collection(self, fingerprint: str) -> None:
        """Open the collection, and create it where there is none."""

    @abstractmethod
    def _drop(self) -> None:
        """Delete the collection."""

    def _before_closing(self) -> None:  # noqa: B027  most stores keep nothing
        """Keep what the next start can use."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Close the client."""

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
