"""``/v1/collections/{name}/replies``: replies to messages of a chat, from the documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from kvasir.core.errors import RequestError, StoppedError
from kvasir.core.filters import all_of, parse_filter
from kvasir.core.types import Answer, AnswerEvent, Finished, Message
from kvasir.frontends.api.answer_records import record
from kvasir.frontends.api.callers import Chosen, Overrides, Reader, check_may_read
from kvasir.frontends.api.generation import open_stream
from kvasir.frontends.api.routes.answers import rendered_error, rendered_event
from kvasir.frontends.api.running_answers import RunningAnswer, RunningAnswers
from kvasir.frontends.api.search_limits import EXPLAIN, Threshold, TopK
from kvasir.frontends.api.sources import public_path
from kvasir.frontends.api.streaming import event_stream, rendering

router = APIRouter(prefix="/v1", tags=["answers"])


class ChatMessage(BaseModel):
    """An earlier message of the chat."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["user", "assistant", "system"]
    content: str = Field(max_length=200_000)


class ReplyBody(BaseModel):
    """A message of a chat."""

    model_config = ConfigDict(extra="forbid")
    question: str = Field(min_length=1, max_length=20_000, examples=["And black tea?"])
    history: list[ChatMessage] = Field(default_factory=list, max_length=1000)
    system: str = Field("", max_length=200_000, description="the system message of the chat")
    top_k: TopK | None = None
    min_score_threshold: Threshold | None = None
    filters: str | dict[str, Any] | None = Field(None, examples=["language=en"])
    rag: bool = Field(True, description="false: from the language model alone, if there is one")
    background: bool = Field(
        False,
        description="answer with the id at once (202), and go on when the client leaves; "
        "`GET /v1/answers/{id}/events` has the events",
    )
    conversation: str = Field(
        "", max_length=64, description="your label, by which `GET /v1/answers` lists them"
    )
    explain: bool = EXPLAIN


_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Answer,
        "content": {"text/event-stream": {}},
        "description": "The events `stage`, `hits`, `text`, ... and `answer`, or `error`, whose "
        "data is a problem document. The header `Kvasir-Answer` has the id for feedback.",
    },
    202: {"description": "With `background`: the id of the answer."},
}


@router.post("/collections/{name}/replies", responses=_EVENTS)
def reply(
    name: str,
    body: ReplyBody,
    request: Request,
    kvasir: Chosen,
    overrides: Overrides,
    caller: Reader,
) -> Response:
    """Reply to a message of a chat from a collection, with citations, as a stream of events.

    A client that leaves stops the generation, unless it runs in the background.
    """
    check_may_read(kvasir, caller, name)
    if body.background and overrides:
        # They hold until the response is sent.
        raise RequestError("an answer in the background takes no settings of its own")
    answer_id = str(uuid4())
    with ExitStack() as opening:
        lease = opening.enter_context(kvasir.collection(name))
        conversation = kvasir.conversation(lambda: lease, generator=kvasir.generator)
        opening.callback(conversation.close)
        if not body.rag and not conversation.has_model:
            raise RequestError("this server has no language model: ask with `rag`")
        search, filters = conversation.search, parse_filter(body.filters)
        conversation.search = replace(
            search,
            top_k=body.top_k or search.top_k,
            min_score_threshold=search.min_score_threshold
            if body.min_score_threshold is None
            else body.min_score_threshold,
            filters=all_of(search.filters, filters),
            explain=body.explain,
        )
        history = [Message(each.role, each.content) for each in body.history]
        stream = open_stream(
            request,
            kvasir,
            lambda: conversation.stream(body.question, history, rag=body.rag, system=body.system),
        )
        opened = opening.pop_all()

    def render(events: Iterator[AnswerEvent]) -> Iterator[str]:
        number = 0
        with opened:
            try:
                for event in events:
                    if isinstance(event, Finished):
                        record(
                            request, kvasir, caller, answer_id, name, body.question, event.answer
                        )
                    yield rendered_event(event, number, caller)
                    number += 1
            except StoppedError:
                raise
            except Exception as error:  # noqa: BLE001 - the client must see that it failed
                yield rendered_error(error, caller, number)

    headers = {"Kvasir-Answer": answer_id}
    if not body.background:
        return event_stream(stream, render, headers)
    answers: RunningAnswers = request.app.state.answers
    answers.start(
        RunningAnswer(answer_id, caller.user_id, name, body.conversation, body.question),
        rendering(stream, render),
        lambda error, number: rendered_error(error, caller, number),
    )
    headers["Location"] = public_path(kvasir, request, f"/v1/answers/{answer_id}/events")
    return JSONResponse({"id": answer_id}, 202, headers=headers)
