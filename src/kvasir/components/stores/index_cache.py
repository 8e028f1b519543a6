"""A keyword index in memory, kept in step with a collection that other processes write too.

Every write changes a stamp in the collection, before and after. An index is current while the
stamp in the collection is the one it was read at, or one that this object has put since.
Searches never wait for a write: they read the index that the write is changing. They wait for
each other only while the index is read from the database.
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
"""Stamps remembered: a slow search may still hold one of some writes before."""

Change = tuple[Sequence[str], Iterable[SparseVector] | None]


class StampInMemory:
    """The stamp of a collection that only this process can write."""

    def __init__(self) -> None:
        self._stamp = ""

    def read(self) -> str:
        """Return the stamp of the last write."""
        return self._stamp

    def put(self, stamp: str) -> None:
        """Set the stamp."""
        self._stamp = stamp


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
        """Prepare an index that is read when it is first needed.

        Args:
            read_stamp: Return the collection's stamp.
            put_stamp: Change the collection's stamp.
            load: Read the whole index, for the stamp that the collection has.
            count: Return how many chunks the collection has, where that is cheap: it shows a
                writer that was done between reading the stamp and changing it.
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
        self._missed: list[Change] | None = None

    def start_empty(self) -> None:
        """Take the collection for empty: its index need never be read then."""
        stamp = self._read_stamp()
        with self._guard:
            self._index = Postings()
            self._stamps.append(stamp)

    def current(self) -> Postings:
        """Return the index, read from the database where it is not current."""
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
            Call it after each step of the write, with the ids of the chunks and their new
            terms, or None where they were deleted.
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
        """Return the index and its stamp after the write in progress; None if not in memory."""
        with self._writing, self._guard:
            return None if self._index is None else (self._index, self._stamps[-1])

    def forget(self) -> None:
        """Drop the index; it is read again when it is needed."""
        with self._guard:
            self._drop()

    def _finish(self, started: str) -> None:
        """Announce that a write is done, and keep the index if no other process wrote.

        The database cannot compare and set in one step: a stamp that comes in between is
        overwritten here, but its writer sees that at its own end, and puts one more.
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
        missed: list[Change] = []
        with self._guard:
            if stamp not in self._stamps:
                self._drop()
                self._stamps.append(stamp)
            self._missed = missed
        try:
            index = self._load(stamp)
            with self._guard:
                for change in missed:
                    index.change(*change)
                if self._missed is missed:  # else another process wrote meanwhile
                    self._index = index
            return index
        finally:
            with self._guard:
                if self._missed is missed:
                    self._missed = None

    def _change(self, ids: Sequence[str], terms: Iterable[SparseVector] | None) -> None:
        with self._guard:
            if self._index is not None:
                self._index.change(ids, terms)
            if self._missed is not None:
                self._missed.append((ids, terms))

    def _drop(self) -> None:
        self._index = None
        self._missed = None
        self._stamps.clear()
