"""A lock on a folder, with a note about its owner for other processes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from kvasir.core.environment import running_command
from kvasir.core.errors import KvasirError, StoreLockedError
from kvasir.core.private_files import create_private_file

_sharing = threading.Lock()


class FolderLock:
    """A lock that this process holds until ``close``."""

    def __init__(
        self,
        folder: Path,
        what: str,
        unusable: Callable[[Path, str], KvasirError],
        *,
        prefix: str = "",
        timeout: float = 0.5,
        shared: bool = False,
    ) -> None:
        """Lock an existing folder.

        Args:
            folder: The folder.
            what: Its name, for messages.
            unusable: Makes the error for a folder that cannot be written to, and why.
            prefix: Of the names of the two files.
            timeout: Seconds to wait for another process to release it.
            shared: Objects of this process share the lock: the last one to close releases it.

        Raises:
            StoreLockedError: Another process holds it, or this one does and it is not shared.
        """
        real = folder.resolve()  # one lock, whatever path leads to the folder
        self._owner = real / f"{prefix}owner.json"
        # A singleton counts how often this process has taken the lock.
        self._lock = FileLock(
            real / f"{prefix}lock", timeout=timeout, thread_local=False, is_singleton=shared
        )
        self._guard = _sharing if shared else threading.Lock()
        with self._guard:
            try:
                self._lock.acquire()
                self._write_owner()
                self._held = True
            except Timeout:
                raise StoreLockedError(self._who_holds(what)) from None
            except OSError as error:
                self._lock.release()
                raise unusable(folder, error.strerror or str(error)) from error

    def close(self) -> None:
        """Release the folder; a second call does nothing."""
        with self._guard:
            if not self._held:
                return
            self._held = False
            if self._lock.lock_counter == 1:
                self._owner.unlink(missing_ok=True)
            self._lock.release()

    def _write_owner(self) -> None:
        since = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
        owner = {"pid": os.getpid(), "command": running_command(), "since": since}
        replace_json(self._owner, owner)

    def _who_holds(self, what: str) -> str:
        try:
            known = json.loads(self._owner.read_text("utf-8"))
            who = f"process {known['pid']} ({known['command']}), since {known['since']}"
            if known["pid"] == os.getpid():
                who = f"this very process, since {known['since']}"
        except (OSError, ValueError, KeyError):
            who = "another process"
        return (
            f"{what} is in use by {who}; "
            "wait for it or stop it; a store that is a server serves several (rag.vectordb.type)"
        )


def replace_json(path: Path, content: dict[str, object]) -> None:
    """Write a small JSON file so that a crash leaves the old one or the new one."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with create_private_file(draft) as file:
        file.write(json.dumps(content).encode())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    # Some systems cannot flush a folder; the replacement itself is done.
    with suppress(OSError):
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
