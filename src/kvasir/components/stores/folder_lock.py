"""A lock on a folder, with a note about its owner for other processes."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from kvasir.components.stores.store_uris import unusable
from kvasir.core.environment import running_command
from kvasir.core.errors import StoreLockedError


class SharedFolder:
    """A folder of one process, shared by its objects: the last one to close releases the lock."""

    _guard = threading.Lock()

    def __init__(self, folder: Path, uri: str, lock_timeout: float = 0.5) -> None:
        """Lock the folder.

        Args:
            folder: An existing folder.
            uri: Its name in the settings, for messages.
            lock_timeout: Seconds to wait for another process to release it.

        Raises:
            SettingsError: It cannot be written to.
            StoreLockedError: Another process holds it.
        """
        real = folder.resolve()  # one lock, whatever path leads to the folder
        self._owner = real / "kvasir-owner.json"
        self._held = False
        # A singleton counts how often this process has taken the lock.
        self._lock = FileLock(
            real / "kvasir-lock", timeout=lock_timeout, thread_local=False, is_singleton=True
        )
        with self._guard:
            try:
                self._lock.acquire()
                self._held = True
                write_owner(self._owner)
            except Timeout:
                raise StoreLockedError(who_holds(f"the folder {uri}", self._owner)) from None
            except OSError as error:
                self._release()
                raise unusable(folder, error) from error

    def close(self) -> None:
        """Release the folder; a second call does nothing."""
        with self._guard:
            self._release()

    def _release(self) -> None:
        if not self._held:
            return
        self._held = False
        if self._lock.lock_counter == 1:
            self._owner.unlink(missing_ok=True)
        self._lock.release()


def write_owner(path: Path) -> None:
    """Write a note that this process has a folder open."""
    since = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    replace_json(path, {"pid": os.getpid(), "command": running_command(), "since": since})


def who_holds(what: str, owner: Path) -> str:
    """Return a message that says which process uses ``what``; ``owner`` is the owner's note."""
    try:
        known = json.loads(owner.read_text("utf-8"))
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
    with draft.open("w", encoding="utf-8") as file:
        json.dump(content, file)
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
