"""The questions of requirement document 004: ``GET /``, ``POST /`` and ``GET /receive-prompt``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from kvasir.frontends.api.callers import Answerer, Kvasir, Reader
from kvasir.frontends.api.routes.questions import (
    LONGEST_INPUT,
    IdempotencyKey,
    add_question,
    claimed_content,
)

router = APIRouter(tags=["course"])

_STORED = {
    "en": "the question was stored; the answer will be mailed to {}",
    "es": "la consulta fue almacenada; la respuesta se enviará a {}",
}
_KEPT = {
    "en": "the question was stored; GET /v1/questions/{} will have the answer",
    "es": "la consulta fue almacenada; GET /v1/questions/{} tendrá la respuesta",
}
_NO_STORE = {"Cache-Control": "no-store"}


class Prompt(BaseModel):
    """A question."""

    input: str = Field(
        min_length=1, max_length=LONGEST_INPUT, examples=["How hot is green tea brewed?"]
    )


class Status(BaseModel):
    """The state of the service."""

    Status: str = Field(examples=["API is up!"])


class Stored(BaseModel):
    """What was done."""

    message: str
    id: str


class ClaimedPrompt(BaseModel):
    """The oldest question without an answer, and its lease."""

    id: str = Field(alias="_id")
    input: str
    date: str
    output: None
    status: None
    collection: str
    language: str
    token: str = Field(description="gives the answer back")
    lease_seconds: float


@router.get("/", response_model=Status)
def service_status() -> dict[str, str]:
    """Say that the service is up."""
    return {"Status": "API is up!"}


@router.post("/", status_code=201, response_model=Stored)
def input_prompt(
    body: Prompt,
    request: Request,
    kvasir: Kvasir,
    caller: Reader,
    key: IdempotencyKey = None,
) -> JSONResponse:
    """Ask a question; the answer comes by mail, or is fetched by the question's id."""
    question = add_question(kvasir, caller, body.input, key=key)
    request.app.state.wake_workers()
    is_mailed = bool(question.email and kvasir.settings.mail.host)
    texts, where = (_STORED, question.email) if is_mailed else (_KEPT, question.id)
    said = texts.get(question.language, texts["en"]).format(where)
    return JSONResponse({"message": said, "id": question.id}, 201)


@router.get("/receive-prompt", response_model=None, responses={200: {"model": ClaimedPrompt}})
def receive_prompt(
    kvasir: Kvasir,
    _: Answerer,
    lease_seconds: Annotated[
        float, Query(gt=0, le=3600, description="answer or prolong the lease within this time")
    ] = 120.0,
) -> JSONResponse:
    """Take the oldest question without an answer, for an answering service; null if none waits.

    The question is yours for the time of the lease: `POST /v1/questions/{id}/answer` answers it.
    """
    claimed = kvasir.services.questions.claim(lease_seconds=lease_seconds)
    content: dict[str, Any] | None = None
    if claimed is not None:
        content = claimed_content(claimed, lease_seconds)
    return JSONResponse(content, headers=_NO_STORE)
