"""The engine's files: their checksums, copies with holes, and room on their disk.

The engine checks its write-ahead log only. If another of its files is changed or cut, it may abort
the process, or lose points in silence. Its files have holes, and it writes to them through the
memory: where the disk has no room for a page, the system kills the process (SIGBUS).
"""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from kvasir.core.errors import StorageError

Fingerprints = Mapping[str, list[int]]
"""Size and checksum of files by their path below a folder; 0 for a checksum that is not made."""

_CHANGING = ("edge_config.json", "tracker_journal.dat")

_VERSIONS = ".versions"
_MOST_CHECKED = 64 << 20
"""Bytes of a file, without holes, that are read to check it: at most 50 ms."""
_START = zlib.crc32(b"kvasir")
"""The checksum of zeros; 0 stands for none."""
_BLOCK = 64 << 10
_ZEROS = bytes(_BLOCK)
_DISK_BLOCK = 512
"""Bytes of a block in ``st_blocks``."""

_COPIES = 2
"""How many times the room of an index is taken while its graph is built beside it."""
ROOM_TO_OPEN = 16 << 20
"""Free bytes with which an index can be opened and closed."""
ROOM_TO_MAKE = 64 << 20
"""Free bytes that a new index needs."""
_ROOM_TO_WRITE = 32 << 20
_ROOM_PER_BYTE = 4
"""Vectors, texts and terms are written to the log as well, and texts to an index of metadata."""


def fingerprints(data: Path, *, is_replayed: bool) -> dict[str, list[int]]:
    """Return the fingerprints of a closed index's files, but those that opening it changes.

    The first opening after writes replays the last one and so changes the points' versions:
    before it has happened, ``is_replayed`` is False, and they get no checksum.
    """
    found = {}
    for path in sorted(data.rglob("*")):
        if path.is_file() and path.name not in _CHANGING and path.parent != data / "wal":
            size, checksum = _fingerprint(path)
            is_checked = is_replayed or path.suffix != _VERSIONS
            found[path.relative_to(data).as_posix()] = [size, checksum if is_checked else 0]
    return found


def sync_log(data: Path) -> None:
    """Write the write-ahead log of an open index to the disk; other threads go on meanwhile.

    Raises:
        StorageError: The disk refuses it.
    """
    folder = data / "wal"
    try:
        for path in folder.iterdir():
            with path.open("r+b", buffering=0) as file:
                os.fsync(file.fileno())
        if os.name == "posix":
            # New files of the log have names that must be durable as well.
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        raise StorageError(f"{folder} cannot be written to the disk: {error.strerror}") from error


def are_final(recorded: Fingerprints) -> bool:
    """Return True if the points' versions have checksums."""
    return all(each[1] for name, each in recorded.items() if name.endswith(_VERSIONS))


def first_changed(data: Path, recorded: Fingerprints) -> str | None:
    """Return the path of a file that is lost or not as recorded; None if there is none."""
    for name, (size, checksum) in recorded.items():
        try:
            size_now, checksum_now = _fingerprint(data / name)
        except OSError:
            return name
        # A copy without holes may be too large to be read: it has no checksum.
        if size_now != size or (checksum and checksum_now and checksum_now != checksum):
            return name
    return None


def _fingerprint(path: Path) -> list[int]:
    with path.open("rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if _allocated(status) > _MOST_CHECKED:
            return [status.st_size, 0]
        checksum = _START
        for start, block in _blocks_in_use(file, status.st_size):
            checksum = zlib.crc32(block, zlib.crc32(start.to_bytes(8, "big"), checksum))
        return [status.st_size, checksum]


def _blocks_in_use(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the blocks of a file that are not zeros, with their offsets."""
    offset = _next_data(file, 0)
    while offset < size:
        file.seek(offset)
        block = file.read(_BLOCK)
        if not block:
            return
        if block != _ZEROS[: len(block)]:
            yield offset, block
        offset = _next_data(file, offset + _BLOCK)


def _next_data(file: BinaryIO, offset: int) -> int:
    """Return the first block from an offset on that is not within a hole."""
    if not hasattr(os, "SEEK_DATA"):
        return offset
    try:
        return file.seek(offset, os.SEEK_DATA) // _BLOCK * _BLOCK
    except OSError as error:
        # ENXIO: there is only a hole left. Otherwise the file system knows no holes.
        return os.fstat(file.fileno()).st_size if error.errno == errno.ENXIO else offset


def copy_with_holes(source: str, target: str) -> None:
    """Copy a file; what is zeros in it takes no room in the copy."""
    with Path(source).open("rb", buffering=0) as old, Path(target).open("wb", buffering=0) as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        for offset, block in _blocks_in_use(old, size):
            new.seek(offset)
            new.write(block)
    shutil.copystat(source, target)


def copy_folder(source: Path, target: Path, check: Callable[[], None]) -> None:
    """Copy an index to build its graph; ``check`` is called before each file, and may raise.

    Raises:
        StorageError: The disk has too little room for it.
    """
    files = [path for path in source.rglob("*") if path.is_file()]
    size = sum(_allocated(path.stat()) for path in files)
    require_room(target.parent, ROOM_TO_MAKE + _COPIES * size)

    def copy_file(old: str, new: str) -> None:
        check()
        copy_with_holes(old, new)

    shutil.copytree(source, target, copy_function=copy_file)


def has_room(folder: Path, needed: int) -> bool:
    """Return True if the disk of a folder has this number of bytes left."""
    return shutil.disk_usage(folder).free >= needed


def require_room(folder: Path, needed: int) -> None:
    """Raise ``StorageError`` if the disk of a folder has less than ``needed`` bytes left."""
    if not has_room(folder, needed):
        raise no_room(folder, needed)


def require_room_to_write(folder: Path, size: int) -> None:
    """Raise ``StorageError`` if there is no room for points of ``size`` bytes."""
    require_room(folder, _ROOM_TO_WRITE + _ROOM_PER_BYTE * size)


def no_room(folder: Path, needed: int) -> StorageError:
    """Return the error for a disk that is full."""
    free = shutil.disk_usage(folder).free
    return StorageError(
        f"the disk of '{folder}' is full: {free / (1 << 20):.0f} MiB are free, and "
        f"{needed / (1 << 20):.0f} MiB are needed to go on; make room there, or name another "
        "folder in rag.vectordb.uri"
    )


def _allocated(status: os.stat_result) -> int:
    """Return how much room a file takes, in bytes."""
    blocks = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * _DISK_BLOCK
