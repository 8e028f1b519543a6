"""``/v1/questions``: questions that are answered later, and mailed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from kvasir.app import App
from kvasir.core.errors import ConflictError, NotFoundError, RequestError
from kvasir.core.services.accounts import Caller
from kvasir.core.services.questions import ClaimedQuestion, NewQuestion, Question
from kvasir.core.text import replace_control_characters
from kvasir.core.types import Answer
from kvasir.core.wire import from_json, to_json
from kvasir.frontends.api.caching import cached
from kvasir.frontends.api.callers import Answerer, Kvasir, Reader, check_may_read
from kvasir.frontends.api.limiting import limit_questions
from kvasir.frontends.api.sources import public_path
from kvasir.tasks import log_queued_answer

router = APIRouter(prefix="/v1/questions", tags=["questions"])

LONGEST_INPUT = 20_000
_LONGEST_LEASE = 3600.0
_NO_STORE = {"Cache-Control": "no-store"}

QuestionId = Annotated[str, Field(max_length=64)]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=200, description="the same key asks nothing twice"),
]


class QuestionBody(BaseModel):
    """A question to answer later."""

    model_config = ConfigDict(extra="forbid")
    input: str = Field(
        min_length=1, max_length=LONGEST_INPUT, examples=["How hot is green tea brewed?"]
    )
    collection: str | None = Field(
        None, max_length=64, description="by default the one that the server answers from"
    )
    mail: bool = Field(True, description="mail the answer to you")
    language: str | None = Field(
        None, pattern="^(en|es)$", description="of the mail; by default yours"
    )


@router.post("", status_code=202, responses={202: {"model": Question}})
def ask(
    body: QuestionBody,
    request: Request,
    kvasir: Kvasir,
    caller: Reader,
    key: IdempotencyKey = None,
) -> JSONResponse:
    """Ask a question that is answered later; its state has its position in the queue."""
    question = add_question(
        kvasir,
        caller,
        body.input,
        collection=body.collection,
        mail=body.mail,
        language=body.language,
        key=key,
    )
    request.app.state.wake_workers()
    address = public_path(kvasir, request, f"/v1/questions/{question.id}")
    return JSONResponse(to_json(question), 202, headers={"Location": address})


@router.get("", responses={200: {"model": list[Question]}})
def list_questions(
    request: Request,
    kvasir: Kvasir,
    caller: Reader,
    before: Annotated[str, Query(max_length=64, description="the last id of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List your questions, newest first; an administrator sees those of all users."""
    if before:
        _visible(kvasir, caller, before)
    own = None if caller.is_admin else caller.user_id
    found = kvasir.services.questions.questions(user_id=own, before=before, limit=limit)
    return cached(request, to_json(found))


@router.get("/{question_id}", responses={200: {"model": Question}})
def show(question_id: QuestionId, request: Request, kvasir: Kvasir, caller: Reader) -> Response:
    """Show a question: its state, its position, its answer, and whether that was mailed."""
    return cached(request, to_json(_visible(kvasir, caller, question_id)))


@router.post("/{question_id}/cancel", responses={200: {"model": Question}})
def cancel(question_id: QuestionId, kvasir: Kvasir, caller: Reader) -> JSONResponse:
    """Cancel a question that is not answered yet."""
    _visible(kvasir, caller, question_id)
    return JSONResponse(to_json(kvasir.services.questions.cancel(question_id)))


class LeaseBody(BaseModel):
    """The lease of a question, by which an answering service gives it back."""

    model_config = ConfigDict(extra="forbid")
    token: str = Field(max_length=64)


class AnswerBody(LeaseBody):
    """An answer: the whole answer with citations, or its text alone."""

    answer: dict[str, Any] | None = Field(None, description="an answer as `/answers` gives it")
    output: str | None = Field(None, min_length=1, max_length=200_000)


class HeartbeatBody(LeaseBody):
    """How long the lease shall last from now."""

    lease_seconds: float = Field(120.0, gt=0, le=_LONGEST_LEASE)


class FailureBody(LeaseBody):
    """Why a question was not answered."""

    reason: str = Field(min_length=1, max_length=2000)
    retry_after: float | None = Field(
        None, ge=0, le=86_400, description="seconds until the next try; null: never"
    )


