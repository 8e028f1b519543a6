"""Keeps the bytes of uploads in a bucket of S3-compatible storage, by their SHA-256.

So a worker needs no disk that it shares with the server. The lock is an object that is written only
where there is none (``If-None-Match``), which S3 has since 2024. Address and credentials of the
storage are found as every AWS tool finds them: ``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``,
profiles, roles.

Source: https://s3fs.readthedocs.io (s3fs 2026.9); Amazon S3, "Conditional writes".
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO, TypeVar, cast
from uuid import uuid4

import s3fs
from botocore.exceptions import BotoCoreError, ClientError

from kvasir.core.errors import ComponentError, NotFoundError, TooLargeError

T = TypeVar("T")

_PIECE = 1 << 20
_IN_MEMORY = 8 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOCK_SECONDS = 30.0
"""How long a lock is waited for; it is held for milliseconds, so an older one was left behind."""
_FIRST_LOOK, _LONGEST_LOOK = 0.01, 0.25
_FAULTS = (OSError, BotoCoreError, ClientError)
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "409", "412")


class BucketSpool:
    """Objects named by the hash of their bytes: the same bytes are kept once. See ``Spool``."""

    def __init__(self, address: str) -> None:
        """Use ``s3://BUCKET/FOLDER``; connect to nothing yet."""
        self._root = address.removeprefix("s3://").rstrip("/")
        self._files: Any = s3fs.S3FileSystem(
            use_listings_cache=False, skip_instance_cache=True, default_cache_type="readahead"
        )
        self._own_lock = threading.Lock()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold a lock of all processes that use the bucket."""
        name, mine = f"{self._root}/lock", uuid4().hex.encode()
        # Threads of this process wait for each other without asking the storage.
        with self._own_lock:
            self._acquire(name, mine)
            try:
                yield
            finally:
                self._call("unlocking", lambda: self._release(name, mine))

    def _acquire(self, name: str, mine: bytes) -> None:
        pause, end = _FIRST_LOOK, time.monotonic() + 2 * _LOCK_SECONDS
        while not self._call("locking", lambda: self._create(name, mine)):
            if time.monotonic() > end:
                cause = f"another process held its lock for {2 * _LOCK_SECONDS:g} s"
                raise ComponentError("spool", "locking", cause, kind="busy")
            self._call("locking", lambda: self._remove_abandoned(name))
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_LOOK)

    def _create(self, name: str, mine: bytes) -> bool:
        try:
            self._files.pipe_file(name, mine, mode="create")
        except FileExistsError:
            return False
        except ClientError as error:
            # Two that are written at the same time conflict, where one wins.
            if error.response.get("Error", {}).get("Code") in _TAKEN:
                return False
            raise
        return True

    def _remove_abandoned(self, name: str) -> None:
        try:
            written = self._files.info(name, refresh=True)["LastModified"]
        except FileNotFoundError:
            return
        if (datetime.now(UTC) - written).total_seconds() > _LOCK_SECONDS:
            self._files.rm_file(name)

    def _release(self, name: str, mine: bytes) -> None:
        try:
            if self._files.cat_file(name) == mine:
                self._files.rm_file(name)
        except FileNotFoundError:
            return  # It was held for so long that another process took it for abandoned.

    def put(self, stream: BinaryIO, *, max_bytes: int) -> tuple[str, int]:
        """Store bytes durably; return their SHA-256 and their number."""
        digest, size = hashlib.sha256(), 0
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as kept:
            while piece := stream.read(_PIECE):
                size += len(piece)
                if size > max_bytes:
                    raise TooLargeError(f"it is larger than {max_bytes >> 20} MB")
                digest.update(piece)
                kept.write(piece)
            kept.seek(0)
            name = digest.hexdigest()
            if not self.has(name):
                self._call("writing", lambda: self._write(self._path(name), kept, size))
        return name, size

    def _write(self, path: str, kept: Any, size: int) -> None:
        if size <= _IN_MEMORY:
            self._files.pipe_file(path, kept.read())
            return
        with self._files.open(path, "wb") as target:
            while piece := kept.read(_PIECE):
                target.write(piece)

    def open(self, digest: str) -> BinaryIO:
        """Open stored bytes."""
        path = self._path(digest)
        try:
            return cast(BinaryIO, self._call("reading", lambda: self._files.open(path, "rb")))
        except FileNotFoundError as error:
            raise NotFoundError("the bytes of this upload are not kept any more") from error

    def has(self, digest: str) -> bool:
        """Return True if the bytes are stored."""
        path = self._path(digest)
        return bool(self._call("looking", lambda: self._files.exists(path, refresh=True)))

    def delete(self, digest: str) -> None:
        """Delete stored bytes; unknown ones are no error."""
        path = self._path(digest)
        try:
            self._call("deleting", lambda: self._files.rm_file(path))
        except FileNotFoundError:
            return

    def digests(self) -> Iterator[str]:
        """Yield the digests of what is stored."""
        try:
            found = self._call("listing", lambda: self._files.find(self._root, refresh=True))
        except FileNotFoundError:
            return
        for path in found:
            name = path.rpartition("/")[2]
            if _DIGEST.fullmatch(name):
                yield name

    def _call(self, operation: str, function: Callable[[], T]) -> T:
        try:
            return function()
        except FileNotFoundError:
            raise
        except _FAULTS as error:
            raise ComponentError("spool", operation, error, kind="unreachable") from error

    def _path(self, digest: str) -> str:
        if not _DIGEST.fullmatch(digest):
            raise NotFoundError("there is no such upload")
        return f"{self._root}/{digest[:2]}/{digest}"
