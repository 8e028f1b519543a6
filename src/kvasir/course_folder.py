"""The folder that a service keeps indexed, ``server.folder``: watched here, ingested by a job.

The job's arguments record the state of the folder that it was added for, and its key is made of
that state and of the job before. So several servers that watch one folder add one job for a change,
and an unchanged folder is ingested once for each start of a server, which embeds nothing.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from kvasir.core.errors import KvasirError, StoppedError
from kvasir.core.run import StopToken
from kvasir.core.services.accounts import CollectionAccess, Visibility
from kvasir.core.services.jobs import Job, JobState, NewJob
from kvasir.ingesting.folder_state import folder_state

if TYPE_CHECKING:
    from kvasir.app import App

logger = logging.getLogger(__name__)

TASK = "ingest_folder"
_UNDONE = (JobState.WAITING, JobState.RUNNING, JobState.FAILED)
_PAUSE = 1.0
"""Seconds between two looks whether the folder was indexed."""


def open_to_users(app: App) -> None:
    """Let every user who is signed in ask the folder's collection.

    Rights that were recorded before stay as they are.
    """
    name, accounts = app.settings.question_collection, app.services.accounts
    if accounts.claim_collection(name, 0):
        accounts.set_access(CollectionAccess(name, 0, Visibility.PUBLIC))


def wait_for_folder(app: App, stop: StopToken) -> bool:
    """Wait until the folder was indexed once; False if the token was set before.

    Answers from half of a course would be refusals that the other half does not deserve. Without
    a folder in the settings there is nothing to wait for.
    """
    was_said = False
    while not stop.is_set():
        try:
            if _was_indexed(app):
                return True
            if not was_said:
                logger.info("questions wait until the folder %s is indexed", app.settings.folder)
                was_said = True
        except KvasirError as error:
            logger.error("questions wait, because the database fails: %s", error)
        except Exception:
            logger.exception("questions wait, because the database fails")
        stop.wait(_PAUSE)
    return False


def _was_indexed(app: App) -> bool:
    if app.settings.folder is None:
        return True
    jobs = app.services.jobs
    if jobs.jobs(task=TASK, states=[JobState.DONE], limit=1):
        return True
    # It was indexed long ago, or by a server whose jobs are in another database.
    is_known = any(each.name == app.settings.question_collection for each in app.collections())
    return is_known and not jobs.jobs(task=TASK, states=_UNDONE, limit=1)


class FolderWatch:
    """Looks at the folder and adds a job when it changed, or when the last one failed."""

    def __init__(self, app: App, stop: StopToken, wake: Callable[[], None]) -> None:
        """Look at nothing yet.

        Args:
            app: Its settings name the folder.
            stop: Ends the watch.
            wake: Called when a job was added.
        """
        self._app = app
        self._stop = stop
        self._wake = wake
        self._folder = app.settings.folder
        self._is_first = True
        self._was_missing = False

    def look(self) -> Job | None:
        """Add a job if one is due; return it.

        Raises:
            KvasirError: The database failed.
        """
        folder = self._folder
        if folder is None:
            return None
        if self._is_first:
            open_to_users(self._app)
        if not folder.is_dir():
            # Not an empty folder: a disk that is not mounted must not delete every document.
            if not self._was_missing:
                logger.warning("there is no folder %s: make it, and put documents into it", folder)
            self._was_missing = True
            return None
        self._was_missing = False
        left_out = self._app.settings.own_paths
        state = folder_state(str(folder), left_out, self._stop)
        last = self._last_job()
        is_due = last is None or self._is_due(last, state)
        self._is_first = False
        if not is_due:
            return None
        before = f"{state} {last.id if last else ''}"
        key = f"folder:{hashlib.sha256(before.encode()).hexdigest()}"
        arguments = {"folder": str(folder), "state": state}
        collection = self._app.settings.question_collection
        return self._app.services.jobs.add(NewJob(TASK, arguments, collection=collection, key=key))

    def run(self) -> None:
        """Look now and again and again, until the token is set; errors end no watch."""
        while not self._stop.is_set():
            try:
                if self.look() is not None:
                    self._wake()
            except StoppedError:
                return
            except KvasirError as error:
                logger.error("the folder %s could not be looked at: %s", self._folder, error)
            except Exception:
                logger.exception("the folder %s could not be looked at", self._folder)
            self._stop.wait(self._app.settings.server.folder_seconds)

    def _last_job(self) -> Job | None:
        found = self._app.services.jobs.jobs(task=TASK, limit=1)
        return found[0] if found else None

    def _is_due(self, last: Job, state: str) -> bool:
        if last.state in (JobState.WAITING, JobState.RUNNING):
            return False
        is_other = last.arguments != {"folder": str(self._folder), "state": state}
        return is_other or self._is_first or last.state is JobState.FAILED
