"""A cache of a collection's keyword index, for collections with several writing processes.

Every write changes a stamp in the collection at its beginning and end. The index is current while
the collection's stamp is the one from loading, or one that this object wrote later. Searches do
not wait for writes; they wait for each other only while the index is loaded.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from kvasir.components.stores.keyword_index import Postings
from kvasir.core.types import SparseVector

_STAMPS = 64
"""Number of remembered stamps: a slow search may have read an older one."""

Change = tuple[Sequence[str], Iterable[SparseVector] | None]


class IndexCache:
    """The keyword index of one collection; every method may be called from several threads."""

    def __init__(
        self,
        *,
        read_stamp: Callable[[], str],
        put_stamp: Callable[[str], None],
        load: Callable[[str], Postings],
        count: Callable[[], int] | None = None,
    ) -> None:
        """Prepare the cache; the first search loads the index.

        Args:
            read_stamp: Returns the collection's stamp.
            put_stamp: Changes the collection's stamp.
            load: Reads the whole index; gets the collection's stamp.
            count: Returns the number of chunks, if that is cheap. It detects a writer that
                finished between reading and changing the stamp.
        """
        self._read_stamp = read_stamp
        self._put_stamp = put_stamp
        self._load = load
        self._count = count
        self._writing = threading.RLock()
        self._loading = threading.Lock()
        self._guard = threading.Lock()  # held for moments, never over a call of the database
        self._index: Postings | None = None
        self._stamps: deque[str] = deque(maxlen=_STAMPS)
        self._pending_changes: list[Change] | None = None

    def start_empty(self) -> None:
        """Start with an empty index, for an empty collection."""
        stamp = self._read_stamp()
        with self._guard:
            self._index = Postings()
            self._stamps.append(stamp)

    def current(self) -> Postings:
        """Return the index, loaded again if it is not current."""
        index = self._known(self._read_stamp())
        if index is not None:
            return index
        with self._loading:
            stamp = self._read_stamp()
            index = self._known(stamp)
            return self._loaded(stamp) if index is None else index

    @contextmanager
    def writing(self) -> Iterator[Callable[[Sequence[str], Iterable[SparseVector] | None], None]]:
        """Announce a write to other processes; one thread writes at a time.

        Yields:
            A function to call after each step of the write, with the ids of the chunks and
            their new terms, or None for deleted chunks.
        """
        with self._writing:
            before, started = self._read_stamp(), uuid.uuid4().hex
            with self._guard:
                if before not in self._stamps:
                    self._drop()
                self._stamps.append(started)
            try:
                self._put_stamp(started)
                yield self._change
                self._finish(started)
            except BaseException:
                with self._guard:
                    self._drop()
                raise

    def snapshot(self) -> tuple[Postings, str] | None:
        """Return the index and its stamp after the current write; None if it is not loaded."""
        with self._writing, self._guard:
            return None if self._index is None else (self._index, self._stamps[-1])

    def forget(self) -> None:
        """Drop the index; the next search loads it."""
        with self._guard:
            self._drop()

    def _finish(self, started: str) -> None:
        """Announce the end of a write, and keep the index if no other process wrote.

        The database has no compare-and-set: this may overwrite another writer's stamp, which that
        writer then detects at its own end.
        """
        index, final = self._index, uuid.uuid4().hex
        alone = self._read_stamp() == started
        whole = index is None or self._count is None or len(index) == self._count()
        with self._guard:
            if not (alone and whole):
                self._drop()
            self._stamps.append(final)
        self._put_stamp(final)

    def _known(self, stamp: str) -> Postings | None:
        with self._guard:
            return self._index if stamp in self._stamps else None

    def _loaded(self, stamp: str) -> Postings:
        pending: list[Change] = []
        with self._guard:
            if stamp not in self._stamps:
                self._drop()
                self._stamps.append(stamp)
            self._pending_changes = pending
        try:
            index = self._load(stamp)
            with self._guard:
                for change in pending:
                    index.change(*change)
                if self._pending_changes is pending:  # else another process wrote meanwhile
                    self._index = index
            return index
        finally:
            with self._guard:
                if self._pending_changes is pending:
                    self._pending_changes = None

    def _change(self, ids: Sequence[str], terms: Iterable[SparseVector] | None) -> None:
        with self._guard:
            if self._index is not None:
                self._index.change(ids, terms)
            if self._pending_changes is not None:
                self._pending_changes.append((ids, terms))

    def _drop(self) -> None:
        self._index = None
        self._pending_changes = None
        self._stamps.clear()
