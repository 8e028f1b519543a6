"""The tasks of a Celery worker: each does one job of the table, or one item of another queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from celery import Celery, states
from celery.exceptions import Ignore, Retry
from kombu.exceptions import OperationalError

from kvasir.core.errors import KvasirError, OperatorError
from kvasir.core.queue_workers import retry_delay
from kvasir.core.run import Progress, StopToken
from kvasir.core.services.jobs import ClaimedJob, Job, JobState
from kvasir.core.wire import to_json
from kvasir.jobs.celery_app import (
    ANSWER_TASK,
    JOB_TASK,
    MAIL_TASK,
    CeleryOptions,
    dead_letters,
    keep_newest,
)
from kvasir.jobs.worker import JobWorker

logger = logging.getLogger(__name__)

_REST_SECONDS = 30.0
"""How long a result backend that failed is left alone."""
_LONGEST_WAIT = 10.0


class JobFailedError(Exception):
    """A job has failed; shown by Celery's tools. The message has its code and its reason."""


class StateMirror:
    """Copies states and progress of jobs to Celery's result backend, where its tools look.

    The table is the truth: a backend that is gone is left alone for a while.
    """

    def __init__(self, celery: Celery) -> None:
        """Connect to nothing yet."""
        self._backend = celery.backend
        self._until = 0.0

    def store(self, job_id: str, state: str, result: Any = None) -> None:
        """Store a state; ``result`` is plain data, or the error of a failed job."""
        if time.monotonic() < self._until:
            return
        try:
            self._backend.store_result(job_id, result, state)
        except Exception as error:  # noqa: BLE001 - libraries of any backend
            self._until = time.monotonic() + _REST_SECONDS
            logger.warning("Celery's result backend does not answer: %s", error)


class CeleryTasks:
    """What the tasks of a worker process do."""

    def __init__(
        self,
        celery: Celery,
        options: CeleryOptions,
        jobs: JobWorker,
        *,
        answer: Callable[[], bool],
        send_mail: Callable[[], bool],
        stop: StopToken,
    ) -> None:
        """Add the tasks to an application.

        Args:
            celery: The application.
            options: Its options.
            jobs: Does the jobs.
            answer: Answers the next question; False if there is none.
            send_mail: Sends the next mail; False if there is none.
            stop: Ends the work.
        """
        self._celery = celery
        self._jobs = jobs
        self._answer = answer
        self._send_mail = send_mail
        self._stop = stop
        self._mirror = StateMirror(celery)
        self._dead = dead_letters(options)
        add = celery.task
        add(self.do_job, name=JOB_TASK, throws=(JobFailedError,))
        add(self.do_answer, name=ANSWER_TASK)
        add(self.do_mail, name=MAIL_TASK)

    def do_job(self, job_id: str) -> dict[str, str]:
        """Do a job, unless it was done, is not due, or another worker has it."""
        claimed = self._claim(job_id)
        if claimed is None:
            self._check_given_up(job_id)
            raise Ignore
        store = self._mirror.store
        store(job_id, states.STARTED)

        def show(progress: Progress) -> None:
            store(job_id, "PROGRESS", to_json(progress))

        ended = self._jobs.work_on(claimed, show)
        if ended.state is JobState.DONE:
            store(job_id, states.SUCCESS, {"job": job_id})
            return {"job": job_id}
        error = JobFailedError(f"{ended.code}: {ended.message}")
        if ended.state is JobState.WAITING:
            store(job_id, states.RETRY, error)
            raise Retry(str(error), error, when=ended.delay)
        if ended.state is JobState.FAILED:
            store(job_id, states.FAILURE, error)
            self._bury(claimed.job, ended.code, ended.message)
            raise error
        # It was given back, was cancelled, or another worker has it.
        raise Ignore

    def do_answer(self) -> bool:
        """Answer the next question of the queue."""
        return self._answer()

    def do_mail(self) -> bool:
        """Send the next mail."""
        return self._send_mail()

    def _claim(self, job_id: str) -> ClaimedJob | None:
        """Claim a job; wait while the database does not answer."""
        failures = 0
        while True:
            try:
                return self._jobs.claim(job_id)
            except OperatorError as error:
                failures += 1
                logger.error("the jobs cannot be worked on: %s", error)
                if self._stop.wait(retry_delay(failures, first=0.5, longest=_LONGEST_WAIT)):
                    raise Ignore from error

    def _check_given_up(self, job_id: str) -> None:
        """Report a job that was not claimed because its workers died too often."""
        try:
            job = self._jobs.find(job_id)
        except KvasirError:
            return
        if job.state is JobState.FAILED and self._jobs.was_given_up(job):
            error = JobFailedError(f"{job.code}: {job.message}")
            self._mirror.store(job_id, states.FAILURE, error)
            self._bury(job, job.code, job.message)
            raise error

    def _bury(self, job: Job, code: str, reason: str) -> None:
        """Put the job's id and the reason into the queue of dead letters."""
        letter = {
            "job": job.id,
            "task": job.task,
            "collection": job.collection,
            "attempts": job.attempts,
            "code": code,
            "reason": reason,
        }
        try:
            with self._celery.producer_pool.acquire(block=True, timeout=10) as producer:
                producer.publish(
                    letter,
                    exchange=self._dead.exchange,
                    routing_key=self._dead.routing_key,
                    declare=[self._dead],
                    serializer="json",
                    retry=True,
                    retry_policy={"max_retries": 1},
                )
                keep_newest(producer.channel, self._dead.name)
        except (OperationalError, OSError) as error:
            logger.warning("the dead letter of job %s was not sent: %s", job.id, error)
