"""Who has a folder open: a lock in it, and a note for the process that comes second."""

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
    """A folder of one process, in which any number of its objects may hold on.

    The first one takes the lock and the last one gives it back.
    """

    _guard = threading.Lock()

    def __init__(self, folder: Path, uri: str, lock_timeout: float = 0.5) -> None:
        """Hold on to the folder.

        Args:
            folder: The folder, which is there.
            uri: Its name in the settings, for messages.
            lock_timeout: Seconds to wait for another process to let go.

        Raises:
            SettingsError: It cannot be written to.
            StoreLockedError: Another process holds it.
        """
        place = folder.resolve()
        self._owner = place / "kvasir-owner.json"
        self._held = False
        # A singleton counts how often this process has taken the lock.
        self._lock = FileLock(
            place / "kvasir-lock", timeout=lock_timeout, thread_local=False, is_singleton=True
        )
        with self._guard:
            try:
                self._lock.acquire()
                self._held = True
                write_owner(self._owner)
            except Timeout:
                raise StoreLockedError(who_holds(f"the folder {uri}", self._owner)) from None
            except OSError as error:
                self._let_go()
                raise unusable(folder, error) from error

    def close(self) -> None:
        """Let go; a second call does nothing."""
        with self._guard:
            self._let_go()

    def _let_go(self) -> None:
        if not self._held:
            return
        self._held = False
        if self._lock.lock_counter == 1:
            self._owner.unlink(missing_ok=True)
        self._lock.release()


def write_owner(path: Path) -> None:
    """Note that this process has a folder open."""
    since = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    replace_json(path, {"pid": os.getpid(), "command": running_command(), "since": since})


def who_holds(what: str, owner: Path) -> str:
    """Return the sentence for the process that comes second.

    Args:
        what: What it wanted, such as ``collection 'manuals' in ./data``.
        owner: The file that ``write_owner`` wrote.
    """
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
    # The step is done; that it is also on the disk is asked for where the system knows how.
    with suppress(OSError):
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
