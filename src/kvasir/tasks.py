"""What jobs do: functions of ids and short values, over the process's ``App``.

A job names one of them in ``task``. Bytes wait in the spool; a job has their digest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from kvasir.app import App
from kvasir.core.errors import (
    ClosedError,
    CollectionNotFoundError,
    ExtractionError,
    FetchError,
    ForbiddenError,
    KvasirError,
    RequestError,
)
from kvasir.core.reports import IngestReport
from kvasir.core.run import Run, StopToken
from kvasir.core.services.accounts import Caller, Scope
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.core.services.jobs import Job
from kvasir.core.services.questions import Question
from kvasir.core.types import Answer, Source
from kvasir.core.wire import to_json


def perform(app: App, job: Job, run: Run) -> Any:
    """Do a job; return its result as plain data.

    Raises:
        RequestError: The job cannot succeed, however often it is tried.
        StoppedError: The run was stopped.
    """
    task = TASKS.get(job.task)
    if task is None:
        raise RequestError(f"there is no task '{job.task}'")
    return task(app, job, run)


def ingest_upload(app: App, job: Job, run: Run) -> Any:
    """Index an upload: ``uri``, ``media_type``, ``digest``, ``metadata`` and ``on_conflict``."""
    given = job.arguments
    with app.services.spool.open(given["digest"]) as stream:
        data = stream.read()
    source = Source(given["uri"], given.get("media_type", ""))
    with app.collection(job.collection) as collection:
        report = collection.ingest(
            (source, data),
            on_conflict=given.get("on_conflict"),
            metadata=given.get("metadata"),
            run=run,
        )
    _check(report)
    if not app.settings.server.keep_originals:
        app.services.spool.delete(given["digest"])
    return to_json(report)


def ingest_address(app: App, job: Job, run: Run) -> Any:
    """Fetch and index an address: ``url``, ``metadata`` and ``on_conflict``."""
    given = job.arguments
    with app.collection(job.collection) as collection:
        report = collection.ingest(
            given["url"],
            on_conflict=given.get("on_conflict"),
            metadata=given.get("metadata"),
            run=run,
        )
    _check(report)
    return to_json(report)


def answer_question(app: App, question: Question, stop: StopToken) -> Answer:
    """Answer a question of the queue, with the rights that its asker has now.

    Raises:
        CollectionNotFoundError: The asker may not read the collection, or there is none.
        ForbiddenError: The asker is disabled.
        StoppedError: The token was set.
    """
    name = question.collection or app.settings.question_collection
    if question.user_id:
        user = app.services.accounts.user(question.user_id)
        if user.disabled:
            raise ForbiddenError("the user is disabled")
        if not app.services.accounts.may_read(Caller(user, frozenset((Scope.READ,))), name):
            raise CollectionNotFoundError(name)
    with (
        app.collection(name) as collection,
        collection.stream(question.input) as stream,
        # Closing it ends the generator after its present step.
        stop.calling(stream.close),
    ):
        try:
            return stream.answer
        except ClosedError:
            stop.raise_if_set()
            raise


def log_queued_answer(app: App, question: Question, answer: Answer) -> None:
    """Add the answer to a question of the queue to the log of answers, under the question's id."""
    settings = app.settings
    if not settings.answer_log.enabled:
        return
    app.services.answer_log.record(
        LoggedAnswer(
            id=question.id,
            user_id=question.user_id,
            collection=question.collection or settings.question_collection,
            question=question.input,
            answer=answer.text,
            refused=answer.refused,
            sources=tuple(dict.fromkeys(each.source_uri for each in answer.citations)),
            model=settings.generator.model or settings.generator.type,
            seconds=answer.timings.get("total", 0.0),
            date=datetime.now(UTC),
        )
    )


def _check(report: IngestReport) -> None:
    """Raise the error of the one source that failed."""
    for failed in report.failed:
        raise _error_of(failed.reason, failed.message)


def _error_of(reason: str, message: str) -> KvasirError:
    if reason == "fetch":
        return FetchError(message)
    return ExtractionError(reason, message)


TASKS: Mapping[str, Callable[[App, Job, Run], Any]] = {
    "ingest_upload": ingest_upload,
    "ingest_address": ingest_address,
}
"""Every task by name."""
