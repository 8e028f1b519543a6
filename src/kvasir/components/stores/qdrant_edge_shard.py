"""An embedded Qdrant shard whose search graph is rebuilt during use.

Reads and writes use the shard that ``collection.json`` names. A rebuild flushes the shard and
copies its folder (writers wait, readers do not). A child process builds the graph in the copy, then
the points changed since are copied by their ids, and the copy replaces the shard. If the process
dies, ``collection.json`` still names a complete folder.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import qdrant_edge as edge

from kvasir.components.stores.qdrant_edge_files import (
    ROOM_TO_MAKE,
    are_final,
    copy_folder,
    fingerprints,
    require_room,
    require_room_to_write,
    sync_log,
)
from kvasir.components.stores.qdrant_edge_folder import CollectionFolder, damaged, unwritable
from kvasir.components.stores.qdrant_edge_graph import (
    BACKGROUND,
    GraphBuild,
    GraphBuildError,
    edge_config,
)
from kvasir.components.stores.qdrant_edge_opening import OpenShard, load, open_data
from kvasir.components.stores.qdrant_points import KEYWORD_FIELDS, PointId
from kvasir.core.batches import batches
from kvasir.core.errors import ComponentError, KvasirError, StoreLockedError
from kvasir.core.run import StopToken

_log = logging.getLogger(__name__)

_CARRY_BATCH = 256
_POLL_SECONDS = 0.02
"""Interval at which a waiting caller checks whether the graph is in use."""
_FLUSH_EVERY = 10_000
"""Points between two flushes of the engine while one call writes."""
_REPLAYED = 2_000
"""Points whose changes may be in the engine's log alone: it replays them after a crash."""

_MOST_OUTDATED = 0.02
"""Share of outdated points with which the graph is built again.

The part of the index that has the graph counts the terms of changed and deleted points for the IDF
until then: docs/decisions/0039.
"""
_FORBIDDEN = ("Permission denied", "Read-only file system")
"""Parts of the engine's messages for files that it cannot write."""


