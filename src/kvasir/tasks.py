"""What jobs do: functions of ids and short values, over the process's ``App``.

A job names one of them in ``task``. Bytes wait in the spool; a job has their digest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from kvasir.app import App
from kvasir.core.errors import ExtractionError, FetchError, KvasirError, RequestError
from kvasir.core.reports import IngestReport
from kvasir.core.run import Run
from kvasir.core.services.accounts import CollectionAccess, Visibility
from kvasir.core.services.jobs import Job
from kvasir.core.types import LocalFile, Source
from kvasir.core.wire import to_json

logger = logging.getLogger(__name__)


def perform(app: App, job: Job, run: Run) -> Any:
    """Do a job; return its result as plain data.

    Raises:
        RequestError: The job cannot succeed, however often it is tried.
        StoppedError: The run was stopped.
    """
    task = TASKS.get(job.task)
    if task is None:
        raise RequestError(f"there is no task '{job.task}'")
    return task(app, job, run)


def ingest_upload(app: App, job: Job, run: Run) -> Any:
    """Index an upload: ``uri``, ``media_type``, ``digest``, ``metadata`` and ``on_conflict``."""
    given = job.arguments
    with app.services.spool.open(given["digest"]) as stream:
        data = stream.read()
    source = Source(given["uri"], given.get("media_type", ""))
    with app.collection(job.collection) as collection:
        report = collection.ingest(
            (source, data),
            on_conflict=given.get("on_conflict"),
            metadata=given.get("metadata"),
            run=run,
        )
    _check(report)
    if not app.settings.server.keep_originals:
        app.services.spool.delete(given["digest"])
    return to_json(report)


def ingest_address(app: App, job: Job, run: Run) -> Any:
    """Fetch and index an address: ``url``, ``metadata`` and ``on_conflict``."""
    given = job.arguments
    with app.collection(job.collection) as collection:
        report = collection.ingest(
            given["url"],
            on_conflict=given.get("on_conflict"),
            metadata=given.get("metadata"),
            run=run,
        )
    _check(report)
    return to_json(report)


def ingest_folder(app: App, job: Job, run: Run) -> Any:
    """Make the collection equal to a folder of this machine: ``folder``, which settings name.

    Files that cannot be read are in the report and do not fail the job. The collection is for all
    users who are signed in, unless rights on it were recorded before.
    """
    folder = app.settings.folder
    if folder is None or str(folder) != job.arguments["folder"]:
        # A job must not open a path that the settings do not name.
        raise RequestError(f"server.folder is not '{job.arguments['folder']}' any more")
    accounts = app.services.accounts
    if accounts.claim_collection(job.collection, 0):
        accounts.set_access(CollectionAccess(job.collection, 0, Visibility.PUBLIC))
    with app.collection(job.collection) as collection:
        report = collection.ingest(LocalFile(str(folder)), prune=True, run=run)
    for failed in report.failed:
        logger.warning("the folder's %s", failed.line)
    return to_json(report)


def _check(report: IngestReport) -> None:
    """Raise the error of the one source that failed."""
    for failed in report.failed:
        raise _error_of(failed.reason, failed.message)


def _error_of(reason: str, message: str) -> KvasirError:
    if reason == "fetch":
        return FetchError(message)
    return ExtractionError(reason, message)


TASKS: Mapping[str, Callable[[App, Job, Run], Any]] = {
    "ingest_upload": ingest_upload,
    "ingest_address": ingest_address,
    "ingest_folder": ingest_folder,
}
"""Every task by name."""
