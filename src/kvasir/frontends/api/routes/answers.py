"""``/v1/collections/{name}/answers``: answers, whole or streamed, and feedback on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from kvasir.core.errors import KvasirError
from kvasir.core.types import Answer, AnswerEvent, Finished, Retrieved, Text
from kvasir.core.wire import to_json
from kvasir.frontends.api.answer_records import record
from kvasir.frontends.api.callers import Chosen, Kvasir, Reader, check_may_read
from kvasir.frontends.api.problems import describe
from kvasir.frontends.api.streaming import event_stream, server_sent_event

router = APIRouter(prefix="/v1", tags=["answers"])


class AnswerBody(BaseModel):
    """A question."""

    model_config = ConfigDict(extra="forbid")
    question: str = Field(min_length=1, max_length=20_000, examples=["How hot is green tea?"])
    top_k: int | None = Field(None, ge=1, le=1000)
    min_score_threshold: float | None = Field(None, ge=0.0, le=1.0)
    filters: str | dict[str, Any] | None = Field(None, examples=["language=en"])
    stream: bool = Field(False, description="answer with server-sent events")


_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Answer,
        "description": "The answer; with `stream`, the events `hits`, `text`, ... and `answer`. "
        "The header `Kvasir-Answer` has the id for feedback.",
    }
}


@router.post("/collections/{name}/answers", responses=_STREAM)
def answer(
    name: str, body: AnswerBody, request: Request, kvasir: Chosen, caller: Reader
) -> Response:
    """Answer a question from a collection, with citations."""
    check_may_read(kvasir, caller, name)
    lease = kvasir.collection(name)
    stream = lease.stream(
        body.question,
        top_k=body.top_k,
        min_score_threshold=body.min_score_threshold,
        filters=body.filters,
    )
    # The stream has a lease of its own from its first step on.
    answer_id = str(uuid4())
    headers = {"Kvasir-Answer": answer_id}

    def finished(whole: Answer) -> None:
        record(request, kvasir, caller, answer_id, name, body.question, whole)

    if not body.stream:
        with lease, stream:
            whole = stream.answer
        finished(whole)
        return JSONResponse(to_json(whole), headers=headers)

    def render(events: Iterator[AnswerEvent]) -> Iterator[str]:
        with lease:
            try:
                for number, event in enumerate(events):
                    if isinstance(event, Finished):
                        finished(event.answer)
                    if isinstance(event, (Retrieved, Text, Finished)):
                        yield _rendered(event, number)
            except KvasirError as error:
                yield server_sent_event(json.dumps(describe(error)), event="error")

    response = event_stream(stream, render)
    response.headers.update(headers)
    return response


class Feedback(BaseModel):
    """What a user thinks of an answer."""

    model_config = ConfigDict(extra="forbid")
    rating: Annotated[int, Field(ge=-1, le=1, description="-1 bad, 1 good")]
    comment: str = Field("", max_length=4000)


@router.post("/answers/{answer_id}/feedback", status_code=204)
def give_feedback(answer_id: str, body: Feedback, kvasir: Kvasir, caller: Reader) -> Response:
    """Rate an answer that you got."""
    kvasir.services.answer_log.rate(answer_id, caller.user_id, body.rating, body.comment)
    return Response(status_code=204)


_NAMES = {Retrieved: "hits", Text: "text", Finished: "answer"}


def _rendered(event: Retrieved | Text | Finished, number: int) -> str:
    data = json.dumps(to_json(event), ensure_ascii=False)
    return server_sent_event(data, event=_NAMES[type(event)], number=number)
