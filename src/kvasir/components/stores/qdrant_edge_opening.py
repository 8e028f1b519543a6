"""Opens an index of the engine, after looking whether its files are whole.

Files that were closed are compared with the fingerprints that were recorded then. After a crash
there are none; then a child process opens the index first, because the engine aborts the process
that opens some damaged files.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import qdrant_edge as edge

from kvasir.components.stores.qdrant_edge_files import (
    ROOM_TO_OPEN,
    first_changed,
    has_room,
    no_room,
)
from kvasir.components.stores.qdrant_edge_folder import CollectionFolder, damaged
from kvasir.core.environment import arguments, environment, module_command
from kvasir.core.operating_system import end_with_parent

_READ_AHEAD = 256 * 2**20
"""Bytes of chunk texts to read ahead, about 400,000 chunks of 60 words."""
_READ_STEP = 256 * 2**10
"""Linux reads at most about this much for one request."""
_BLOCK = 512
"""Bytes of a block in ``st_blocks``; the engine's files have holes."""


class OpenShard:
    """A shard, its folder and the number of its readers."""

    def __init__(self, shard: edge.EdgeShard, data: Path) -> None:
        self.shard = shard
        self.data = data
        self.readers = 0


def open_data(folder: CollectionFolder, data: Path) -> OpenShard:
    """Open the data of a locked folder.

    Raises:
        DamagedError: A file is lost or was changed, or the engine aborts on it.
        StorageError: The disk is too full to open it.
        Exception: Whatever the engine raises.
    """
    recorded = folder.fingerprints
    if recorded is not None:
        changed = first_changed(data, recorded)
        if changed is not None:
            what = f"its file {changed} is damaged: it is lost or was changed since it was written"
            raise damaged(f"opening {data}", what, folder.path)
    if recorded is None or not has_room(data, ROOM_TO_OPEN):
        _try_in_child(folder, data)
    return load(data)


def load(data: Path) -> OpenShard:
    """Open data that is whole, and read its chunks' texts into the system's cache."""
    opened = OpenShard(edge.EdgeShard.load(str(data)), data)
    if hasattr(os, "posix_fadvise"):
        _read_ahead(sorted(data.glob("segments/*/payload_storage/*.dat")))
    return opened


def end_with_owner(parent: int) -> None:
    """End this child process when its parent ends, where the system can do that."""
    end_with_parent()
    if sys.platform == "linux" and os.getppid() != parent:
        raise SystemExit("the owner of the index is gone")


def _try_in_child(folder: CollectionFolder, data: Path) -> None:
    """Raise an error if a signal ends the process that opens an index; others are raised later."""
    child = subprocess.run(
        module_command("kvasir.components.stores.qdrant_edge_opening", data, os.getpid()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        check=False,
    )
    if child.returncode >= 0:
        return
    if not has_room(data, ROOM_TO_OPEN):
        raise no_room(folder.path, ROOM_TO_OPEN)
    what = f"the engine ends with {signal.Signals(-child.returncode).name}; its files are damaged"
    raise damaged(f"opening {data}", what, folder.path)


def _open_and_close(data: str, parent: int) -> None:
    """Run the child process."""
    end_with_owner(parent)
    shard = edge.EdgeShard.load(data)
    shard.scroll(edge.ScrollRequest(limit=1, with_payload=True, with_vector=True))
    shard.count(edge.CountRequest(exact=True))
    shard.close()


def _read_ahead(files: Iterable[Path]) -> None:
    """Ask the system to read files into its cache in the background.

    Otherwise the first read of each text takes 0.07 ms. An engine that keeps the texts in memory
    takes a second longer to open 100,000 chunks.
    """
    left = _READ_AHEAD
    for path in files:
        # Only a hint: without it, searches are a little slower.
        with suppress(OSError), path.open("rb") as file:
            size = min(left, os.fstat(file.fileno()).st_blocks * _BLOCK)
            for start in range(0, size, _READ_STEP):
                os.posix_fadvise(file.fileno(), start, _READ_STEP, os.POSIX_FADV_WILLNEED)
            left -= size


if __name__ == "__main__":
    path, owner = arguments()
    _open_and_close(path, int(owner))
