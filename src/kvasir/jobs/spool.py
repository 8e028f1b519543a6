"""Keeps the bytes of uploads in a folder, by their SHA-256."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import BaseFileLock, FileLock, Timeout

from kvasir.core.errors import ComponentError, NotFoundError, StorageError, TooLargeError
from kvasir.core.private_files import make_private_folder

logger = logging.getLogger(__name__)

_PIECE = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_INCOMING = "incoming-"
_ABANDONED_SECONDS = 24 * 3600.0
_LOCK_SECONDS = 30.0


class FolderSpool:
    """Files named by the hash of their bytes: the same bytes are kept once. See ``Spool``."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made when it is needed, for its user only."""
        self._folder = folder
        self._own_lock = threading.Lock()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold a lock of all processes that use the folder."""
        self._make_folder()
        # Threads of this process wait for each other without looking again and again.
        with self._own_lock:
            lock = FileLock(self._folder / "lock", timeout=_LOCK_SECONDS, mode=0o600)
            self._acquire(lock)
            try:
                yield
            finally:
                lock.release()

    def _acquire(self, lock: BaseFileLock) -> None:
        with _translating("the folder of uploads cannot be locked"):
            try:
                lock.acquire(poll_interval=0.01)
            except Timeout as error:
                cause = f"another process held its lock for {_LOCK_SECONDS:g} s"
                raise ComponentError("spool", "locking", cause, kind="busy") from error

    def put(self, stream: BinaryIO, *, max_bytes: int) -> tuple[str, int]:
        """Store bytes durably; return their SHA-256 and their number."""
        digest, size = hashlib.sha256(), 0
        self._make_folder()
        with _translating("the folder of uploads cannot be written"):
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=_INCOMING)
        try:
            with os.fdopen(handle, "wb") as file:
                while piece := stream.read(_PIECE):
                    size += len(piece)
                    if size > max_bytes:
                        raise TooLargeError(f"it is larger than {max_bytes >> 20} MB")
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            target = self._path(digest.hexdigest())
            target.parent.mkdir(mode=0o700, exist_ok=True)
            Path(name).replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            raise StorageError(f"the upload could not be kept: {error}") from error
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()
        return digest.hexdigest(), size

    def open(self, digest: str) -> BinaryIO:
        """Open stored bytes."""
        with _translating("an upload cannot be read"):
            try:
                return self._path(digest).open("rb")
            except FileNotFoundError as error:
                raise NotFoundError(
                    "the bytes of this upload are not kept any more: send it again"
                ) from error

    def has(self, digest: str) -> bool:
        """Return True if the bytes are stored."""
        with _translating("the folder of uploads cannot be read"):
            return self._path(digest).is_file()

    def delete(self, digest: str) -> None:
        """Delete stored bytes; unknown ones are no error."""
        with _translating("an upload cannot be deleted"):
            self._path(digest).unlink(missing_ok=True)

    def digests(self) -> Iterator[str]:
        """Yield the digests of what is stored, and delete what an interrupted upload left."""
        with _translating("the folder of uploads cannot be read"):
            begun = list(self._folder.glob(f"{_INCOMING}*"))
            found = [path.name for path in self._folder.glob("??/*")]
        for path in begun:
            self._delete_abandoned(path)
        yield from filter(_DIGEST.fullmatch, found)

    def _delete_abandoned(self, path: Path) -> None:
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            # It must not keep the others from being tidied up.
            logger.warning("an unfinished upload cannot be deleted: %s", error)

    def _make_folder(self) -> None:
        with _translating("the folder of uploads cannot be written"):
            make_private_folder(self._folder)

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise NotFoundError("there is no such upload")
        return self._folder / digest[:2] / digest


@contextmanager
def _translating(problem: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{problem}: {error}") from error


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file durable, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
