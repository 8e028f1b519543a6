"""The stores of a service, and the proxy of one collection.

A service opens collections as they are asked for, and closes the one that was unused for longest
when there are many. Every request names the collection with the dimension and the fingerprint of
its embedder, so that a store that was deleted and made again is refused where it no longer fits.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, ClassVar

import numpy as np

from kvasir.core.batches import batches, sized_batches
from kvasir.core.deadline import current_stop, limited, stopping
from kvasir.core.errors import ComponentError
from kvasir.core.filters import Filter
from kvasir.core.protocols import (
    Candidate,
    LexicalSearch,
    Optimizable,
    PendingVectors,
    VectorStore,
)
from kvasir.core.run import StopToken
from kvasir.core.types import Chunk, Matrix, Metadata
from kvasir.core.wire import to_json
from kvasir.remote.zeromq.client import WHOLE_SECONDS
from kvasir.remote.zeromq.components import TIMEOUT_SECONDS, RemoteComponent, capabilities_of
from kvasir.remote.zeromq.worker import Arguments, Operation, Service

ROLE = "store"
OpenStore = Callable[[str, int, str], VectorStore]
"""Opens the store of a collection, a dimension and a fingerprint."""

_KNOWN: Mapping[str, type] = {"lexical_search": LexicalSearch, "optimizable": Optimizable}
_ROWS, _CHARACTERS = 1000, 4_000_000
"""Chunks of one request."""
_MOST_OPEN = 64


class _SearchesWords:
    _asked: Any
    _candidates: Any

    def search_hybrid(
        self,
        vectors: Matrix | PendingVectors,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Candidate]]:
        """Return for each query the chunks that either search finds, in any order."""
        if not isinstance(vectors, np.ndarray):
            vectors = vectors.result()
        found: list[list[Candidate]] = self._candidates(
            self._asked(
                "searching",
                "search_hybrid",
                vectors=vectors,
                queries=list(queries),
                languages=list(languages),
                top_k=top_k,
                filters=to_json(filters),
            )
        )
        return found


class _Optimizes:
    _asked: Any

    def optimize(self, *, wait: bool = False, stop: StopToken | None = None) -> None:
        """Start building the graph if needed; ``wait`` until it is in use."""
        with stopping(stop or current_stop() or StopToken()):
            seconds = WHOLE_SECONDS if wait else None
            self._asked("building the search graph", "optimize", timeout=seconds, wait=wait)


class RemoteVectorStore(RemoteComponent):
    """One collection in a store of a service."""

    role = ROLE
    capabilities: ClassVar[Mapping[str, type]] = {
        "lexical_search": _SearchesWords,
        "optimizable": _Optimizes,
    }

    def __init__(
        self,
        uri: str,
        collection: str,
        dimension: int,
        fingerprint: str = "",
        service: str = ROLE,
        keys: str = "",
        key: str = "client",
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Connect, and open the collection at the service.

        Args:
            uri: Address of the broker's front end.
            collection: Name of the collection.
            dimension: Of its vectors.
            fingerprint: Of their embedder.
            service: Name of the service.
            keys: Folder with CURVE keys, if the broker has some.
            key: Name of the client's key in it.
            timeout: Seconds that a call may take.

        Raises:
            WrongEmbedderError: The collection was made by another embedder.
            ComponentError: The service does not answer.
        """
        self.dimension = dimension
        self._is_closed = False
        self._which = {
            "collection": collection,
            "dimension": dimension,
            "fingerprint": fingerprint,
        }
        super().__init__(uri, service, keys, key, timeout, handshake=self._which)

    def upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        """Write chunks, replacing those of the same id; durable when it returns."""
        self._check_open("writing")
        if len(vectors) != len(chunks):
            raise ValueError(f"{len(chunks)} chunks and {len(vectors)} vectors")
        done = 0
        sizes = ((chunk, len(chunk.text)) for chunk in chunks)
        for batch in sized_batches(sizes, _ROWS, _CHARACTERS):
            part = vectors[done : done + len(batch)]
            self._asked("writing", "upsert", chunks=to_json(batch), vectors=part)
            done += len(batch)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error."""
        self._check_open("deleting")
        self._asked("deleting", "delete", ids=list(ids))

    def count(self, filters: Filter | None = None) -> int:
        """Return the number of chunks."""
        return self._read(int, self._asked("counting", "count", filters=to_json(filters)))

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Return chunks and their vectors [dimension]; unknown ids are left out."""
        self._check_open("reading")
        found = []
        for batch in batches(ids, _ROWS):
            found += self._pairs(self._asked("reading", "fetch", ids=batch))
        return found

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks without their vectors; unknown ids are left out."""
        self._check_open("reading")
        found: list[Chunk] = []
        for batch in batches(ids, _ROWS):
            found += self._read(list[Chunk], self._asked("reading", "fetch_chunks", ids=batch))
        return found

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yield all chunks with their vectors [dimension], in batches, in any order."""
        self._check_open("reading")
        asked = {**self._which, "filters": to_json(filters), "batch_size": batch_size}
        pieces = self._client.stream(self._service, "scroll", asked, silence=self._timeout)
        with closing(pieces):
            for piece in pieces:
                yield self._pairs(piece)

    def search(
        self, vectors: Matrix, top_k: int, filters: Filter | None = None
    ) -> list[list[Candidate]]:
        """Return the nearest chunks of each query vector, best first."""
        asked = {"vectors": vectors, "top_k": top_k, "filters": to_json(filters)}
        return self._candidates(self._asked("searching", "search", **asked))

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""
        asked = {"ids": list(ids), "metadata": to_json(metadata)}
        self._asked("writing", "set_metadata", **asked)

    def flush(self) -> None:
        """Wait until all writes so far are durable, also after a power failure."""
        self._asked("flushing", "flush")

    def drop(self) -> None:
        """Delete the collection with all its data, and close the store."""
        self._asked("deleting the collection", "drop")
        self.close()

    def close(self) -> None:
        """Give the connection back; the service keeps the store open for others."""
        self._is_closed = True
        super().close()

    def _asked(
        self, doing: str, operation: str, *, timeout: float | None = None, **arguments: Any
    ) -> Any:
        self._check_open(doing)
        return self._call(operation, {**self._which, **arguments}, timeout)

    def _check_open(self, doing: str) -> None:
        if self._is_closed:
            raise ComponentError(self._service, doing, "the store is closed")

    def _pairs(self, data: Any) -> list[tuple[Chunk, Matrix]]:
        found = self._read(dict[str, Any], data)
        chunks = self._read(list[Chunk], found.get("chunks"))
        vectors = found.get("vectors")
        shape = (len(chunks), self.dimension)
        if getattr(vectors, "shape", None) != shape:
            raise self._malformed(f"these are no vectors of the shape {shape}")
        return list(zip(chunks, np.asarray(vectors), strict=True))

    def _candidates(self, data: Any) -> list[list[Candidate]]:
        found = self._read(list[list[tuple[str, float, float | None]]], data)
        return [[Candidate(*each) for each in one] for one in found]


