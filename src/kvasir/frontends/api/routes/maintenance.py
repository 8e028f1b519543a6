"""``/v1/collections/{name}/...``: the work on whole collections, mostly for administrators."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from kvasir.app import App
from kvasir.collection import Calibration, Collection, read_questions
from kvasir.core.errors import ForbiddenError, RequestError, UnknownComponentError
from kvasir.core.run import Run
from kvasir.core.services.accounts import Caller
from kvasir.core.types import StoreAddress
from kvasir.core.wire import from_json
from kvasir.embedding_models import names_folder
from kvasir.frontends.api.callers import (
    Admin,
    Chosen,
    Kvasir,
    Reader,
    Writer,
    check_may_read,
    check_may_write,
)
from kvasir.frontends.api.operations import EVENTS, long_work
from kvasir.settings.store_uris import is_embedded

router = APIRouter(prefix="/v1/collections/{name}", tags=["maintenance"])


class Count(BaseModel):
    """How many chunks a collection has."""

    chunks: int


@router.get("/count")
def count(name: str, kvasir: Kvasir, caller: Reader) -> Count:
    """Count the chunks of a collection's documents."""
    check_may_read(kvasir, caller, name)
    with kvasir.collection(name) as collection:
        return Count(chunks=collection.chunk_count())


class Optimization(BaseModel):
    """How the search graph is built."""

    model_config = ConfigDict(extra="forbid")
    wait: bool = Field(False, description="end when it is in use")


@router.post("/optimize", responses=EVENTS)
def optimize(
    name: str, body: Optimization, request: Request, kvasir: Kvasir, caller: Writer
) -> Response:
    """Build the search graph where it is due."""
    check_may_write(kvasir, caller, name)
    return _work(
        request, kvasir, caller, name, lambda found, run: found.optimize(wait=body.wait, run=run)
    )


@router.post("/inspect", responses=EVENTS)
def inspect(name: str, request: Request, kvasir: Kvasir, caller: Admin) -> Response:
    """Compare catalog and store chunk by chunk; change nothing."""
    return _work(request, kvasir, caller, name, lambda found, run: found.inspect(run=run))


@router.post("/repair", responses=EVENTS)
def repair(name: str, request: Request, kvasir: Kvasir, caller: Admin) -> Response:
    """Make the store equal to the catalog."""
    return _work(request, kvasir, caller, name, lambda found, run: found.repair(run=run))


@router.post("/restore", responses=EVENTS)
def restore(name: str, request: Request, kvasir: Kvasir, caller: Admin) -> Response:
    """Write the chunks that the store lacks, from the catalog."""
    return _work(request, kvasir, caller, name, lambda found, run: found.restore(run=run))


