"""Writes finished answers to the log of answers."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import Request

from kvasir.app import App
from kvasir.core.services.accounts import Caller
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.core.types import Answer


def record(
    request: Request,
    kvasir: App,
    caller: Caller,
    answer_id: str,
    collection: str,
    question: str,
    answer: Answer,
) -> None:
    """Add an answer to the log, if the settings keep one."""
    if not kvasir.settings.answer_log.enabled or caller.user is None:
        return  # The user of the data folder has no account: what is asked there is not logged.
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