class _OpenStores:
    """The open stores of a service; one that is deleted waits until nobody uses it."""

    def __init__(self, open_store: OpenStore) -> None:
        self._open = open_store
        self._changed = threading.Condition()
        self._stores: OrderedDict[str, tuple[tuple[int, str], VectorStore]] = OrderedDict()
        self._users: dict[str, int] = {}
        """Calls that use the store of a collection; -1 while one has it alone."""

    @contextmanager
    def use(self, given: Arguments, *, alone: bool = False) -> Iterator[VectorStore]:
        """Give the store that a request names; with ``alone`` it is forgotten afterwards."""
        name = given.get("collection", str)
        maker = (given.get("dimension", int), given.get("fingerprint", str))
        store = self._take(name, maker, alone)
        try:
            yield store
        except BaseException:
            if alone:
                # What is left of it is not known; the next call opens it again.
                store.close()
            raise
        finally:
            with self._changed:
                if alone:
                    self._stores.pop(name, None)
                self._leave(name)

    def _take(self, name: str, maker: tuple[int, str], alone: bool) -> VectorStore:
        with self._changed:
            while True:
                users = self._users.get(name, 0)
                known = self._stores.get(name)
                fits = known is not None and known[0] == maker
                if users == 0 or (users > 0 and fits and not alone):
                    break
                if not self._changed.wait(limited(TIMEOUT_SECONDS)):
                    limited(0)
            if known is not None and fits:
                self._users[name] = -1 if alone else users + 1
                self._stores.move_to_end(name)
                return known[1]
            # Opening takes a while: others may use other stores meanwhile.
            old = self._stores.pop(name, None)
            unused = [each for each in self._stores if not self._users.get(each)]
            too_many = unused[: max(0, len(self._stores) + 1 - _MOST_OPEN)]
            closing_now = ExitStack()
            for closed in (*([old] if old else ()), *map(self._stores.pop, too_many)):
                closing_now.callback(closed[1].close)
            # Nobody opens one of these a second time before it is closed.
            self._users.update(dict.fromkeys((name, *too_many), -1))
        try:
            try:
                closing_now.close()
            finally:
                with self._changed:
                    for each in too_many:
                        self._leave(each)
            store = self._open(name, *maker)
        except BaseException:
            with self._changed:
                self._leave(name)
            raise
        with self._changed:
            self._stores[name] = (maker, store)
            self._users[name] = -1 if alone else 1
            self._changed.notify_all()
        return store

    def _leave(self, name: str) -> None:
        left = self._users[name] - 1
        if left > 0:
            self._users[name] = left
        else:
            del self._users[name]
        self._changed.notify_all()


