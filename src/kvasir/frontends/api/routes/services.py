"""``/v1/services``: the ZeroMQ services that run for the server's data folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from kvasir.core.errors import ComponentError, NotFoundError
from kvasir.frontends.api.callers import Admin, Kvasir
from kvasir.frontends.api.service_links import starter
from kvasir.settings.running_services import read_record

router = APIRouter(prefix="/v1/services", tags=["services"])

_MOST_WORKERS = 256
_PROCESS = {
    "name": "llm worker 1",
    "state": "ready",
    "pid": 4321,
    "seconds": 86.2,
    "restarts": 0,
    "deaths_in_a_row": 0,
    "last_end": None,
    "starts_in": None,
}
ServiceName = Annotated[
    str, Path(max_length=64, description="such as llm", openapi_examples={"llm": {"value": "llm"}})
]


class Queue(BaseModel):
    """The calls of one service."""

    model_config = ConfigDict(extra="allow")
    waiting: int = Field(examples=[0])
    running: int = Field(examples=[1])
    served: int = Field(examples=[1024])


class WorkerGroup(BaseModel):
    """The workers of a service."""

    name: str = Field(examples=["llm"])
    is_on: bool = Field(
        description="false after `stop`, and while it ends because the settings turned it off"
    )
    wanted: int = Field(examples=[1], description="how many workers there should be")
    min: int = Field(examples=[1])
    max: int = Field(examples=[4])
    is_replacing: bool = Field(description="workers are being replaced, one after the other")
    workers: list[dict[str, Any]] = Field(examples=[[_PROCESS]])
    remote_workers: list[str] = Field(description="those of other machines", examples=[[]])
    queues: dict[str, Queue]


class RunningService(BaseModel):
    """A broker and its workers."""

    name: str = Field(examples=["llm"])
    front_ends: list[str] = Field(examples=[["tcp://127.0.0.1:7781"]])
    back_ends: list[str] = Field(examples=[["tcp://127.0.0.1:7782"]])
    broker: dict[str, Any] = Field(examples=[{**_PROCESS, "name": "llm broker"}])
    groups: list[WorkerGroup]


class ServicesStatus(BaseModel):
    """What `kvasir services start` runs for the server's data folder."""

    is_running: bool = Field(description="false if no services run; then the rest is empty")
    config: str | None = Field(None, examples=["/srv/kvasir/ragq.yml"])
    since: float | None = Field(None, description="seconds since 1970")
    services: list[RunningService] = []
    servers: list[dict[str, Any]] = Field([], description="other programs, such as Chroma")


@router.get("")
def show_services(kvasir: Kvasir, caller: Admin) -> ServicesStatus:
    """Show the services that run: brokers, workers and queues."""
    del caller
    if read_record(kvasir.settings.data_folder) is None:
        return ServicesStatus(is_running=False)
    with starter(kvasir.settings) as client:
        return ServicesStatus(is_running=True, **_known(client.status()))


class Scale(BaseModel):
    """How many workers a service is to have."""

    model_config = ConfigDict(extra="forbid")
    workers: int = Field(ge=1, le=_MOST_WORKERS, examples=[3])


@router.post("/{service}/scale", status_code=202)
def scale(service: ServiceName, body: Scale, kvasir: Kvasir, caller: Admin) -> WorkerGroup:
    """Set how many workers a service has; its state shows when they are there.

    Requests that a worker has are answered before it ends.
    """
    del caller
    with starter(kvasir.settings) as client:
        client.scale(service, body.workers)
        return _group(client.status(), service)


@router.post("/{service}/restart", status_code=202)
def restart(service: ServiceName, kvasir: Kvasir, caller: Admin) -> WorkerGroup:
    """Replace the workers of a service one after the other; turn it on if it was stopped."""
    del caller
    with starter(kvasir.settings) as client:
        client.restart([service])
        return _group(client.status(), service)


def _known(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: status[name] for name in ("config", "since", "services", "servers")}


def _group(status: Mapping[str, Any], name: str) -> WorkerGroup:
    """Return the workers of a service that has just been changed."""
    for each in _groups(status):
        if each["name"] == name:
            return WorkerGroup(**each)
    if status.get("is_ending"):
        raise ComponentError("the services", "changing", "they end", kind="unreachable")
    raise NotFoundError(f"there is no service '{name}'")


def _groups(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for service in status["services"]:
        yield from service["groups"]
