"""``/v1/collections/{name}/replies``: replies to messages of a chat, from the documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from kvasir.core.errors import StoppedError
from kvasir.core.filters import all_of, parse_filter
from kvasir.core.types import Answer, AnswerEvent, Finished, Message
from kvasir.frontends.api.answer_records import record
from kvasir.frontends.api.callers import Chosen, Reader, check_may_read
from kvasir.frontends.api.generation import open_stream
from kvasir.frontends.api.routes.answers import rendered_error, rendered_event
from kvasir.frontends.api.search_limits import EXPLAIN, Threshold, TopK
from kvasir.frontends.api.streaming import event_stream

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
    explain: bool = EXPLAIN


_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Answer,
        "content": {"text/event-stream": {}},
        "description": "The events `stage`, `hits`, `text`, ... and `answer`, or `error`, whose "
        "data is a problem document. The header `Kvasir-Answer` has the id for feedback.",
    }
}


@router.post("/collections/{name}/replies", responses=_EVENTS)
def reply(name: str, body: ReplyBody, request: Request, kvasir: Chosen, caller: Reader) -> Response:
    """Reply to a message of a chat from a collection, with citations, as a stream of events.

    A client that leaves stops the generation.
    """
    check_may_read(kvasir, caller, name)
    answer_id = str(uuid4())
    with ExitStack() as opening:
        lease = opening.enter_context(kvasir.collection(name))
        conversation = kvasir.conversation(lambda: lease, generator=kvasir.generator)
        opening.callback(conversation.close)
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
            lambda: conversation.stream(body.question, history, rag=True, system=body.system),
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

    return event_stream(stream, render, {"Kvasir-Answer": answer_id})
