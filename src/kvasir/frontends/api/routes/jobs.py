"""``/v1/jobs``: the state of work in the background."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from kvasir.app import App
from kvasir.core.deadline import sleep
from kvasir.core.error_forms import error_from
from kvasir.core.errors import NotFoundError
from kvasir.core.services.accounts import Caller
from kvasir.core.services.jobs import Job, JobState
from kvasir.core.wire import to_json
from kvasir.frontends.api.caching import cached
from kvasir.frontends.api.callers import Kvasir, Reader, Writer
from kvasir.frontends.api.problems import detail_of
from kvasir.frontends.api.streaming import whole_response

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_OPEN = (JobState.WAITING, JobState.RUNNING)
_LONGEST_DELAY = 0.5
"""Seconds between two looks whether a job has ended, or the server stops."""
Wait = Annotated[float, Query(ge=0, le=60, description="most seconds to wait until it has ended")]


@router.get("", responses={200: {"model": list[Job]}})
def list_jobs(
    request: Request,
    kvasir: Kvasir,
    caller: Reader,
    collection: str | None = None,
    state: Annotated[list[JobState], Query()] = [],  # noqa: B006 - FastAPI copies it
    before: Annotated[str, Query(description="the last id of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List your jobs, newest first; an administrator sees those of all users."""
    own = None if caller.is_admin else caller.user_id
    if before:
        _visible(kvasir, caller, before)
    found = kvasir.services.jobs.jobs(
        user_id=own, collection=collection, states=state, before=before, limit=limit
    )
    return cached(request, [described(caller, job) for job in found])


@router.get("/{job_id}", responses={200: {"model": Job}})
def show(
    job_id: str, request: Request, kvasir: Kvasir, caller: Reader, wait: Wait = 0.0
) -> Response:
    """Show a job: its state, position, why it waits, its progress and its error."""
    job = _visible(kvasir, caller, job_id)
    return respond(request, kvasir, job, wait, lambda at: cached(request, described(caller, at)))


@router.post("/{job_id}/cancel", responses={200: {"model": Job}})
def cancel(job_id: str, kvasir: Kvasir, caller: Writer) -> JSONResponse:
    """Cancel a job."""
    _visible(kvasir, caller, job_id)
    return JSONResponse(described(caller, kvasir.services.jobs.cancel(job_id)))


@router.post("/{job_id}/retry", responses={200: {"model": Job}})
def retry(job_id: str, request: Request, kvasir: Kvasir, caller: Writer) -> JSONResponse:
    """Try a failed or cancelled job again."""
    _visible(kvasir, caller, job_id)
    job = kvasir.services.jobs.retry(job_id)
    request.app.state.wake_workers()
    return JSONResponse(described(caller, job))


def described(caller: Caller, job: Job) -> Any:
    """Return a job as plain data, with as much of its error as the caller may know."""
    if job.code:
        message = detail_of(error_from(job.code, job.message, {"name": job.collection}), caller)
        job = replace(job, message=message, reason=job.reason.replace(job.message, message))
    return to_json(job)


def respond(
    request: Request, kvasir: App, job: Job, wait: float, render: Callable[[Job], Response]
) -> Response:
    """Return a response about a job, as soon as it has ended or the client has waited enough.

    A server that stops lets nobody wait: the job goes on when it is back.
    """
    readiness = request.app.state.readiness

    def make() -> Response:
        end, found, delay = time.monotonic() + wait, job, 0.05
        while found.state in _OPEN and time.monotonic() < end and not readiness.is_draining:
            sleep(delay)
            delay = min(_LONGEST_DELAY, 1.5 * delay)
            found = kvasir.services.jobs.job(job.id)
        return render(found)

    return whole_response(make) if wait and job.state in _OPEN else render(job)


def _visible(kvasir: App, caller: Caller, job_id: str) -> Job:
    job = kvasir.services.jobs.job(job_id)
    if job.user_id != caller.user_id and not caller.is_admin:
        raise NotFoundError(f"there is no job '{job_id}'")
    return job
