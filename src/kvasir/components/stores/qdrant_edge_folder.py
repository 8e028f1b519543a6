"""A collection's folder: its lock, its record and its current data.

::

    <uri>/<collection>/
        collection.json     layout, dimension, fingerprint, and the name of the current data folder
        data-000002/        the engine's files
        lock, owner.json    held by the one process that has the collection open

``collection.json`` is replaced atomically, so it always names one complete data folder. Other data
folders are leftovers of an interrupted change, and are removed on opening.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from kvasir.components.stores.database_store import check_maker
from kvasir.components.stores.folder_lock import FolderLock, replace_json
from kvasir.components.stores.qdrant_edge_files import Fingerprints
from kvasir.components.stores.qdrant_points import LAYOUT_VERSION
from kvasir.components.stores.store_uris import local_path, make_folder
from kvasir.core.errors import (
    CollectionNotFoundError,
    DamagedError,
    IncompatibleVersionError,
    RequestError,
    StorageError,
)

INSTEAD = "set rag.vectordb.type to 'qdrant-server'"
"""The remedy for users who want a server."""

_RECORD = "collection.json"
_FILES = "files"
"""Name of the fingerprints among the notes; a Kvasir that does not know it drops it."""
_DATA = "data-"
_DATA_NAME = re.compile(_DATA + r"\d{6,}")


class CollectionFolder:
    """One collection on disk, locked by this object until ``close``."""

    def __init__(
        self, uri: str, collection: str, dimension: int, fingerprint: str, lock_timeout: float
    ) -> None:
        """Lock the collection, and check its record; a new one is written by ``make_current``.

        ``uri`` is the folder of all collections, created if needed; see ``QdrantStore``.

        Raises:
            SettingsError: ``uri`` is an address, or no folder can be there.
            StoreLockedError: Another process has the collection open.
            WrongEmbedderError: The collection was made for another embedder.
            IncompatibleVersionError: It was made for another layout.
            DamagedError: Its record is damaged.
            StorageError: It cannot be written to.
        """
        self.path = folder_of(uri, collection)
        self.name = collection
        make_folder(self.path)
        what = f"collection '{collection}' in {uri}"
        self._lock = FolderLock(self.path, what, unwritable, timeout=lock_timeout)
        try:
            self._record = self._check(dimension, fingerprint)
            for leftover in set(self.path.glob(_DATA + "*")) - {self.data}:
                shutil.rmtree(leftover, ignore_errors=True)
        except BaseException:
            self._lock.close()
            raise

    @property
    def data(self) -> Path | None:
        """The current data folder, or None in a new collection."""
        name = self._record.get("data")
        return self.path / str(name) if name else None

    def new_data(self) -> Path:
        """Return the path for the next data folder."""
        current = str(self._record.get("data") or _DATA + "000000")
        return self.path / f"{_DATA}{int(current.removeprefix(_DATA)) + 1:06d}"

    def make_current(
        self, data: Path, notes: Mapping[str, int], files: Fingerprints | None = None
    ) -> None:
        """Make a complete, flushed data folder the current one atomically.

        The notes are kept with it, and the fingerprints of its ``files`` if it is closed.
        """
        kept = {**notes, **({_FILES: files} if files else {})}
        self._write({"data": data.name, "notes": kept})

    def forget_fingerprints(self) -> None:
        """Record that the data will be written to."""
        if self.fingerprints is not None:
            self._write({"notes": self.notes})

    @property
    def fingerprints(self) -> Fingerprints | None:
        """Those of the closed data; None if a process has written to it and did not close it."""
        files = self._record.get("notes", {}).get(_FILES)
        return files if isinstance(files, dict) else None

    @property
    def notes(self) -> dict[str, int]:
        """The numbers kept with the current data folder."""
        notes = self._record.get("notes", {})
        return {name: number for name, number in notes.items() if isinstance(number, int)}

    def _write(self, changes: dict[str, Any]) -> None:
        record = {**self._record, **changes}
        replace_json(self.path / _RECORD, record)
        self._record = record

    def close(self) -> None:
        """Release the collection; a second call does nothing."""
        self._lock.close()

    def _check(self, dimension: int, fingerprint: str) -> dict[str, Any]:
        path = self.path / _RECORD
        if not path.exists():
            return {"layout": LAYOUT_VERSION, "dimension": dimension, "fingerprint": fingerprint}
        record = _read_record(path)
        if record["layout"] != LAYOUT_VERSION:
            raise IncompatibleVersionError(
                f"collection '{self.name}' has layout {record['layout']} and this version of "
                f"Kvasir reads layout {LAYOUT_VERSION}",
                str(self.path),
            )
        stored_fingerprint = record["fingerprint"]
        check_maker(self.name, stored_fingerprint, record["dimension"], fingerprint, dimension)
        return {**record, "fingerprint": stored_fingerprint or fingerprint}


def folder_of(uri: str, collection: str) -> Path:
    """Return a collection's folder; the name is escaped so that it cannot lead elsewhere.

    Raises:
        RequestError: The name is empty or too long.
        SettingsError: ``uri`` is an address.
    """
    name = quote(collection, safe=" ")
    name = "%2E" + name[1:] if name.startswith(".") else name
    if not collection.strip() or len(name) > 200:
        raise RequestError(
            f"'{collection[:60]}' cannot name a collection; use 1 to 60 letters, digits or dashes"
        )
    return _root(uri) / name


def list_collections(uri: str) -> list[str]:
    """Return the names of the collections in a folder, sorted."""
    return sorted(unquote(path.parent.name) for path in _root(uri).glob("*/" + _RECORD))


def drop_collection(uri: str, collection: str) -> None:
    """Delete a collection with everything in it.

    Raises:
        CollectionNotFoundError: There is none of that name.
        StoreLockedError: A process has it open.
    """
    path = folder_of(uri, collection)
    if not (path / _RECORD).exists():
        raise CollectionNotFoundError(collection, list_collections(uri))
    with closing(FolderLock(path, f"collection '{collection}' in {uri}", unwritable)):
        # Without its record the rest is an unfinished collection, whatever happens next.
        (path / _RECORD).unlink()
        for data in path.glob(_DATA + "*"):
            shutil.rmtree(data, ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)


def _root(uri: str) -> Path:
    return local_path(uri, store="qdrant", instead=INSTEAD)


def _read_record(path: Path) -> dict[str, Any]:
    """Return the contents of ``collection.json``, or raise ``DamagedError``."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise damaged("opening", f"{path} cannot be read ({error})", path.parent) from error
    whole = (
        isinstance(record, dict)
        and isinstance(record.get("layout"), int)
        and isinstance(record.get("dimension"), int)
        and isinstance(record.get("fingerprint"), str)
        and _DATA_NAME.fullmatch(str(record.get("data", _DATA + "000000")))
        and isinstance(record.get("notes", {}), dict)
        and _are_fingerprints(record.get("notes", {}).get(_FILES, {}))
    )
    if not whole:
        raise damaged("opening", f"{path} is damaged", path.parent)
    return dict(record)


def _are_fingerprints(files: Any) -> bool:
    return isinstance(files, dict) and all(
        isinstance(each, list) and [type(number) for number in each] == [int, int]
        for each in files.values()
    )


def damaged(operation: str, what: str, folder: Path) -> DamagedError:
    """Return the error for a damaged folder."""
    return DamagedError("qdrant", operation, what, str(folder))


def unwritable(path: Path, why: str) -> StorageError:
    """Return the error for a read-only collection, which the engine cannot open."""
    return StorageError(
        f"'{path}' cannot be written to ({why}), and the search engine opens "
        "its files for writing even to search: give this user write permission, or copy the "
        "folder to a place that has it and name that in rag.vectordb.uri"
    )
