"""Reads files of this machine within limits of size and time.

A path may lead to a file without an end, or to a network disk that does not answer any more. A read
that hangs cannot be stopped, so it is left in its thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Self, TypeVar

from kvasir.core.deadline import Worker, deadline
from kvasir.core.errors import DeadlineExceededError, ExtractionError
from kvasir.ingesting.extraction import too_large
from kvasir.ingesting.sources import NOT_A_FILE

T = TypeVar("T")

_PIECE = 1 << 20
"""Bytes that are read at once."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file's size in bytes, its time of change, and its SHA-256; empty if it is too large."""

    size: int
    modified: float
    content_hash: str


class FileReader:
    """Examines files one after the other; close it, or use it in a ``with``."""

    def __init__(self, timeout: float) -> None:
        """Allow ``timeout`` seconds for each file."""
        self._timeout = timeout
        self._worker: Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def examine(self, path: str, most: int) -> FileFacts:
        """Return what an ingest needs to know of a file; one of over ``most`` bytes has no hash.

        Raises:
            ExtractionError: It is no regular file, or was not read in time.
            OSError: It cannot be read.
        """
        return self._read(partial(_examine, path, most))

    def head(self, path: str, most: int) -> bytes:
        """Return the first bytes of a file, at most ``most``; errors as of ``examine``."""
        return self._read(partial(_head, path, most))

    def _read(self, read: Callable[[], T]) -> T:
        self._worker = self._worker or Worker("reading")
        try:
            with deadline(self._timeout):
                return self._worker.call(read)
        except DeadlineExceededError as error:
            self.close()
            slow = f"it was not read within {self._timeout:g} s"
            why = "it has no end, or its disk does not answer: leave it out"
            raise ExtractionError(
                "timeout", f"{slow}; {why}, or raise rag.ingest.timeout"
            ) from error

    def close(self) -> None:
        """End the thread, after the present call."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None


def read_file(path: str, most: int) -> bytes:
    """Return the bytes of a file.

    Raises:
        ExtractionError: It is no regular file, or has more than ``most`` bytes.
        OSError: It cannot be read.
    """
    with _opened(path) as (file, status):
        data = bytearray()
        size = status.st_size
        if size <= most:
            for piece in _pieces(file, most):
                data += piece
            size = len(data)
        if size > most:
            raise too_large(most, size)
        return bytes(data)


def _head(path: str, most: int) -> bytes:
    with _opened(path) as (file, _):
        return file.read(most) or b""


def _examine(path: str, most: int) -> FileFacts:
    with _opened(path) as (file, status):
        size, digest = status.st_size, hashlib.sha256()
        if size <= most:
            # Counted, because files that the system makes up have the size 0, and others grow.
            size = 0
            for piece in _pieces(file, most):
                size += len(piece)
                digest.update(piece)
        return FileFacts(size, status.st_mtime, digest.hexdigest() if size <= most else "")


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    with open(path, "rb", buffering=0, opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ExtractionError("unreadable", NOT_A_FILE)
        yield file, status


def _pieces(file: BinaryIO, most: int) -> Iterator[bytes]:
    """Yield the content of a file, until it is more than ``most`` bytes."""
    size = 0
    while size <= most and (piece := file.read(_PIECE)) != b"":
        if piece is None:  # It would give more later, as /proc/kmsg does.
            raise BlockingIOError(errno.EAGAIN, "it has no end")
        size += len(piece)
        yield piece


def _open_at_once(path: str, flags: int) -> int:
    """Open without blocking, because a file may have been replaced by a named pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
