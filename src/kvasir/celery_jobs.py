"""Celery as what brings jobs, questions and mails to worker processes, from the settings.

``jobs.celery_app`` says how it is used. Its library is that of the extra ``celery``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kvasir.app import App
from kvasir.core.errors import MissingExtraError
from kvasir.core.protocols import Embedder
from kvasir.core.queue_workers import QueueWorker, Worker
from kvasir.core.run import Run, StopToken
from kvasir.core.services.jobs import Job
from kvasir.core.services.questions import Question
from kvasir.core.types import Answer
from kvasir.jobs.chunk_embedding import EMBED_TASK, queued
from kvasir.jobs.chunk_embedding import embedding_for as embedding_for
from kvasir.settings.schema import Settings

if TYPE_CHECKING:
    from celery import Celery

    from kvasir.jobs.celery_app import CeleryOptions

Turns = Mapping[str, tuple[str, Callable[[], int]]]


def options_of(settings: Settings) -> CeleryOptions:
    """Return the options of Celery that the settings choose.

    Raises:
        MissingExtraError: Celery is not installed.
    """
    try:
        from kvasir.jobs.celery_app import CeleryOptions
    except ModuleNotFoundError as error:
        raise MissingExtraError("jobs.backend celery", "celery") from error
    chosen = settings.jobs
    return CeleryOptions(
        broker=chosen.broker,
        result_backend=chosen.result_backend,
        queue_prefix=chosen.queue_prefix,
        routes=dict(chosen.routes),
        concurrency=chosen.concurrency,
        visibility_seconds=chosen.visibility_seconds,
        stop_seconds=chosen.stop_seconds,
    )


def make_sender(
    app: App, tasks: Mapping[str, Any], stop: StopToken, *, celery: Celery | None = None
) -> Worker:
    """Make what sends the ids of waiting jobs to the broker.

    Args:
        app: Has the jobs, questions and mails.
        tasks: All tasks of jobs by name.
        stop: Ends it.
        celery: The application; by default one that only sends.
    """
    options = options_of(app.settings)
    from kvasir.jobs.celery_app import make_celery
    from kvasir.jobs.celery_sending import CelerySender

    chosen = app.settings.jobs
    return CelerySender(
        app.services.unsent_jobs,
        celery or make_celery(options),
        options,
        tasks=tasks,
        turns=_turns(app),
        stop=stop,
        resend_seconds=chosen.resend_seconds,
        heartbeat_file=chosen.heartbeat_file,
    )


def make_queued_embedder(
    app: App, embedder: Embedder, collection: str, *, stop: StopToken, wake: Callable[[], None]
) -> Embedder:
    """Make an embedder of documents that gives their chunks to other workers, as jobs.

    Args:
        app: Has the jobs and the spool.
        embedder: The collection's.
        collection: Its name.
        stop: Ends waiting.
        wake: Called when jobs were added.
    """
    jobs, spool = app.services.jobs, app.services.spool
    queue = embedding_queue(options_of(app.settings))
    return queued(embedder, collection, jobs, spool, queue=queue, stop=stop, wake=wake)


def embedding_queue(options: CeleryOptions) -> str:
    """Return the queue of the jobs that embed chunks, without the prefix."""
    return options.queue_of(EMBED_TASK)


def _turns(app: App) -> Turns:
    from kvasir.jobs.celery_app import ANSWER_TASK, ANSWERS, MAIL, MAIL_TASK

    mail, services = app.settings.mail, app.services

    def questions() -> int:
        counts = services.questions.counts()
        # One that a dead worker holds counts as being answered.
        return counts["waiting"] or min(1, counts["answering"])

    def mails() -> int:
        return services.questions.counts()["unsent"] + services.outbox.waiting()

    turns = {ANSWERS: (ANSWER_TASK, questions)}
    return turns | ({MAIL: (MAIL_TASK, mails)} if mail.send and mail.host else {})


def make_celery_worker(
    app: App,
    perform: Callable[[Job, Run], Any],
    ask: Callable[[Question, StopToken], Answer],
    stop: StopToken,
    *,
    can_answer: Callable[[], bool],
    on_answered: Callable[[Question, Answer], None],
) -> Celery:
    """Make the Celery application of a worker process, with its tasks.

    Args:
        app: What the tasks work with.
        perform: Does a job.
        ask: Answers a question.
        stop: Ends the work.
        can_answer: True when questions can be answered; they wait until then.
        on_answered: Called when an answer was recorded.
    """
    options = options_of(app.settings)
    from kvasir.jobs.celery_app import make_celery
    from kvasir.jobs.celery_working import CeleryTasks

    services = app.services
    celery = make_celery(options)
    answer = _one_a_thread(
        lambda: services.make_answering_worker(ask, stop, on_answered=on_answered)
    )
    CeleryTasks(
        celery,
        options,
        services.make_job_worker(perform, stop),
        answer=lambda: can_answer() and answer(),
        send_mail=_one_a_thread(lambda: services.make_mail_sender(stop)),
        stop=stop,
    )
    return celery


def _one_a_thread(make: Callable[[], Worker | None]) -> Callable[[], bool]:
    """Return what does one item with a worker of the calling thread."""
    own = threading.local()

    def work() -> bool:
        if not hasattr(own, "worker"):
            own.worker = make()
        return isinstance(own.worker, QueueWorker) and own.worker.work_once()

    return work
