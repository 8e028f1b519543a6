"""``/v1/tuning``: files for tuning, and the jobs of J2B and FT."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, File, Form, Header, Query, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from kvasir.core.deadline import stopping
from kvasir.core.errors import KvasirError, StoppedError
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.core.services.jobs import Job
from kvasir.core.services.tuning import JobEvent, MemoryNeed
from kvasir.core.wire import to_json
from kvasir.frontends.api.callers import Admin, Kvasir, UploadRoute
from kvasir.frontends.api.problems import describe, describe_unforeseen
from kvasir.frontends.api.routes.jobs import described
from kvasir.frontends.api.service_links import TuningPart, folder_of_tuning, has_tuning, tuning_jobs
from kvasir.frontends.api.streaming import Ending, Put, pushed_stream, server_sent_event
from kvasir.language_models import choose_model
from kvasir.tuning_files import (
    KeptExamples,
    TuningFile,
    is_answer,
    is_good,
    keep_answers,
    keep_examples,
    list_files,
)

router = APIRouter(prefix="/v1/tuning", tags=["tuning"])
uploads = APIRouter(prefix="/v1/tuning", tags=["tuning"], route_class=UploadRoute)

_STATE_TUNE: Final[JsonDict] = {
    "runner": "state",
    "arguments": {"base": "base.pth", "data": "train.jsonl", "steps": 1000},
}
_PREPARE: Final[JsonDict] = {
    "runner": "j2b",
    "arguments": {"files": ["train.jsonl"], "name": "train"},
}
_WAIT_SECONDS = 5.0
_MOST_NAME = 128


class NewTuningJob(BaseModel):
    """A job of `j2b` or `ft`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [_STATE_TUNE, _PREPARE]}
    )
    runner: str = Field(max_length=200, description="`j2b`; `state`, `lora` or `pissa`; a plug-in")
    arguments: dict[str, Any] = Field(description="files by their names in the folder of tuning")
    key: str = Field("", max_length=255, description="the same key adds nothing twice")


class Runners(BaseModel):
    """What a service of tuning can run."""

    is_on: bool = Field(True, description="false if the settings have no such service")
    runners: list[str] = Field(examples=[["lora", "pissa", "state"]])


@router.get("/files", responses={200: {"model": list[TuningFile]}})
def show_files(kvasir: Kvasir, caller: Admin) -> JSONResponse:
    """List the files that jobs may name: JSONL, prepared data, bases and states."""
    del caller
    return JSONResponse(to_json(list_files(folder_of_tuning(kvasir.settings))))


@uploads.post("/files", status_code=201, responses={201: {"model": KeptExamples}})
def upload_file(
    kvasir: Kvasir,
    caller: Admin,
    file: Annotated[UploadFile, File(description='lines of {"text": ...}')],
    name: Annotated[str, Form(max_length=_MOST_NAME, description="default: that of the file")] = "",
) -> JSONResponse:
    """Upload a JSONL file; one with a line that has no text is refused as a whole."""
    del caller
    settings = kvasir.settings
    kept = keep_examples(
        folder_of_tuning(settings),
        name or file.filename or "",
        file.file,
        most_bytes=settings.rag.ingest.max_file_mb << 20,
    )
    return JSONResponse(to_json(kept), 201)


