"""``/v1/model-files`` and ``/v1/llm``: models on the server's machine, and what llm runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from kvasir.app import App
from kvasir.core.errors import ComponentError, MissingExtraError, RequestError
from kvasir.core.services.jobs import Job
from kvasir.core.wire import to_json
from kvasir.frontends.api.callers import Admin, Kvasir
from kvasir.frontends.api.operations import EVENTS, long_work
from kvasir.frontends.api.service_links import folder_of_tuning, running_settings, tuning_jobs
from kvasir.language_models import (
    ChosenModel,
    LanguageModelFile,
    choose_model,
    chosen_model,
    job_of,
    model_files,
)

router = APIRouter(prefix="/v1", tags=["models"])

_MOST_JOBS = 1000
_HUB_NAME = r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(/[\w.-]+)*$"


class ModelFile(BaseModel):
    """A model on the server's machine."""

    name: str = Field(examples=["sentence-transformers/all-MiniLM-L6-v2"])
    format: str = Field(description="`safetensors`, `pytorch` or `gguf`")
    dimension: int | None = Field(description="of embedding models", examples=[384])
    size: int = Field(description="bytes", examples=[91_000_000])
    origin: str = Field(description="`package`, `downloaded` or `cache`")


@router.get("/model-files")
def list_models(kvasir: Kvasir, caller: Admin) -> list[ModelFile]:
    """List the embedding and language models on the server's machine."""
    del caller
    return [
        ModelFile(
            name=each.name,
            format=each.format,
            dimension=each.dimension,
            size=each.size,
            origin=each.origin,
        )
        for each in kvasir.models()
    ]


class WantedModel(BaseModel):
    """A model to fetch from the hub."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=300)] = Field(
        description="OWNER/MODEL, or OWNER/MODEL/FILE of a .gguf or .pth file",
        pattern=_HUB_NAME,
        examples=["BAAI/bge-m3"],
    )


@router.post("/model-files/fetch", responses=EVENTS)
def fetch_model(body: WantedModel, request: Request, kvasir: Kvasir, caller: Admin) -> Response:
    """Fetch a model from the hub into the server's data folder; what has arrived is kept."""

    def work(run: Any) -> Any:
        found = kvasir.pull_model(body.name, run=run)
        return {"name": found.name, "format": found.format, "size": found.size}

    return long_work(request, caller, work)


class Llm(BaseModel):
    """What the service llm runs, and what it could run."""

    base: str = Field(description="empty: answers quote the documents", examples=["base.pth"])
    state: str = Field(description="a tuned state; empty: none", examples=[""])
    adapter: str = Field(description="a LoRA or PiSSA adapter; empty: none", examples=[""])
    can_change: bool = Field(description="false: no services run, or their file says otherwise")
    files: list[LanguageModelFile]


@router.get("/llm", responses={200: {"model": Llm}})
def show_llm(kvasir: Kvasir, caller: Admin) -> JSONResponse:
    """Show which model and state the service llm has, and which it could have."""
    del caller
    return JSONResponse(_llm(kvasir))


class WantedLlm(BaseModel):
    """What the service llm is to run."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"base": "base.pth", "tuned": "job/ID"}]}
    )
    base: str = Field("", max_length=300, description="empty: answers quote the documents")
    tuned: str = Field(
        "", max_length=300, description="a state, or `job/ID` for the result of a job"
    )


@router.put("/llm", status_code=202, responses={202: {"model": Llm}})
def change_llm(body: WantedLlm, kvasir: Kvasir, caller: Admin) -> JSONResponse:
    """Have the service llm use another base, state or adapter.

    It changes the settings file of the running services, whose workers of llm are replaced one
    after the other. Only names of `files` are taken, and never a path.
    """
    del caller
    settings, job = kvasir.settings, None
    if body.tuned and not body.base:
        raise RequestError("name the base that the state or adapter belongs to")
    if job_id := job_of(body.tuned):
        with tuning_jobs(settings, "ft") as jobs:
            job = jobs.job(job_id)
    files, tuned = folder_of_tuning(settings), "" if job else body.tuned
    choose_model(settings.data_folder, files, body.base, tuned, job)
    return JSONResponse(_llm(kvasir), 202)


def _llm(kvasir: App) -> dict[str, Any]:
    settings = kvasir.settings
    chosen: ChosenModel = chosen_model(settings, running_settings(settings))
    folder = folder_of_tuning(settings)
    files: list[LanguageModelFile] = model_files(settings.data_folder, folder, _jobs(kvasir))
    return {**to_json(chosen), "files": to_json(files)}


def _jobs(kvasir: App) -> list[Job]:
    """Return the jobs of ft; none if the service does not run."""
    try:
        with tuning_jobs(kvasir.settings, "ft") as jobs:
            return jobs.jobs(limit=_MOST_JOBS)
    except (ComponentError, MissingExtraError):
        return []
