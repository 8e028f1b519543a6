"""Writes finished answers to the log of answers."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from fastapi import Request

from kvasir.app import App
from kvasir.core.errors import KvasirError
from kvasir.core.services.accounts import Caller
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.core.types import Answer

logger = logging.getLogger(__name__)


def record(
    request: Request,
    kvasir: App,
    caller: Caller,
    answer_id: str,
    collection: str,
    question: str,
    answer: Answer,
) -> None:
    """Add an answer to the log, if the settings keep one.

    A log that cannot be written must not take an answer away from the one who waits for it.
    """
    if not kvasir.settings.answer_log.enabled:
        return
    try:
        _record(request, kvasir, caller, answer_id, collection, question, answer)
    except KvasirError as error:
        logger.error("an answer could not be logged: %s", error)


def _record(
    request: Request,
    kvasir: App,
    caller: Caller,
    answer_id: str,
    collection: str,
    question: str,
    answer: Answer,
) -> None:
    kvasir.services.answer_log.record(
        LoggedAnswer(
            id=answer_id,
            user_id=caller.user_id,
            collection=collection,
            question=question,
            answer=answer.text,
            refused=answer.refused,
            sources=tuple(dict.fromkeys(each.source_uri for each in answer.citations)),
            model=kvasir.settings.generator.model or kvasir.settings.generator.type,
            seconds=answer.timings.get("total", 0.0),
            date=datetime.now(UTC),
            request_id=getattr(request.state, "request_id", ""),
        )
    )
