"""``/v1/answers/{id}/events``: answers that go on in the server, to which clients attach again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from kvasir.core.services.accounts import Caller
from kvasir.core.wire import to_json
from kvasir.frontends.api.callers import Reader, check_may_read, may_read
from kvasir.frontends.api.routes.answers import rendered_error
from kvasir.frontends.api.running_answers import RunningAnswer, RunningAnswers
from kvasir.frontends.api.streaming import Ending, Put, pushed_stream

router = APIRouter(prefix="/v1/answers", tags=["answers"])


class KeptAnswer(BaseModel):
    """An answer that was asked for with `background`; it is kept for an hour after its end."""

    id: str
    collection: str
    question: str
    asked: datetime
    running: bool
    events: int = Field(description="their number so far")


@router.get("", responses={200: {"model": list[KeptAnswer]}})
def list_answers(
    request: Request,
    caller: Reader,
    conversation: Annotated[str, Query(min_length=1, max_length=64, description="your label")],
) -> JSONResponse:
    """List the answers of one of your chats, the oldest first."""
    answers: RunningAnswers = request.app.state.answers
    kvasir = request.app.state.kvasir
    found = answers.of_conversation(caller, conversation)
    shown = [each for each in found if may_read(kvasir, caller, each.collection)]
    return JSONResponse(to_json([_described(each) for each in shown]))


@router.get(
    "/{answer_id}/events",
    responses={200: {"content": {"text/event-stream": {}}, "description": "As of `replies`."}},
)
def follow(
    answer_id: str,
    request: Request,
    caller: Reader,
    first: Annotated[int, Query(ge=0, description="the number of the first event to send")] = 0,
    last_event_id: Annotated[int | None, Header(ge=0, description="in place of `first`")] = None,
) -> Response:
    """Send the events of an answer from a number on, as they come; leaving does not stop it."""
    answer = _own(request, caller, answer_id)
    begin = first if last_event_id is None else last_event_id + 1

    def produce(put: Put, leaving: Ending) -> None:
        try:
            for event in answer.follow(begin, leaving):
                put(event)
        except Exception as error:  # noqa: BLE001 - the client must see that it failed
            put(rendered_error(error, caller, answer.event_count))

    return pushed_stream(produce)


@router.post("/{answer_id}/stop", status_code=204)
def stop(answer_id: str, request: Request, caller: Reader) -> Response:
    """Stop an answer; the text so far is kept."""
    _own(request, caller, answer_id).ending.set()
    return Response(status_code=204)


def _own(request: Request, caller: Caller, answer_id: str) -> RunningAnswer:
    answers: RunningAnswers = request.app.state.answers
    answer = answers.find(caller, answer_id)
    # The access to its collection may have been taken away since.
    check_may_read(request.app.state.kvasir, caller, answer.collection)
    return answer


def _described(answer: RunningAnswer) -> dict[str, object]:
    return {
        "id": answer.id,
        "collection": answer.collection,
        "question": answer.question,
        "asked": answer.asked,
        "running": answer.is_running,
        "events": answer.event_count,
    }
