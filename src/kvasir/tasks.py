"""What jobs do: functions of ids and short values, over the process's ``App``.

A job names one of them in ``task``. Bytes wait in the spool; a job has their digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kvasir.app import App
from kvasir.core.errors import ExtractionError, FetchError, KvasirError, RequestError
from kvasir.core.reports import IngestReport
from kvasir.core.run import Run
from kvasir.core.services.jobs import Job
from kvasir.core.types import Source
from kvasir.core.wire import to_json
from kvasir.derived_app import with_settings


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


def ingest_batch(app: App, job: Job, run: Run) -> Any:
    """Index several sources: ``sources``, each with ``url`` or ``uri`` and ``digest``.

    A source that fails is part of the report. ``settings`` are those of the administrator who
    added the job, by dotted key.
    """
    given = job.arguments
    with (
        with_settings(app, given.get("settings", {})) as chosen,
        chosen.collection(job.collection) as collection,
    ):
        report = collection.ingest(
            *(_input(app, source) for source in given["sources"]),
            on_conflict=given.get("on_conflict"),
            metadata=given.get("metadata"),
            run=run,
            build_graph=given.get("build_graph", True),
        )
    if not report.interrupted and not app.settings.server.keep_originals:
        for source in given["sources"]:
            if "digest" in source:
                app.services.spool.delete(source["digest"])
    return to_json(report)


def _input(app: App, source: Mapping[str, Any]) -> str | tuple[Source, bytes]:
    if "url" in source:
        return str(source["url"])
    with app.services.spool.open(source["digest"]) as stream:
        return Source(source["uri"], source["media_type"]), stream.read()


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
    "ingest_batch": ingest_batch,
}
"""Every task by name."""