def store_service(open_store: OpenStore, name: str = ROLE, slots: int = 4) -> Service:
    """Return the service of a store, which opens each collection that is asked for.

    Args:
        open_store: Opens a collection.
        name: Name of the service.
        slots: Calls that run at once.
    """
    stores = _OpenStores(open_store)

    def describe(given: Arguments) -> Any:
        with stores.use(given) as store:
            return {"role": ROLE, "capabilities": capabilities_of(store, _KNOWN)}

    def using(act: Callable[[VectorStore, Arguments], Any]) -> Operation:
        def operation(given: Arguments) -> Any:
            with stores.use(given) as store:
                return act(store, given)

        return operation

    def scroll(given: Arguments) -> Iterator[Any]:
        with stores.use(given) as store:
            for batch in store.scroll(given.get("filters", _FILTER), given.get("batch_size", int)):
                yield _pairs(store, batch)

    def drop(given: Arguments) -> None:
        with stores.use(given, alone=True) as store:
            store.drop()

    operations = {name: using(act) for name, act in _OPERATIONS.items()}
    return Service(
        name,
        {**operations, "describe": describe, "scroll": scroll, "drop": drop},
        slots,
        is_guarded=True,
    )


_FILTER: Any = Filter | None
_METADATA: Any = Metadata


def _pairs(store: VectorStore, pairs: Sequence[tuple[Chunk, Matrix]]) -> Any:
    vectors = np.array([vector for _, vector in pairs], dtype=np.float32)
    chunks = to_json([chunk for chunk, _ in pairs])
    return {"chunks": chunks, "vectors": vectors.reshape(len(pairs), store.dimension)}


def _lists(found: Sequence[Sequence[Candidate]]) -> Any:
    return [[list(map(_plain, each)) for each in one] for one in found]


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, np.floating) else value


def _optimize(store: VectorStore, given: Arguments) -> None:
    assert isinstance(store, Optimizable)
    store.optimize(wait=given.get("wait", bool), stop=current_stop())


def _search_hybrid(store: VectorStore, given: Arguments) -> Any:
    assert isinstance(store, LexicalSearch)
    found = store.search_hybrid(
        given.array("vectors"),
        given.get("queries", list[str]),
        given.get("languages", list[str]),
        given.get("top_k", int),
        given.get("filters", _FILTER),
    )
    return _lists(found)


_OPERATIONS: Mapping[str, Callable[[VectorStore, Arguments], Any]] = {
    "upsert": lambda store, given: store.upsert(
        given.get("chunks", list[Chunk]), given.array("vectors")
    ),
    "delete": lambda store, given: store.delete(given.get("ids", list[str])),
    "count": lambda store, given: store.count(given.get("filters", _FILTER)),
    "fetch": lambda store, given: _pairs(store, store.fetch(given.get("ids", list[str]))),
    "fetch_chunks": lambda store, given: to_json(store.fetch_chunks(given.get("ids", list[str]))),
    "search": lambda store, given: _lists(
        store.search(given.array("vectors"), given.get("top_k", int), given.get("filters", _FILTER))
    ),
    "set_metadata": lambda store, given: store.set_metadata(
        given.get("ids", list[str]), given.get("metadata", _METADATA)
    ),
    "flush": lambda store, _: store.flush(),
    "search_hybrid": _search_hybrid,
    "optimize": _optimize,
}
