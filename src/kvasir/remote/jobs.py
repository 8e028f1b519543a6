"""Jobs at a server, as their caller follows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote

from kvasir.core.error_forms import error_from
from kvasir.core.errors import (
    CollectionNotFoundError,
    KvasirError,
    NameTakenError,
    StoppedError,
)
from kvasir.core.reports import WebIngestReport
from kvasir.core.run import Run
from kvasir.core.services.jobs import Job, JobState
from kvasir.core.wire import from_json
from kvasir.remote.client import ServerClient

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
"""Seconds between two looks at a job."""


def await_job(client: ServerClient, job_id: str, run: Run, show: Callable[[Job], None]) -> Job:
    """Return a job when it is done, failed or cancelled, or waits to be tried again.

    ``show`` gets it each time that it has not ended.

    Raises:
        StoppedError: The run was stopped; the job goes on.
    """
    pause = _FIRST_PAUSE
    while True:
        run.check()
        job = from_json(Job, client.get(f"/v1/jobs/{job_id}", "waiting"))
        # A failed one that waits to be tried again would make us wait, too.
        if job.code or job.state not in (JobState.WAITING, JobState.RUNNING):
            return job
        show(job)
        run.stop.wait(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def result_of(job: Job) -> Any:
    """Return the result of a job that has ended; raise the error that it ended with."""
    if job.state is JobState.DONE:
        return job.result
    raise error_from(job.code or "stopped", job.message or "the job was cancelled")


def cancel_job(client: ServerClient, job_id: str) -> None:
    """Cancel a job, if the server can be reached; one that has ended stays as it is."""
    with suppress(KvasirError):
        client.post(f"/v1/jobs/{job_id}/cancel", "cancelling")


def making_collection(client: ServerClient, name: str, send: Callable[[], T]) -> T:
    """Return the reply of a request; make its collection if the caller has none of this name."""
    try:
        return send()
    except CollectionNotFoundError as error:
        try:
            client.post("/v1/collections", "making the collection", {"name": name})
        except NameTakenError:
            raise error from None
        return send()


def search_web(
    client: ServerClient, collection: str, content: Mapping[str, Any], pending: set[str], run: Run
) -> WebIngestReport:
    """Search the web at a server, which ingests the pages.

    ``pending`` has the job's id until it has ended. A job that is not waited for to its end is
    cancelled: after a stop, of which the report says that it was interrupted, and after a failure,
    since the server would try it again.
    """
    run.check()
    path = f"/v1/collections/{quote(collection, safe='')}/documents/from-web"
    given = {key: value for key, value in content.items() if value is not None}
    sent = making_collection(
        client, collection, lambda: client.post(path, "searching the web", given)
    )
    job_id = from_json(Job, sent).id
    pending.add(job_id)

    def show(job: Job) -> None:
        if job.progress is not None:
            run.progress(job.progress)

    job: Job | None = None
    try:
        job = await_job(client, job_id, run, show)
    except StoppedError:
        return WebIngestReport(interrupted=True, query=content["query"])
    finally:
        if job is None or job.state is not JobState.DONE:
            cancel_job(client, job_id)
        pending.discard(job_id)
    return from_json(WebIngestReport, result_of(job))
