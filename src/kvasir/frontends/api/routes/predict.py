"""The interface of requirement document 003: ``POST /api/v1/predict``, ``GET /api/v1/health``.

Names, shapes and titles are those of its public implementation.
"""

from __future__ import annotations

from contextlib import ExitStack
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from kvasir.frontends.api.answer_records import record
from kvasir.frontends.api.callers import Kvasir, Reader, check_may_read
from kvasir.frontends.api.generation import open_answer
from kvasir.frontends.api.streaming import whole_response

router = APIRouter(prefix="/api/v1", tags=["predict"])


class MachineLearningDataInput(BaseModel):
    """A question."""

    query: str = Field(min_length=1, max_length=20_000, examples=["How hot is green tea?"])


class MachineLearningResponse(BaseModel):
    """The answer's text."""

    response: str


class HealthResponse(BaseModel):
    """Whether the embedding model works."""

    status: bool


@router.post("/predict", response_model=MachineLearningResponse, name="predict:get-data")
def predict(
    body: MachineLearningDataInput, request: Request, kvasir: Kvasir, caller: Reader
) -> Response:
    """Answer a question from the documents."""
    name, answer_id = kvasir.settings.question_collection, str(uuid4())
    check_may_read(kvasir, caller, name)
    with ExitStack() as opened:
        lease = opened.enter_context(kvasir.collection(name))
        stream = opened.enter_context(open_answer(request, kvasir, lease, body.query))
        until_end = opened.pop_all()

    def make() -> Response:
        with until_end:
            answer = stream.answer
        record(request, kvasir, caller, answer_id, name, body.query, answer)
        return JSONResponse({"response": answer.text}, headers={"Kvasir-Answer": answer_id})

    return whole_response(make)


@router.get(
    "/health",
    response_model=HealthResponse,
    name="health:get-data",
    responses={503: {"description": "the embedding model does not work"}},
)
def health(kvasir: Kvasir) -> JSONResponse:
    """Check that the embedding model works."""
    kvasir.embedder.embed_queries(["health"])
    return JSONResponse({"status": True})
