"""One index of a collection, as it is open in this process.

A collection that is embedded again gets another index; then calls that began before go on with the
old one until they end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kvasir.core.leases import Lazy
from kvasir.core.ledger import CollectionRecord, check_embedder
from kvasir.core.protocols import Embedder, VectorStore

if TYPE_CHECKING:
    from kvasir.answering.retrieval import Retriever


class OpenIndex:
    """The store, embedder and retriever of one index, each made when it is first needed.

    Attributes:
        record: The collection's record; None if the collection does not exist yet.
    """

    def __init__(
        self,
        record: CollectionRecord | None,
        open_store: Callable[[], VectorStore],
        find_embedder: Callable[[], Embedder],
        make_retriever: Callable[[OpenIndex], Retriever],
        *,
        closes: bool = True,
    ) -> None:
        """Open nothing yet; a store that another index owns is not closed."""
        self.record = record
        self._store = Lazy(open_store)
        self._embedder = Lazy(find_embedder)
        self._retriever = Lazy(lambda: make_retriever(self))
        self._closes = closes

    def is_of(self, record: CollectionRecord | None) -> bool:
        """Return True if this is the index that a record names."""
        if self.record is None or record is None:
            return record is None or not record.index
        same = self.record.index == record.index
        return same and self.record.fingerprint == record.fingerprint

    @property
    def name(self) -> str:
        """``CollectionRecord.index``."""
        return self.record.index if self.record else ""

    @property
    def is_open(self) -> bool:
        """True if the store is open."""
        return self._store.is_made

    @property
    def store(self) -> VectorStore:
        """The store, opened at its first use."""
        return self._store.get()

    @property
    def embedder(self) -> Embedder:
        """The collection's embedder; raise WrongEmbedderError if it did not make the vectors."""
        embedder = self._embedder.get()
        if self.record is not None:
            check_embedder(self.record, embedder)
        return embedder

    @property
    def retriever(self) -> Retriever:
        """The retriever; another embedder and a lost store are refused."""
        _ = self.embedder
        return self._retriever.get()

    def close(self) -> None:
        """Close the store."""
        self._retriever.take()
        if (store := self._store.take()) is not None and self._closes:
            store.close()