class QdrantShard:
    """The engine's files of one collection, opened.

    Attributes:
        indexed: Payload fields that have an index.
        has_graph: Some points are in a search graph.
    """

    def __init__(self, folder: CollectionFolder, dimension: int, threads: int, due: int) -> None:
        """Open the current data of a locked folder, or create it.

        ``threads`` build the graph, which is due when ``due`` points are not in it.

        Raises:
            ComponentError: The files cannot be opened.
            DamagedError: They are missing or damaged.
            StorageError: They cannot be written to.
            StoreLockedError: A child of the former owner has them open.
        """
        self._folder = folder
        self._dimension = dimension
        self._threads = threads
        self._due = due
        self._writing = threading.RLock()
        self._reading = threading.Condition()
        self._unflushed = 0
        self._touched: set[str] | None = None
        self._starting = threading.Lock()
        self._builder: threading.Thread | None = None
        self._build: GraphBuild | None = None
        self._failure: Exception | None = None
        self._closing = False
        self._current: OpenShard | None = self._open()
        self._is_written = folder.fingerprints is None
        self.indexed: set[str] = set(self._current.shard.info().payload_schema)
        notes = folder.notes
        self._without_graph = max(
            notes.get("without_graph", 0),
            self._current.shard.info().points_count - notes.get("in_graph", 0),
        )
        self.has_graph = notes.get("in_graph", 0) > 0
        self._outdated = notes.get("outdated", 0)

    def _open(self) -> OpenShard:
        data = self._folder.data
        with self._calling("opening"):
            try:
                return self._create() if data is None else open_data(self._folder, data)
            except KvasirError:
                raise
            except Exception as error:
                raise self._unopened(data, error) from error

    @contextmanager
    def _calling(self, operation: str) -> Iterator[None]:
        """Convert the engine's errors into ``ComponentError``."""
        try:
            yield
        except KvasirError:
            raise
        except Exception as error:
            raise ComponentError("qdrant", operation, error) from error
        except BaseException as error:
            # A panic of the engine is not an ``Exception``, and its class cannot be imported.
            if type(error).__name__ != "PanicException":
                raise
            what = f"{error}; its files are damaged"
            raise damaged(operation, what, self._folder.path) from error

    def _create(self) -> OpenShard:
        require_room(self._folder.path, ROOM_TO_MAKE)
        data = self._folder.new_data()
        data.mkdir(0o700)
        shard = edge.EdgeShard.create(str(data), edge_config(self._dimension, self._threads))
        for field in KEYWORD_FIELDS:
            _index(shard, field, edge.PayloadSchemaType.Keyword)
        shard.flush()
        self._folder.make_current(data, {})
        return OpenShard(shard, data)

    def _unopened(self, data: Path | None, error: Exception) -> KvasirError:
        """Return the error for data (None: new data) that cannot be opened."""
        path = self._folder.path
        for why in _FORBIDDEN:
            if why in str(error):
                return unwritable(path, why)
        if "WouldBlock" in str(error):
            return StoreLockedError(
                f"{path} is still open in a child of the process that had it before; end that "
                "process"
            )
        if data is None:
            return ComponentError("qdrant", f"making a collection in {path}", error)
        if not data.is_dir():
            return damaged("opening", f"'{data}' is missing", path)
        return damaged(f"opening {data}", f"{error}; its files are probably damaged", path)

    @contextmanager
    def reading(self) -> Iterator[edge.EdgeShard]:
        """Keep the shard open for reading in the block; errors are ``ComponentError``."""
        with self._reading:
            current = self._opened()
            current.readers += 1
        try:
            with self._calling("reading"):
                yield current.shard
        finally:
            with self._reading:
                current.readers -= 1
                self._reading.notify_all()

    def write(
        self,
        ids: Sequence[PointId],
        operation: edge.UpdateOperation,
        *,
        size: int = 0,
        vectors: bool = False,
        replaced: int = 0,
    ) -> None:
        """Apply an operation to points; after that it survives the end of the process.

        Args:
            ids: The points.
            operation: What to do with them.
            size: Bytes of their vectors and texts.
            vectors: They get vectors, which are not in the graph at first.
            replaced: How many of them existed and are changed or deleted.

        Raises:
            StorageError: The disk is full; nothing was done.
        """
        with self.exclusive() as shard:
            require_room_to_write(self._folder.path, size)
            self._begin_writing()
            if self._touched is not None:
                self._touched.update(str(point_id) for point_id in ids)
            shard.update(operation)
            self._unflushed += len(ids)
            self._without_graph += len(ids) if vectors else 0
            self._outdated += replaced if self.has_graph else 0
            if self._unflushed >= _FLUSH_EVERY:
                shard.flush()
                self._unflushed = 0

    def _begin_writing(self) -> None:
        """Record before the first write that the files will change."""
        if not self._is_written:
            self._folder.forget_fingerprints()
            self._is_written = True

    def flush(self) -> None:
        """Write everything to the disk: at least the engine's log, from which it is replayed.

        The engine's own flush holds the interpreter's lock for 0.1 to 0.3 s, so that no thread of
        the process does anything meanwhile: docs/decisions/0048.
        """
        with self.exclusive() as shard:
            if self._unflushed < _REPLAYED:
                sync_log(self._opened().data)
                return
            shard.flush()
            self._unflushed = 0

    @contextmanager
    def exclusive(self) -> Iterator[edge.EdgeShard]:
        """Keep other writers out, for a write that depends on a read."""
        with self._writing, self._calling("writing"):
            yield self._opened().shard

    def ensure_number_index(self, field: str) -> None:
        """Create an index for ranges over a payload field, if there is none."""
        with self.exclusive() as shard:
            if field not in self.indexed:
                require_room_to_write(self._folder.path, 0)
                self._begin_writing()
                _index(shard, field, edge.PayloadSchemaType.Float)
                self.indexed.add(field)

    def points(self) -> int:
        """Return the approximate number of points; an exact count takes 7 ms for 100,000."""
        with self.reading() as shard:
            return int(shard.info().points_count)

    def close(self) -> None:
        """Stop building, wait for readers, and close the files; a second call does nothing."""
        with self._starting:
            self._closing = True
            if self._build is not None:
                self._build.stop()
            builder, self._builder = self._builder, None
        if builder is not None:
            builder.join()
        with self._writing:
            current = self._current
            if current is None:
                return
            with self._reading:
                self._current = None
            notes = self._notes(current.shard)
            try:
                if self._unflushed:
                    # What is replayed at the next opening would change the files again.
                    with self._calling("flushing"):
                        current.shard.flush()
            finally:
                self._close_unread(current)
            recorded = self._folder.fingerprints
            if recorded is None or not are_final(recorded):
                files = fingerprints(current.data, is_replayed=not self._is_written)
                self._folder.make_current(current.data, notes, files)

    def _opened(self) -> OpenShard:
        if self._current is None:
            raise ComponentError("qdrant", "access", "the store is closed")
        return self._current

    def _close_unread(self, opened: OpenShard) -> None:
        with self._reading:
            self._reading.wait_for(lambda: opened.readers == 0)
        opened.shard.close()

    def _notes(self, shard: edge.EdgeShard) -> dict[str, int]:
        points = int(shard.info().points_count)
        without = min(points, self._without_graph)
        kept = {"without_graph": without, "in_graph": points - without}
        return kept | {"outdated": self._outdated}

    def _is_due(self) -> bool:
        points = self.points()
        is_large = self._without_graph >= max(self._due, points // 10)
        return is_large or self._outdated > points * _MOST_OUTDATED

    def renew_graph(self, *, wait: bool, stop: StopToken) -> None:
        """Start building the graph if it is due; see ``QdrantStore.optimize``."""
        stop.raise_if_set()
        with self._starting:
            running = self._builder
            if running is None or not running.is_alive():
                running = None
                if self._is_due():
                    # A caller that waits leaves the processors free.
                    niceness = 0 if wait else BACKGROUND
                    running = threading.Thread(
                        target=self._renew_while_due, args=[niceness, stop], daemon=True
                    )
                    self._failure = None
                    self._builder = running
                    running.start()
        if wait and running is not None:
            while running.is_alive() and not stop.wait(_POLL_SECONDS):
                continue
            stop.raise_if_set()
            if self._failure is not None:
                raise ComponentError("qdrant", "building the graph", self._failure)

    def _renew_while_due(self, niceness: int, stop: StopToken) -> None:
        """Build until few points are outside the graph, however many come meanwhile."""
        while True:
            self._renew(niceness, stop)
            with self._starting:
                # With the lock: points that come later find no builder, and start another.
                if self._closing or self._failure is not None or not self._is_due():
                    self._builder = None
                    return

    def _renew(self, niceness: int, stop: StopToken) -> None:
        """Build a copy with a graph and switch to it; runs in a thread."""
        data = self._folder.new_data()

        def check() -> None:
            if self._closing or stop.is_set():
                raise GraphBuildError("it was stopped, or the store was closed")

        try:
            with self.exclusive() as shard:
                shard.flush()
                self._touched, self._unflushed = set(), 0
                before = self._without_graph, self._outdated
                shutil.rmtree(data, ignore_errors=True)
                copy_folder(self._opened().data, data, check)
            with self._starting:
                check()
                self._build = GraphBuild(data, self._dimension, self._threads, niceness)
            with self._build as build, stop.calling(build.stop):
                build.wait()
            self._switch(load(data), before)
        except Exception as error:  # noqa: BLE001  waiting callers raise it; the old graph stays
            self._failure = error
            if not self._closing and not stop.is_set():
                _log.warning("the search graph could not be renewed: %s", error)
            if data != self._folder.data:
                shutil.rmtree(data, ignore_errors=True)
        finally:
            self._build = None
            with self._writing:
                self._touched = None

    def _switch(self, new: OpenShard, before: tuple[int, int]) -> None:
        while True:
            with self._writing:
                ids, self._touched = self._touched or set(), set()
            self._carry(ids, new.shard)
            if len(ids) <= _CARRY_BATCH:
                break
        with self._writing:
            self._carry(self._touched, new.shard)
            for field in self.indexed - set(new.shard.info().payload_schema):
                _index(new.shard, field, edge.PayloadSchemaType.Float)
            new.shard.flush()
            self._without_graph -= before[0]
            self._outdated -= before[1]
            self.has_graph = True
            old = self._opened()
            self._folder.make_current(new.data, self._notes(new.shard))
            self._is_written = True
            with self._reading:
                self._current = new
        self._close_unread(old)
        shutil.rmtree(old.data, ignore_errors=True)

    def _carry(self, ids: Collection[str], target: edge.EdgeShard) -> None:
        """Copy the current state of points from the shard in use."""
        todo: list[PointId] = list(ids)
        for batch in batches(todo, _CARRY_BATCH):
            with self.reading() as source:
                found = source.retrieve(batch, True, True)
            points = [edge.Point(each.id, each.vector or {}, each.payload) for each in found]
            if points:
                target.update(edge.UpdateOperation.upsert_points(points))
            if gone := {*batch} - {str(record.id) for record in found}:
                target.update(edge.UpdateOperation.delete_points(list(gone)))


def _index(shard: edge.EdgeShard, field: str, kind: edge.PayloadSchemaType) -> None:
    shard.update(edge.UpdateOperation.create_field_index(field, kind))