class AnswersFile(BaseModel):
    """A file to make of the log of answers."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=_MOST_NAME, examples=["answers.jsonl"])
    only_good: bool = Field(True, description="only answers that were rated as good")
    collection: str | None = Field(None, description="only answers from this collection")


@router.post("/files/from-answers", status_code=201, responses={201: {"model": KeptExamples}})
def keep_logged_answers(body: AnswersFile, kvasir: Kvasir, caller: Admin) -> JSONResponse:
    """Write the log of answers as a JSONL file, without those that were refused."""
    del caller

    def is_wanted(each: LoggedAnswer) -> bool:
        is_chosen = is_good(each) if body.only_good else is_answer(each)
        return is_chosen and body.collection in (None, each.collection)

    answers = filter(is_wanted, kvasir.services.answer_log.export())
    kept = keep_answers(folder_of_tuning(kvasir.settings), body.name, answers)
    return JSONResponse(to_json(kept), 201)


@router.get("/{part}")
def show_runners(part: TuningPart, kvasir: Kvasir, caller: Admin) -> Runners:
    """Show what a service of tuning can run; without such a service, that it is off."""
    del caller
    if not has_tuning(kvasir.settings, part):
        return Runners(is_on=False, runners=[])
    with tuning_jobs(kvasir.settings, part) as jobs:
        return Runners(runners=list(jobs.runners))


@router.post("/{part}/memory", responses={200: {"model": MemoryNeed | None}})
def estimate_memory(
    part: TuningPart, body: NewTuningJob, kvasir: Kvasir, caller: Admin
) -> JSONResponse:
    """Show the memory that a job would need where it would run; null if its runner knows none."""
    del caller
    with tuning_jobs(kvasir.settings, part) as jobs:
        return JSONResponse(to_json(jobs.memory(body.runner, body.arguments)))


@router.get("/{part}/jobs", responses={200: {"model": list[Job]}})
def list_jobs(
    part: TuningPart,
    kvasir: Kvasir,
    caller: Admin,
    before: Annotated[str, Query(description="the last id of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> JSONResponse:
    """List the jobs of a service of tuning, newest first."""
    with tuning_jobs(kvasir.settings, part) as jobs:
        found = jobs.jobs(limit=limit, before=before)
    return JSONResponse([described(caller, job) for job in found])


@router.post("/{part}/jobs", status_code=202, responses={202: {"model": Job}})
def submit(part: TuningPart, body: NewTuningJob, kvasir: Kvasir, caller: Admin) -> JSONResponse:
    """Add a job; it waits until those before it are done."""
    with tuning_jobs(kvasir.settings, part) as jobs:
        job = jobs.submit(body.runner, body.arguments, key=body.key)
    return JSONResponse(described(caller, job), 202)


@router.get("/{part}/jobs/{job_id}", responses={200: {"model": Job}})
def show_job(part: TuningPart, job_id: str, kvasir: Kvasir, caller: Admin) -> JSONResponse:
    """Show a job: its state, progress, result and error."""
    with tuning_jobs(kvasir.settings, part) as jobs:
        return JSONResponse(described(caller, jobs.job(job_id)))


@router.post("/{part}/jobs/{job_id}/cancel", responses={200: {"model": Job}})
def cancel(part: TuningPart, job_id: str, kvasir: Kvasir, caller: Admin) -> JSONResponse:
    """Cancel a job: at once if it waits, soon if it runs."""
    with tuning_jobs(kvasir.settings, part) as jobs:
        return JSONResponse(described(caller, jobs.cancel(job_id)))


@router.get(
    "/{part}/jobs/{job_id}/events",
    responses={
        200: {
            "content": {
                "text/event-stream": {
                    "example": 'event: report\nid: 12\ndata: {"step": 10, "loss": 2.51}\n\n'
                }
            },
            "description": "`started`, `progress`, `report`, `stopped`, and `job` at the end.",
        }
    },
)
def follow(
    part: TuningPart,
    job_id: str,
    request: Request,
    kvasir: Kvasir,
    caller: Admin,
    after: Annotated[int, Query(ge=0, description="the number of the last known event")] = 0,
    wait: Annotated[bool, Query(description="false: end with the present events")] = True,
    last_event_id: Annotated[int | None, Header(ge=0, description="in place of `after`")] = None,
) -> Response:
    """Send the events of a job after a number, as they come, until it has ended.

    The last event, `job`, is its state then. Leaving does not stop the job.
    """
    settings, first = kvasir.settings, after if last_event_id is None else last_event_id
    with tuning_jobs(settings, part) as jobs:
        jobs.job(job_id)

    def produce(put: Put, ending: Ending) -> None:
        number = first
        try:
            with stopping(ending), tuning_jobs(settings, part) as jobs:
                while True:
                    news = jobs.news(job_id, number, _WAIT_SECONDS if wait else 0.0)
                    for event in news.events:
                        number = event.number
                        put(_event(event))
                    if news.is_over or not (wait or news.events):
                        put(_sse("job", described(caller, news.job)))
                        return
        except StoppedError as error:
            put(_sse("error", describe(ending.error(error), caller)))
        except KvasirError as error:
            put(_sse("error", describe(error, caller)))
        except Exception as error:  # noqa: BLE001 - logged, and the client must see that it failed
            put(_sse("error", describe_unforeseen(request.method, request.url.path, error)))

    return pushed_stream(produce)


def _event(event: JobEvent) -> str:
    return _sse(event.kind, event.data, event.number)


def _sse(name: str, data: Mapping[str, Any], number: int | None = None) -> str:
    return server_sent_event(json.dumps(data, ensure_ascii=False), event=name, number=number)


@router.post("/ft/jobs/{job_id}/use", status_code=202)
def use_result(job_id: str, kvasir: Kvasir, caller: Admin) -> Response:
    """Have the service llm use the base and the result of a job: a state or an adapter.

    It changes the settings file of the running services, whose workers of llm are replaced one
    after the other.
    """
    del caller
    with tuning_jobs(kvasir.settings, "ft") as jobs:
        job = jobs.job(job_id)
    settings, base = kvasir.settings, str(job.arguments.get("base", ""))
    choose_model(settings.data_folder, folder_of_tuning(settings), base, job=job)
    return Response(status_code=202)
