"""Serves an index to other processes of its user, on a Unix socket in the data folder.

``kvasir serve`` listens there as well. The owner record beside the index says where.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from kvasir.app import App
from kvasir.core.environment import running_command
from kvasir.core.errors import StorageError, StoreLockedError
from kvasir.core.private_files import make_private_folder
from kvasir.frontends.api.application import make_application
from kvasir.frontends.process import KEEP_ALIVE_SECONDS
from kvasir.remote.owner import OwnerRecord, remove_owner, write_owner
from kvasir.settings.schema import Settings
from kvasir.sharing import index_of, is_embedded, owner_of

logger = logging.getLogger(__name__)

_LONGEST_PATH = 100
"""Of a Unix socket, in bytes; Linux takes 107, macOS 103."""
_START_SECONDS = 10.0
_STOP_SECONDS = 3
"""How long requests in progress may take when the owner ends."""
_LOCK_SECONDS = 10.0
"""Longest wait for another process that becomes the owner at the same time."""


class OwnerServer:
    """Serves the index of an ``App`` in a thread, until ``stop``."""

    def __init__(self, app: App) -> None:
        """Start nothing yet."""
        self._app = app
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Start serving; return False if another process serves this index, or sockets lack.

        Raises:
            StorageError: The data folder cannot be written.
        """
        if sys.platform == "win32" or owner_of(self._app.settings) is not None:
            return False
        for name in ("kvasir.frontends.api", "kvasir.jobs", "uvicorn"):
            # Without a handler, errors of requests would be written into the holder's terminal.
            logging.getLogger(name).addHandler(logging.NullHandler())
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, args=(ready,), name="index server", daemon=True
        )
        self._thread.start()
        ready.wait(_START_SECONDS)
        return self._server is not None

    def stop(self) -> None:
        """Refuse new requests, wait a moment for those in progress, and remove the record."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()

    def _serve(self, ready: threading.Event) -> None:
        try:
            with owned(self._app.settings) as (record, listeners):
                if not record.token:
                    return  # Another process was faster.
                api = make_application(self._app, owner_token=record.token, on_demand=True)
                config = uvicorn.Config(
                    api,
                    loop="asyncio",
                    ws="none",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    timeout_keep_alive=KEEP_ALIVE_SECONDS,
                    timeout_graceful_shutdown=_STOP_SECONDS,
                )
                self._server = uvicorn.Server(config)
                ready.set()
                self._server.run(sockets=listeners)
        except StorageError as error:
            logger.warning("the index is not served to other processes: %s", error)
        finally:
            ready.set()


def check_no_owner(settings: Settings) -> None:
    """Refuse to serve an embedded index that another process serves.

    Raises:
        StoreLockedError: It does.
    """
    record = _other_owner(settings) if is_embedded(settings) else None
    if record is not None:
        place = f", which serves it at {record.address}" if record.address else ""
        raise StoreLockedError(
            f"the index in '{settings.data_folder}' is in use by process {record.pid} "
            f"({record.command}){place}: end it first"
        )


@contextmanager
def owned(
    settings: Settings, address: str = ""
) -> Iterator[tuple[OwnerRecord, list[socket.socket]]]:
    """Give the record of this process as owner, and its local socket; both end with the block.

    While another process is the owner, the record has no token and is not written. Where the store
    is a server's, several processes can serve the index: ``take_over`` lets one follow the owner.

    Args:
        settings: They name the index.
        address: The HTTP address of this process; where there are no Unix sockets, clients use it.

    Raises:
        StorageError: The data folder or the socket cannot be made.
    """
    with ExitStack() as opened:
        yield take_over(settings, address, opened) or (_record(settings, address), [])


def take_over(
    settings: Settings, address: str, opened: ExitStack
) -> tuple[OwnerRecord, list[socket.socket]] | None:
    """Make this process the owner; None while another one is.

    The record and the socket end with ``opened``; otherwise as ``owned``.
    """
    folder = settings.data_folder
    with _owner_lock(folder):
        if _other_owner(settings) is not None:
            return None
        record = replace(_record(settings, address), token=secrets.token_urlsafe(32))
        listeners = []
        if sys.platform != "win32":
            path = _socket_path(folder)
            listeners = [opened.enter_context(_listen(path))]
            record = replace(record, socket=str(path))
        write_owner(folder, record)
        opened.callback(_withdraw, folder, record)
        return record, listeners


def _record(settings: Settings, address: str) -> OwnerRecord:
    return OwnerRecord(os.getpid(), running_command(), index_of(settings), "", address)


def _withdraw(folder: Path, record: OwnerRecord) -> None:
    """Remove the record and the socket, but not those of a process that takes over meanwhile."""
    if not folder.is_dir():
        return
    try:
        with _owner_lock(folder):
            remove_owner(folder, record)
    except StorageError as error:
        logger.warning("the record of this process as owner is left behind: %s", error)


def _other_owner(settings: Settings) -> OwnerRecord | None:
    record = owner_of(settings)
    return None if record is None or record.pid == os.getpid() else record


@contextmanager
def _owner_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time become the owner."""
    lock = FileLock(folder / "owner.lock", timeout=_LOCK_SECONDS, mode=0o600)
    try:
        make_private_folder(folder)
        lock.acquire(poll_interval=0.01)
    except Timeout as error:
        raise StorageError(f"the lock '{lock.lock_file}' is held by another process") from error
    except OSError as error:
        raise StorageError(f"'{folder}' cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        make_private_folder(path.parent)
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        # Nobody can connect before it listens.
        path.chmod(0o600)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise StorageError(f"the socket '{path}' cannot be made: {error.strerror}") from error
    return listener


def _socket_path(folder: Path) -> Path:
    """Return the path of the socket: in the data folder, or where a path is short enough."""
    path = folder / "owner.sock"
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:20]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    shared = Path(runtime or tempfile.gettempdir()) / f"kvasir-{os.getuid()}"
    try:
        shared.mkdir(mode=0o700, exist_ok=True)
        status = shared.lstat()
    except OSError as error:
        raise StorageError(f"'{shared}' cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StorageError(f"'{shared}' is not a folder of this user alone")
    return shared / f"{name}.sock"
