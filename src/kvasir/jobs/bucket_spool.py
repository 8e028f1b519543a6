"""Keeps the bytes of uploads in a bucket of S3-compatible storage, by their SHA-256.

So a worker needs no disk that it shares with the server. The lock is an object that is written only
where there is none (``If-None-Match``), which S3 has since 2024.

Source: https://docs.aws.amazon.com/boto3 (boto3 1.44); Amazon S3, "Conditional writes".
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

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from kvasir.core.errors import ComponentError, NotFoundError, TooLargeError
from kvasir.s3_client import s3_client

T = TypeVar("T")

_PIECE = 1 << 20
_IN_MEMORY = 8 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LOCK_SECONDS = 30.0
"""It is held for milliseconds: an older one was left by a process that died."""
_FIRST_LOOK, _LONGEST_LOOK = 0.01, 0.25
_FAULTS = (BotoCoreError, Boto3Error, ClientError, OSError)
_MISSING = ("404", "NoSuchKey", "NotFound")
_TAKEN = ("409", "412", "PreconditionFailed", "ConditionalRequestConflict")


class BucketSpool:
    """Objects named by the hash of their bytes: the same bytes are kept once. See ``Spool``."""

    def __init__(self, address: str) -> None:
        """Use ``s3://BUCKET/FOLDER``; connect to nothing yet.

        Raises:
            SettingsError: AWS's configuration is unusable.
        """
        self._bucket, _, folder = address.removeprefix("s3://").partition("/")
        self._folder = f"{folder.strip('/')}/" if folder.strip("/") else ""
        self._client: Any = s3_client()
        self._own_lock = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold a lock of all processes that use the bucket."""
        mine = uuid4().hex.encode()
        # Threads of this process wait for each other without asking the storage.
        with self._own_lock:
            self._acquire(mine)
            try:
                yield
            finally:
                self._call("unlocking", lambda: self._release(mine))

    @property
    def _lock(self) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._folder}lock"}

    def _acquire(self, mine: bytes) -> None:
        pause, end = _FIRST_LOOK, time.monotonic() + 2 * _LOCK_SECONDS
        while not self._call("locking", lambda: self._create_lock(mine)):
            if time.monotonic() > end:
                cause = f"another process held its lock for {2 * _LOCK_SECONDS:g} s"
                raise ComponentError("spool", "locking", cause, kind="busy")
            self._call("locking", self._remove_abandoned_lock)
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_LOOK)

    def _create_lock(self, mine: bytes) -> bool:
        try:
            self._client.put_object(**self._lock, Body=mine, IfNoneMatch="*")
        except ClientError as error:
            # Of two that are written at the same time one wins.
            if _code(error) in _TAKEN:
                return False
            raise
        return True

    def _remove_abandoned_lock(self) -> None:
        found = self._head(self._lock)
        if found is None:
            return
        age = (datetime.now(UTC) - found["LastModified"]).total_seconds()
        if age > _LOCK_SECONDS:
            self._client.delete_object(**self._lock)

    def _release(self, mine: bytes) -> None:
        body = self._body(self._lock)
        # After a long time another process may have taken it for abandoned.
        if body is not None and body.read() == mine:
            self._client.delete_object(**self._lock)

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
                place = self._place(name)
                upload = self._client.upload_fileobj
                self._call("writing", lambda: upload(kept, place["Bucket"], place["Key"]))
        return name, size

    def open(self, digest: str) -> BinaryIO:
        """Open stored bytes, which are fetched into a temporary file if they are many."""
        place = self._place(digest)
        kept = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
        try:
            body = self._call("reading", lambda: self._body(place))
            if body is None:
                raise NotFoundError("the bytes of this upload are not kept any more: send it again")
            with body:
                for piece in iter(lambda: self._call("reading", lambda: body.read(_PIECE)), b""):
                    kept.write(piece)
        except BaseException:
            kept.close()
            raise
        kept.seek(0)
        return cast(BinaryIO, kept)

    def _body(self, place: dict[str, str]) -> Any:
        try:
            return self._client.get_object(**place)["Body"]
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise

    def has(self, digest: str) -> bool:
        """Return True if the bytes are stored."""
        place = self._place(digest)
        return self._call("looking", lambda: self._head(place)) is not None

    def delete(self, digest: str) -> None:
        """Delete stored bytes; unknown ones are no error."""
        place = self._place(digest)
        self._call("deleting", lambda: self._client.delete_object(**place))

    def digests(self) -> Iterator[str]:
        """Yield the digests of what is stored."""
        pages = iter(
            self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._folder
            )
        )
        while (page := self._call("listing", lambda: next(pages, None))) is not None:
            for each in page.get("Contents", ()):
                name = each["Key"].rpartition("/")[2]
                if _DIGEST.fullmatch(name):
                    yield name

    def _head(self, place: dict[str, str]) -> Any:
        """Return what is known of an object; None if there is none."""
        try:
            return self._client.head_object(**place)
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise

    def _call(self, operation: str, function: Callable[[], T]) -> T:
        try:
            return function()
        except _FAULTS as error:
            raise ComponentError("spool", operation, error, kind="unreachable") from error

    def _place(self, digest: str) -> dict[str, str]:
        if not _DIGEST.fullmatch(digest):
            raise NotFoundError("there is no such upload")
        return {"Bucket": self._bucket, "Key": f"{self._folder}{digest[:2]}/{digest}"}


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
