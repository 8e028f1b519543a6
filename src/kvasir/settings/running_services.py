"""The record of a running starter of services, in the data folder, for its user only.

Commands of the same data folder that have no settings file use that of the starter, so that they
reach what it has started.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kvasir.core.errors import StorageError, WireError
from kvasir.core.private_files import create_private_file, make_private_folder
from kvasir.core.wire import dumps, loads

FOLDER = Path("services")
"""In the data folder: the record, and CURVE keys."""
_RECORD = "starter.json"


@dataclass(frozen=True, slots=True)
class StarterRecord:
    """A starter that runs.

    Attributes:
        pid: Its process.
        address: Where it listens, on loopback.
        config: The absolute path of its settings file.
    """

    pid: int
    address: str
    config: str


def write_record(data_folder: Path, record: StarterRecord) -> None:
    """Write the record in one step."""
    path = data_folder / FOLDER / _RECORD
    draft = path.with_suffix(f".{record.pid}")
    try:
        make_private_folder(path.parent)
        draft.unlink(missing_ok=True)
        with create_private_file(draft) as file:
            file.write(dumps(record).encode())
        draft.replace(path)
    except OSError as error:
        raise StorageError(f"'{path}' cannot be written: {error.strerror}") from error


def remove_record(data_folder: Path) -> None:
    """Remove the record of this process, unless another starter has replaced it."""
    record = read_record(data_folder)
    if record is not None and record.pid == os.getpid():
        with suppress(OSError):
            (data_folder / FOLDER / _RECORD).unlink()


def read_record(data_folder: Path) -> StarterRecord | None:
    """Return the record of the starter whose process lives, if there is one."""
    try:
        record = loads(StarterRecord, (data_folder / FOLDER / _RECORD).read_bytes())
    except (OSError, WireError):
        return None
    return record if _is_alive(record.pid) else None


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # This signal would end the process; whoever connects finds out.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return False  # It is another user's, or no process can have the number.
    return pid > 0