class ReleaseBody(LeaseBody):
    """When a question that is given back may be taken again."""

    retry_after: float = Field(0.0, ge=0, le=86_400, description="seconds until the next try")


_LEASE: dict[int | str, dict[str, Any]] = {409: {"description": "the lease was lost: stop"}}


@router.post("/{question_id}/answer", status_code=204, responses=_LEASE)
def give_answer(
    question_id: QuestionId, body: AnswerBody, request: Request, kvasir: Kvasir, _: Answerer
) -> Response:
    """Give the answer to a question that you hold by a lease."""
    if (body.answer is None) == (body.output is None):
        raise RequestError("give either 'answer' or 'output'")
    answer = Answer(body.output or "") if body.answer is None else from_json(Answer, body.answer)
    clean = replace_control_characters(answer.text)
    if not clean.strip():
        raise RequestError("the answer is empty")
    if clean != answer.text:
        raise RequestError("the answer has control characters")
    queue = kvasir.services.questions
    question = queue.question(question_id)
    _check_held(queue.answer(question_id, body.token, answer))
    log_queued_answer(kvasir, question, answer)
    request.app.state.wake_workers()
    return Response(status_code=204)


@router.post("/{question_id}/heartbeat", status_code=204, responses=_LEASE)
def prolong(question_id: QuestionId, body: HeartbeatBody, kvasir: Kvasir, _: Answerer) -> Response:
    """Prolong the lease of a question."""
    queue = kvasir.services.questions
    _check_held(queue.heartbeat(question_id, body.token, lease_seconds=body.lease_seconds))
    return Response(status_code=204)


@router.post("/{question_id}/fail", status_code=204, responses=_LEASE)
def fail(question_id: QuestionId, body: FailureBody, kvasir: Kvasir, _: Answerer) -> Response:
    """Report that a question could not be answered; it is tried again, or dead."""
    queue = kvasir.services.questions
    reason = replace_control_characters(body.reason)
    _check_held(queue.fail(question_id, body.token, reason, retry_after=body.retry_after))
    return Response(status_code=204)


@router.post("/{question_id}/release", status_code=204)
def release(question_id: QuestionId, body: ReleaseBody, kvasir: Kvasir, _: Answerer) -> Response:
    """Give a question back unanswered, as a service that is shut down does."""
    kvasir.services.questions.release(question_id, body.token, retry_after=body.retry_after)
    return Response(status_code=204)


def add_question(
    kvasir: App,
    caller: Caller,
    text: str,
    *,
    collection: str | None = None,
    mail: bool = True,
    language: str | None = None,
    key: str | None = None,
) -> Question:
    """Add a question of a caller to the queue.

    Raises:
        CollectionNotFoundError: The caller may not read the collection.
        ConflictError: The key was used for another question.
        RateLimitedError: The caller asked too much.
    """
    name = collection or kvasir.settings.question_collection
    check_may_read(kvasir, caller, name)
    clean = replace_control_characters(text).strip()
    if not clean:
        raise RequestError("the question is empty")
    limit_questions(kvasir, caller.user_id)
    user = caller.user
    question = kvasir.services.questions.ask(
        NewQuestion(
            input=clean,
            user_id=caller.user_id,
            email=user.email if user and mail else "",
            collection=name,
            language=language or (user.language if user else "en"),
            key=f"request {key}" if key else "",
        )
    )
    if (question.input, question.collection) != (clean, name):
        raise ConflictError("this Idempotency-Key was used for another question")
    return question


def claimed_content(claimed: ClaimedQuestion, lease_seconds: float) -> dict[str, Any]:
    """Return a claimed question for an answering service, without the asker's address."""
    content: dict[str, Any] = to_json(claimed.question)
    for name in ("email", "user_id", "reply_to", "subject"):
        del content[name]
    lease = {"token": claimed.token, "lease_seconds": lease_seconds}
    return {"_id": claimed.question.id} | content | lease


def _visible(kvasir: App, caller: Caller, question_id: str) -> Question:
    question = kvasir.services.questions.question(question_id)
    if question.user_id != caller.user_id and not caller.is_admin:
        raise NotFoundError("there is no such question")
    return question


def _check_held(is_held: bool) -> None:
    if not is_held:
        raise ConflictError("the lease was lost: the question was cancelled, or another has it")
