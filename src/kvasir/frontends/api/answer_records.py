"""Writes finished answers to the log of answers."""

from __future__ import annotations

from fastapi import Request

from kvasir.app import App
from kvasir.core.services.accounts import Caller
from kvasir.core.types import Answer
from kvasir.tasks import log_answer


def record(
    request: Request,
    kvasir: App,
    caller: Caller,
    answer_id: str,
    collection: str,
    question: str,
    answer: Answer,
) -> None:
    """Add an answer to the log, if the settings keep one, with the id of the request.

    A process that only shares its index keeps none, as it does for its own questions.
    """
    if request.app.state.on_demand:
        return
    known = getattr(request.state, "request_id", "")
    log_answer(kvasir, answer_id, caller.user_id, collection, question, answer, request_id=known)
