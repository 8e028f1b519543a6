"""``/v1/collections/{name}/answers``: answers, whole or streamed, and feedback on them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from kvasir.core.errors import ForbiddenError, KvasirError, OperatorError, StoppedError
from kvasir.core.services.accounts import Caller
from kvasir.core.types import Answer, AnswerEvent, Finished, Retrieved, Stage, Text
from kvasir.core.wire import to_json
from kvasir.frontends.api.answer_records import record
from kvasir.frontends.api.callers import Chosen, Kvasir, Reader, check_may_read
from kvasir.frontends.api.explained import answer_for
from kvasir.frontends.api.generation import open_answer
from kvasir.frontends.api.problems import describe, members
from kvasir.frontends.api.search_limits import EXPLAIN, Threshold, TopK
from kvasir.frontends.api.streaming import event_stream, server_sent_event, whole_response

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/v1", tags=["answers"])


class AnswerBody(BaseModel):
    """A question."""

    model_config = ConfigDict(extra="forbid")
    question: str = Field(min_length=1, max_length=20_000, examples=["How hot is green tea?"])
    top_k: TopK | None = None
    min_score_threshold: Threshold | None = None
    filters: str | dict[str, Any] | None = Field(None, examples=["language=en"])
    explain: bool = EXPLAIN
    stream: bool = Field(False, description="answer with server-sent events")
    log: bool = Field(
        True, description="add it to the log of answers; administrators may leave it out"
    )


_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Answer,
        "content": {"text/event-stream": {}},
        "description": "The answer; with `stream`, the events `hits`, `text`, ... and `answer`, or "
        "`error`, whose data is a problem document. "
        "The header `Kvasir-Answer` has the id for feedback.",
    }
}


@router.post("/collections/{name}/answers", responses=_STREAM)
def answer(
    name: str, body: AnswerBody, request: Request, kvasir: Chosen, caller: Reader
) -> Response:
    """Answer a question from a collection, with citations.

    A client that leaves stops the generation.
    """
    check_may_read(kvasir, caller, name)
    if not body.log and not caller.is_admin:
        raise ForbiddenError("only an administrator may leave an answer out of the log")
    answer_id = str(uuid4())
    headers = {"Kvasir-Answer": answer_id}
    lease = kvasir.collection(name)
    with ExitStack() as opened:
        opened.callback(lease.close)
        stream = open_answer(
            request,
            kvasir,
            lease,
            body.question,
            top_k=body.top_k,
            min_score_threshold=body.min_score_threshold,
            filters=body.filters,
            explain=body.explain,
        )
        opened.pop_all()

    def finished(whole: Answer) -> None:
        if body.log:
            record(request, kvasir, caller, answer_id, name, body.question, whole)

    def make() -> Response:
        with lease, stream:
            whole = stream.answer
        finished(whole)
        return JSONResponse(to_json(answer_for(caller, whole)), headers=headers)

    def render(events: Iterator[AnswerEvent]) -> Iterator[str]:
        number = 0
        with lease:
            try:
                for event in events:
                    if isinstance(event, Finished):
                        finished(event.answer)
                    if isinstance(event, (Retrieved, Text, Finished)):
                        yield rendered_event(event, number, caller)
                        number += 1
            except StoppedError:
                raise
            except Exception as error:  # noqa: BLE001 - the client must see that it failed
                yield rendered_error(error, caller, number)

    return event_stream(stream, render, headers) if body.stream else whole_response(make)


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


_NAMES = {Stage: "stage", Retrieved: "hits", Text: "text", Finished: "answer"}


def rendered_event(event: AnswerEvent, number: int, caller: Caller) -> str:
    """Return an event of an answer as a server-sent event."""
    if isinstance(event, Finished):
        event = Finished(answer_for(caller, event.answer))
    data = json.dumps(to_json(event), ensure_ascii=False)
    return server_sent_event(data, event=_NAMES[type(event)], number=number)


def rendered_error(error: Exception, caller: Caller, number: int) -> str:
    """Return the last event of a stream that failed."""
    if isinstance(error, KvasirError):
        described = describe(error, caller)
        if isinstance(error, OperatorError):
            logger.error("%s: %s", error.code, error)
    else:
        logger.error("unforeseen error in an answer", exc_info=error)
        described = members(500, KvasirError.code, "this was not foreseen")
    return server_sent_event(json.dumps(described), event="error", number=number)
