"""A collection's folder: who owns it, what it was made for, and which data in it is current.

::

    <uri>/<collection>/
        collection.json     layout, dimension, fingerprint, and the name of the current data folder
        data-000002/        the engine's files
        lock, owner.json    held by the one process that has the collection open

``collection.json`` is replaced in one step, so at any moment it names one complete data folder;
other data folders are leftovers of an interrupted change and are removed on opening.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from urllib.parse import quote, unquote

from filelock import FileLock, Timeout

from kvasir.components.stores.folder_lock import replace_json, who_holds, write_owner
from kvasir.components.stores.store_uris import local_path, make_folder
from kvasir.core.errors import (
    CollectionNotFoundError,
    DamagedError,
    IncompatibleVersionError,
    RequestError,
    StorageError,
    StoreLockedError,
    WrongEmbedderError,
)

INSTEAD = "set rag.vectordb.type to 'qdrant-server'"
"""What to do where a server is meant."""

_RECORD = "collection.json"
_DATA = "data-"
_DATA_NAME = re.compile(_DATA + r"\d{6,}")


class CollectionFolder:
    """One collection on disk, owned by this object from making it until ``close``."""

    def __init__(
        self,
        uri: str,
        collection: str,
        *,
        layout: int,
        dimension: int,
        fingerprint: str,
        lock_timeout: float = 0.5,
    ) -> None:
        """Take the collection's lock, and check or writes its record.

        Args:
            uri: Folder that holds all collections; made when absent.
            collection: The collection's name, any text.
            layout: Version of the data layout that the caller reads and writes.
            dimension: Length of its vectors.
            fingerprint: Of the embedder; "" accepts what is there.
            lock_timeout: Seconds to wait for another process to let go.

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
        self._owner = self.path / "owner.json"
        make_folder(self.path)
        self._lock = FileLock(self.path / "lock", timeout=lock_timeout, thread_local=False)
        try:
            self._lock.acquire()
            write_owner(self._owner)
        except Timeout:
            raise StoreLockedError(
                who_holds(f"collection '{collection}' in {uri}", self._owner)
            ) from None
        except OSError as error:
            self._lock.release()
            raise unwritable(self.path, error.strerror or str(error)) from error
        try:
            self._record = self._check(layout, dimension, fingerprint)
            self._remove_leftovers()
        except BaseException:
            self.close()
            raise

    @property
    def data(self) -> Path | None:
        """The current data folder, or None in a new collection."""
        name = self._record.get("data")
        return self.path / str(name) if name else None

    def new_data(self) -> Path:
        """Return the path of a data folder yet to be made."""
        current = str(self._record.get("data") or _DATA + "000000")
        return self.path / f"{_DATA}{int(current.removeprefix(_DATA)) + 1:06d}"

    def make_current(self, data: Path, **notes: int) -> None:
        """Make a complete and flushed data folder the current one, in one step.

        Args:
            data: The folder.
            **notes: Numbers to keep with it.
        """
        record = {**self._record, "data": data.name, "notes": notes}
        replace_json(self.path / _RECORD, record)
        self._record = record

    @property
    def notes(self) -> dict[str, int]:
        """The numbers kept with the current data folder."""
        notes = self._record.get("notes")
        known = notes.items() if isinstance(notes, dict) else ()
        return {name: number for name, number in known if isinstance(number, int)}

    def close(self) -> None:
        """Give the collection up; a second call does nothing."""
        if self._lock.is_locked:
            self._owner.unlink(missing_ok=True)
            self._lock.release()

    def _check(self, layout: int, dimension: int, fingerprint: str) -> dict[str, object]:
        path = self.path / _RECORD
        if not path.exists():
            return {"layout": layout, "dimension": dimension, "fingerprint": fingerprint}
        record = _read_record(path)
        if record["layout"] != layout:
            raise IncompatibleVersionError(
                f"collection '{self.name}' has layout {record['layout']} and this version of "
                f"Kvasir reads layout {layout}",
                str(self.path),
            )
        advice = "use that embedder, choose another collection, or drop this one and ingest again"
        if record["dimension"] != dimension:
            raise WrongEmbedderError(
                f"collection '{self.name}' was made with vectors of {record['dimension']} numbers "
                f"and the embedder makes {dimension}; {advice}"
            )
        if fingerprint and record["fingerprint"] not in ("", fingerprint):
            raise WrongEmbedderError(
                f"collection '{self.name}' was made with embedder '{record['fingerprint']}', "
                f"not with '{fingerprint}'; {advice}"
            )
        return {**record, "fingerprint": record["fingerprint"] or fingerprint}

    def _remove_leftovers(self) -> None:
        for path in self.path.glob(_DATA + "*"):
            if path != self.data:
                shutil.rmtree(path, ignore_errors=True)


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
    return _place(uri) / name


def list_collections(uri: str) -> list[str]:
    """Return the names of the collections in a folder, sorted."""
    return sorted(unquote(path.parent.name) for path in _place(uri).glob("*/" + _RECORD))


def drop_collection(uri: str, collection: str) -> None:
    """Delete a collection with all that is in it.

    Raises:
        CollectionNotFoundError: There is none of that name.
        StoreLockedError: A process has it open.
    """
    path = folder_of(uri, collection)
    if not (path / _RECORD).exists():
        raise CollectionNotFoundError(collection, list_collections(uri))
    lock = FileLock(path / "lock", timeout=0.5)
    try:
        with lock:
            # Without its record the rest is an unfinished collection, whatever happens next.
            (path / _RECORD).unlink()
            for data in path.glob(_DATA + "*"):
                shutil.rmtree(data, ignore_errors=True)
    except Timeout:
        what = f"collection '{collection}' in {uri}"
        raise StoreLockedError(who_holds(what, path / "owner.json")) from None
    shutil.rmtree(path, ignore_errors=True)


def _place(uri: str) -> Path:
    return local_path(uri, store="qdrant", instead=INSTEAD)


def _read_record(path: Path) -> dict[str, object]:
    """Return what ``collection.json`` holds.

    Raises:
        DamagedError: It is not what this module writes.
    """
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
    )
    if not whole:
        raise damaged("opening", f"{path} is damaged", path.parent)
    return dict(record)


def damaged(operation: str, what: str, folder: Path) -> DamagedError:
    """Return the error for a collection whose folder is of no use."""
    return DamagedError("qdrant", operation, what, str(folder))


def unwritable(path: Path, why: str) -> StorageError:
    """Return the error for a collection that may only be read, which the engine does not know."""
    return StorageError(
        f"'{path}' cannot be written to ({why}), and the search engine opens "
        "its files for writing even to search: give this user write permission, or copy the "
        "folder to a place that has it and name that in rag.vectordb.uri"
    )
