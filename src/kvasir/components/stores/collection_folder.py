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
import os
import re
import shutil
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote

from filelock import FileLock, Timeout

from kvasir.core.errors import CollectionError, StoreLockedError

_RECORD = "collection.json"
_DATA = "data-"
_PROGRAM = "kvasir"
_COMMAND = re.compile(r"[a-z][a-z-]{1,19}")


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
        """Takes the collection's lock, and checks or writes its record.

        Args:
            uri: Folder that holds all collections; made when absent.
            collection: The collection's name, any text.
            layout: Version of the data layout that the caller reads and writes.
            dimension: Length of its vectors.
            fingerprint: Of the embedder; "" accepts what is there.
            lock_timeout: Seconds to wait for another process to let go.

        Raises:
            StoreLockedError: Another process has the collection open.
            CollectionError: The collection was made for another embedder or layout.
        """
        self.path = folder_of(uri, collection)
        self.name = collection
        self._owner = self.path / "owner.json"
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.path / "lock", timeout=lock_timeout, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise StoreLockedError(_who_holds(uri, collection, self._owner)) from None
        try:
            self._write_owner()
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
        """Returns the path of a data folder yet to be made."""
        current = str(self._record.get("data") or _DATA + "000000")
        return self.path / f"{_DATA}{int(current.removeprefix(_DATA)) + 1:06d}"

    def make_current(self, data: Path, **notes: int) -> None:
        """Makes a complete and flushed data folder the current one, in one step.

        Args:
            data: The folder.
            **notes: Numbers to keep with it.
        """
        record = {**self._record, "data": data.name, "notes": notes}
        _replace(self.path / _RECORD, record)
        self._record = record

    @property
    def notes(self) -> dict[str, int]:
        """The numbers kept with the current data folder."""
        notes = self._record.get("notes")
        return dict(notes) if isinstance(notes, dict) else {}

    def close(self) -> None:
        """Gives the collection up; a second call does nothing."""
        if self._lock.is_locked:
            self._owner.unlink(missing_ok=True)
            self._lock.release()

    def _check(self, layout: int, dimension: int, fingerprint: str) -> dict[str, object]:
        path = self.path / _RECORD
        if not path.exists():
            return {"layout": layout, "dimension": dimension, "fingerprint": fingerprint}
        try:
            record = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise CollectionError(
                f"{path} is not readable ({error}); drop the collection and ingest again"
            ) from error
        if record["layout"] != layout:
            raise CollectionError(
                f"collection '{self.name}' has layout {record['layout']} and this version of "
                f"Kvasir reads layout {layout}; drop the collection and ingest again"
            )
        advice = "use that embedder, choose another collection, or drop this one and ingest again"
        if record["dimension"] != dimension:
            raise CollectionError(
                f"collection '{self.name}' was made with vectors of {record['dimension']} numbers "
                f"and the embedder makes {dimension}; {advice}"
            )
        if fingerprint and record["fingerprint"] not in ("", fingerprint):
            raise CollectionError(
                f"collection '{self.name}' was made with embedder '{record['fingerprint']}', "
                f"not with '{fingerprint}'; {advice}"
            )
        return {**record, "fingerprint": record["fingerprint"] or fingerprint}

    def _write_owner(self) -> None:
        since = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
        owner = {"pid": os.getpid(), "command": _program(), "since": since}
        _replace(self._owner, owner)

    def _remove_leftovers(self) -> None:
        for path in self.path.glob(_DATA + "*"):
            if path != self.data:
                shutil.rmtree(path, ignore_errors=True)


def folder_of(uri: str, collection: str) -> Path:
    """Returns a collection's folder; the name is escaped so that it cannot lead elsewhere.

    Raises:
        CollectionError: The name is empty or too long.
    """
    name = quote(collection, safe=" ")
    name = "%2E" + name[1:] if name.startswith(".") else name
    if not collection.strip() or len(name) > 200:
        raise CollectionError(
            f"'{collection[:60]}' cannot name a collection; use 1 to 60 letters, digits or dashes"
        )
    return Path(uri).expanduser() / name


def list_collections(uri: str) -> list[str]:
    """Returns the names of the collections in a folder, sorted."""
    return sorted(unquote(path.parent.name) for path in Path(uri).expanduser().glob("*/" + _RECORD))


def drop_collection(uri: str, collection: str) -> None:
    """Deletes a collection with all that is in it.

    Raises:
        CollectionError: There is none of that name.
        StoreLockedError: A process has it open.
    """
    path = folder_of(uri, collection)
    if not (path / _RECORD).exists():
        known = ", ".join(list_collections(uri)) or "none"
        raise CollectionError(f"there is no collection '{collection}' in {uri}; there are: {known}")
    lock = FileLock(path / "lock", timeout=0.5)
    try:
        with lock:
            # Without its record the rest is an unfinished collection, whatever happens next.
            (path / _RECORD).unlink()
            for data in path.glob(_DATA + "*"):
                shutil.rmtree(data, ignore_errors=True)
    except Timeout:
        raise StoreLockedError(_who_holds(uri, collection, path / "owner.json")) from None
    shutil.rmtree(path, ignore_errors=True)


def _who_holds(uri: str, collection: str, owner: Path) -> str:
    """Returns the sentence for the process that comes second."""
    try:
        known = json.loads(owner.read_text("utf-8"))
        who = f"process {known['pid']} ({known['command']}), since {known['since']}"
        if known["pid"] == os.getpid():
            who = f"this very process, since {known['since']}"
    except (OSError, ValueError, KeyError):
        who = "another process"
    return (
        f"collection '{collection}' in {uri} is in use by {who}; "
        "stop it, ask through it, or choose another folder (rag.vectordb.uri)"
    )


def _program() -> str:
    """Returns the program, and the subcommand where it is ours; never an option or a value."""
    path = Path(sys.argv[0] or "python")
    program = path.parent.name if path.stem == "__main__" else path.stem
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    known = program == _PROGRAM and _COMMAND.fullmatch(command)
    return f"{program} {command}" if known else program[:80]


def _replace(path: Path, content: dict[str, object]) -> None:
    """Writes a small JSON file so that a crash leaves the old one or the new one."""
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    # The step is done; that it is also on the disk is asked for where the system knows how.
    with suppress(OSError):
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