class ChosenModel(BaseModel):
    """The embedding model that a collection is to have."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(
        min_length=1,
        max_length=4096,
        description="a short name, or a name on the hub",
        examples=["multilingual"],
    )
    kind: str | None = Field(None, max_length=200, description="the embedder that runs it")


@router.post("/model", responses=EVENTS)
def use_model(
    name: str, body: ChosenModel, request: Request, kvasir: Kvasir, caller: Admin
) -> Response:
    """Embed the collection again by another model; the former one answers until it is done."""
    if body.kind and ":" in body.kind:
        raise RequestError("a request cannot name a class to import")
    is_local = _is_local_owner(request, caller)
    if not is_local and names_folder(kvasir.settings, body.name, Path.cwd()):
        raise ForbiddenError(
            "a server opens no folder that is named from outside: use 'multilingual', 'english' or "
            "OWNER/MODEL on the hub, or run 'kvasir models use' on the server's machine"
        )
    return _work(
        request,
        kvasir,
        caller,
        name,
        lambda found, run: found.use_model(body.name, kind=body.kind, run=run),
    )


class Questions(BaseModel):
    """Questions for a calibration; those that are not given are made."""

    model_config = ConfigDict(extra="forbid")
    answered: list[str] | None = Field(None, description="that the documents answer")
    unanswered: list[str] | None = Field(None, description="that they do not answer")
    apply: bool | None = Field(None, description="keep the result always, or never")


@router.post("/calibrate", responses=EVENTS)
def calibrate(
    name: str, body: Questions, request: Request, kvasir: Chosen, caller: Admin
) -> Response:
    """Fit the decision to refuse to the collection."""
    return _work(
        request,
        kvasir,
        caller,
        name,
        lambda found, run: found.calibrate(
            body.answered, body.unanswered, apply=body.apply, run=run
        ),
    )


class JudgedQuestions(BaseModel):
    """Questions whose good answers are known."""

    model_config = ConfigDict(extra="forbid")
    questions: list[dict[str, Any]] = Field(description="as in the lines of a question file")
    half: str | None = Field(None, description="ask one half of them: fit or report")


@router.post("/evaluate", responses=EVENTS)
def evaluate(
    name: str, body: JudgedQuestions, request: Request, kvasir: Chosen, caller: Admin
) -> Response:
    """Ask questions whose good answers are known, and judge what is answered."""
    questions = read_questions(body.questions)
    return _work(
        request,
        kvasir,
        caller,
        name,
        lambda found, run: found.evaluate(questions, half=body.half, run=run),
    )


class StoredCalibration(BaseModel):
    """A decision to refuse, as the record of a collection has it; null is the shipped one."""

    model_config = ConfigDict(extra="forbid")
    calibration: dict[str, Any] | None


@router.put("/calibration", status_code=204)
def keep_calibration(name: str, body: StoredCalibration, kvasir: Kvasir, caller: Admin) -> Response:
    """Store a decision to refuse with the collection."""
    with kvasir.collection(name) as collection:
        given = body.calibration
        collection.keep_calibration(None if given is None else from_json(Calibration, given))
    return Response(status_code=204)


class Target(BaseModel):
    """The address of a store."""

    model_config = ConfigDict(extra="forbid")
    type: str = Field(max_length=200, examples=["qdrant-server"])
    uri: str = Field(max_length=4096, examples=["http://qdrant:6333"])
    token: str | None = Field(None, json_schema_extra={"format": "password"})
    username: str | None = None
    password: str | None = Field(None, json_schema_extra={"format": "password"})


class Copy(BaseModel):
    """Where a collection is copied to."""

    model_config = ConfigDict(extra="forbid")
    to: Target
    name: str | None = Field(None, min_length=1, max_length=64, pattern=r"^[\w.-]+$")
    exact: bool = Field(False, description="delete what is there beyond the collection")


@router.post("/copy", responses=EVENTS)
def copy(name: str, body: Copy, request: Request, kvasir: Kvasir, caller: Admin) -> Response:
    """Copy the collection to another store; nothing is embedded again."""
    _check_target(kvasir, body.to, may_write_anywhere=_is_local_owner(request, caller))
    to = StoreAddress(**body.to.model_dump())
    return _work(
        request,
        kvasir,
        caller,
        name,
        lambda found, run: found.copy(to, name=body.name, exact=body.exact, run=run),
    )


def _is_local_owner(request: Request, caller: Caller) -> bool:
    """Return True for the user of this process, who may open and write any folder anyway."""
    return caller.user is None and bool(request.app.state.owner_is_local)


def _check_target(kvasir: App, to: Target, *, may_write_anywhere: bool) -> None:
    """Let a request write into a folder of the server only if its user may do so anyway."""
    if ":" in to.type:
        raise RequestError("a request cannot name a class to import")
    try:
        is_here = is_embedded(StoreAddress(to.type, to.uri))
    except UnknownComponentError as error:
        raise RequestError(str(error)) from error
    if not is_here or may_write_anywhere:
        return
    data_folder = os.path.realpath(kvasir.settings.data_folder)
    if not os.path.realpath(to.uri.removeprefix("file://")).startswith(data_folder + os.sep):
        raise ForbiddenError("a copy goes to a server, or into the data folder of this one")


def _work(
    request: Request,
    kvasir: App,
    caller: Caller,
    name: str,
    work: Callable[[Collection, Run], Any],
) -> Response:
    check_may_read(kvasir, caller, name)

    def in_collection(run: Run) -> Any:
        with kvasir.collection(name) as collection:
            return work(collection, run)

    return long_work(request, caller, in_collection)
