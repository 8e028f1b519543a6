"""The record of the process that owns an embedded index, beside the index.

It says where the owner listens. Its token gives every right on the data folder, so only the user
may read it.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from kvasir.core.errors import StorageError, WireError
from kvasir.core.private_files import make_private_folder
from kvasir.core.wire import dumps, loads

PROTOCOL = 1
"""Raised when a client of an earlier version cannot work with the server any more."""

_FILE = "owner.json"
_CONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """Where the owner of an index listens.

    Attributes:
        pid: Its process.
        command: Its program, for messages.
        socket: Absolute path of its Unix socket; empty if it has none.
        address: Its HTTP address; empty if it has none.
        token: The credential of the user.
        index: A hash of where store and catalog are.
    """

    pid: int
    command: str
    index: str
    socket: str = ""
    address: str = ""
    token: str = ""
    protocol: int = PROTOCOL


def read_owner(data_folder: Path, index: str) -> OwnerRecord | None:
    """Return the record of a living owner of an index; None if there is none.

    A record that is damaged, of another index, or behind which nobody listens, is no record.
    """
    try:
        record = loads(OwnerRecord, (data_folder / _FILE).read_bytes())
    except (OSError, WireError):
        return None
    is_it = record.index == index and _is_alive(record.pid) and _listens(record)
    return record if is_it else None


def write_owner(data_folder: Path, record: OwnerRecord) -> None:
    """Write the record in one step, for the user only."""
    draft = data_folder / f".{_FILE}.{record.pid}"
    try:
        make_private_folder(data_folder)
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(dumps(record))
        draft.replace(data_folder / _FILE)
    except OSError as error:
        raise StorageError(f"'{data_folder}' cannot be written: {error.strerror}") from error


def remove_owner(data_folder: Path, record: OwnerRecord) -> None:
    """Remove the record and its socket, unless another process has replaced them."""
    path = data_folder / _FILE
    with suppress(OSError, WireError):
        # The token is of this record alone.
        if loads(OwnerRecord, path.read_bytes()).token == record.token:
            path.unlink()
            if record.socket:
                Path(record.socket).unlink(missing_ok=True)


def _listens(record: OwnerRecord) -> bool:
    """Return False if the socket of a record is dead: its process may be another one by now."""
    if not record.socket:
        return True
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(record.socket)
        except (TimeoutError, BlockingIOError):
            return True  # It is there, but has too much to do.
        except OSError:
            return False
    return True


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        return False  # There are no Unix sockets, and this signal would end the process.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # It is another user's, or no process can have the number.
        return False
    return pid > 0
