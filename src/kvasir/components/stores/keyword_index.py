"""A keyword index in memory, for databases that have none, and a cache of it.

Ranking reads the whole index with numpy: about a millisecond at 20,000 chunks.

A collection may have several writing processes, so every write changes a stamp in the collection
at its beginning and end. The cached index is current while the collection's stamp is the one from
loading, or one that this object wrote later. Searches do not wait for writes; they wait for each
other only while the index is loaded.
"""

from __future__ import annotations

import logging
import struct
import threading
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from kvasir.core.replaced_files import replace_file
from kvasir.core.scoring import inverse_document_frequency
from kvasir.core.types import SparseVector

logger = logging.getLogger(__name__)

S = TypeVar("S", bound=np.generic)

_STAMPS = 64
"""Number of remembered stamps: a slow search may have read an older one."""
_DAMAGE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, NotImplementedError,
    BadZipFile, zlib.error, struct.error,
)  # fmt: skip
"""What zipfile and numpy raise for a file that was cut or changed."""

Change = tuple[Sequence[str], Iterable[SparseVector] | None]


@dataclass(frozen=True, slots=True)
class _Columns:
    """All term weights, grouped by term."""

    ids: list[str]
    terms: NDArray[np.uint32]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    weights: NDArray[np.float32]


class Postings:
    """The term weights of a collection's chunks; threads may rank while others change them."""

    def __init__(self, vectors: dict[str, SparseVector] | None = None) -> None:
        self._vectors = vectors or {}
        self._columns: _Columns | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self._vectors)

    def change(self, ids: Sequence[str], vectors: Iterable[SparseVector] | None) -> None:
        """Set the weights of chunks, or with None forget the chunks; unknown ids are no error."""
        with self._lock:
            if vectors is None:
                for chunk_id in ids:
                    self._vectors.pop(chunk_id, None)
            else:
                self._vectors.update(zip(ids, vectors, strict=True))
            self._columns = None

    def rank(self, query: SparseVector) -> list[tuple[str, float]]:
        """Return chunk ids and BM25 scores above 0, best first."""
        with self._lock:
            columns = self._columns or self._group()
        scores = np.zeros(len(columns.ids), dtype=np.float64)
        for term, weight in zip(query.indices, query.values, strict=True):
            position = int(np.searchsorted(columns.terms, term))
            if position == len(columns.terms) or columns.terms[position] != term:
                continue
            chosen = slice(columns.starts[position], columns.starts[position + 1])
            idf = inverse_document_frequency(len(scores), int(chosen.stop - chosen.start))
            scores[columns.rows[chosen]] += weight * idf * columns.weights[chosen]
        found = np.flatnonzero(scores > 0)
        found = found[np.argsort(-scores[found], kind="stable")]
        return [(columns.ids[row], float(scores[row])) for row in found]

    def save(self, path: Path, stamp: str) -> None:
        """Write the index to a file, for ``load`` with the same stamp."""
        with self._lock:
            lengths = [len(vector.indices) for vector in self._vectors.values()]
            columns: dict[str, Any] = {
                "stamp": np.array(stamp),
                "ids": np.array(list(self._vectors), dtype=np.str_),
                "ends": np.cumsum(lengths, dtype=np.int64),
                "terms": _joined([v.indices for v in self._vectors.values()], np.uint32),
                "weights": _joined([v.values for v in self._vectors.values()], np.float32),
            }
        replace_file(path, lambda stream: np.savez(stream, **columns))

    @classmethod
    def load(cls, path: Path, stamp: str) -> Postings | None:
        """Read an index that ``save`` wrote; None if there is no file with that stamp.

        A damaged file is deleted, because the index can be read from the database.
        """
        if not path.is_file():
            return None
        try:
            return cls._read(path, stamp)
        except _DAMAGE as error:
            logger.warning("%s is damaged and is made again (%s)", path, error)
            with suppress(OSError):
                path.unlink()
            return None

    @classmethod
    def _read(cls, path: Path, stamp: str) -> Postings | None:
        # numpy leaves a damaged file open that it opens itself.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if str(file["stamp"]) != stamp:
                return None
            ids, ends = file["ids"].tolist(), file["ends"].tolist()
            terms, weights = file["terms"], file["weights"]
            vectors = [
                SparseVector(terms[start:end], weights[start:end])
                for start, end in pairwise([0, *ends])
            ]
            return cls(dict(zip(ids, vectors, strict=True)))

    def _group(self) -> _Columns:
        vectors = list(self._vectors.values())
        counts = [len(vector.indices) for vector in vectors]
        every = _joined([vector.indices for vector in vectors], np.uint32)
        order = np.argsort(every, kind="stable")
        terms, starts = np.unique(every[order], return_index=True)
        rows = np.repeat(np.arange(len(vectors), dtype=np.int32), counts)
        self._columns = _Columns(
            ids=list(self._vectors),
            terms=terms,
            starts=np.append(starts, len(every)).astype(np.int64),
            rows=rows[order],
            weights=_joined([vector.values for vector in vectors], np.float32)[order],
        )
        return self._columns


class IndexCache:
    """The keyword index of one collection; every method may be called from several threads."""

    def __init__(
        self,
        read_stamp: Callable[[], str],
        put_stamp: Callable[[str], None],
        load: Callable[[str], Postings],
        count: Callable[[], int] | None = None,
    ) -> None:
        """Prepare the cache; the first search loads the index of the collection's stamp.

        ``count`` returns the number of chunks, if that is cheap. It detects a writer that finished
        between reading and changing the stamp.
        """
        self._read_stamp = read_stamp
        self._put_stamp = put_stamp
        self._load = load
        self._count = count
        self._writing = threading.RLock()
        self._loading = threading.Lock()
        self._guard = threading.RLock()  # held for moments, never over a call of the database
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

        Call the function that it yields after each step of the write, with the ids of the chunks
        and their new terms, or None for deleted chunks.
        """
        with self._writing:
            before, started = self._read_stamp(), uuid.uuid4().hex
            with self._guard:
                if before not in self._stamps:
                    self.forget()
                self._stamps.append(started)
            try:
                self._put_stamp(started)
                yield self._change
                self._finish(started)
            except BaseException:
                self.forget()
                raise

    def snapshot(self) -> tuple[Postings, str] | None:
        """Return the index and its stamp after the current write; None if it is not loaded."""
        with self._writing, self._guard:
            return None if self._index is None else (self._index, self._stamps[-1])

    def forget(self) -> None:
        """Drop the index; the next search loads it."""
        with self._guard:
            self._index = self._pending_changes = None
            self._stamps.clear()

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
                self.forget()
            self._stamps.append(final)
        self._put_stamp(final)

    def _known(self, stamp: str) -> Postings | None:
        with self._guard:
            return self._index if stamp in self._stamps else None

    def _loaded(self, stamp: str) -> Postings:
        pending: list[Change] = []
        with self._guard:
            if stamp not in self._stamps:
                self.forget()
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


def pack(vector: SparseVector) -> bytes:
    """Return term weights as bytes."""
    head = vector.indices.astype("<u4").tobytes()
    return head + vector.values.astype("<f4").tobytes()


def unpack(data: bytes) -> SparseVector:
    """Return the term weights that ``pack`` converted."""
    half = len(data) // 2
    indices = np.frombuffer(data[:half], dtype="<u4").astype(np.uint32)
    return SparseVector(indices, np.frombuffer(data[half:], dtype="<f4").astype(np.float32))


def _joined(parts: Sequence[NDArray[S]], kind: type[S]) -> NDArray[S]:
    return np.concatenate(parts).astype(kind) if parts else np.zeros(0, dtype=kind)
