"""Gives the ids of jobs in the table to the broker of Celery, and again what it lost.

A job is first a row of the table. So a broker that cannot be reached keeps nobody from adding one,
and one that forgot its messages loses nothing. An id that is sent twice does no harm: the second
worker finds that it cannot claim the job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from celery import Celery
from kombu.exceptions import OperationalError

from kvasir.core.errors import ComponentError
from kvasir.core.queue_workers import QueueWorker
from kvasir.core.run import StopToken
from kvasir.core.services.jobs import UnsentJobs
from kvasir.jobs.celery_app import JOB_TASK, CeleryOptions

logger = logging.getLogger(__name__)

_BATCH = 200
_MOST_TURNS = 100
_SAME_SECONDS = 5.0
"""Before the turns of a queue that did not become shorter are sent again."""


class CelerySender(QueueWorker):
    """Sends what the table has to send, until its token is set. See the module."""

    queue_name = "the broker"

    def __init__(
        self,
        jobs: UnsentJobs,
        celery: Celery,
        options: CeleryOptions,
        *,
        tasks: Collection[str],
        turns: Mapping[str, tuple[str, Callable[[], int]]],
        stop: StopToken,
        resend_seconds: float = 60.0,
        idle_seconds: float = 1.0,
        heartbeat_file: Path | None = None,
    ) -> None:
        """Send nothing yet.

        Args:
            jobs: The table.
            celery: The application.
            options: Its options.
            tasks: All names of tasks of jobs.
            turns: By queue, the Celery task that does one item of a queue that has its own table,
                and what counts the items that wait.
            stop: Ends the work.
            resend_seconds: Age of a message that may be lost.
            idle_seconds: Wait between two looks at the table; ``wake`` ends it.
            heartbeat_file: Touched at every look.
        """
        super().__init__(stop, idle_seconds=idle_seconds)
        self._jobs = jobs
        self._celery = celery
        self._options = options
        self._turns = turns
        self._resend_seconds = resend_seconds
        self._heartbeat_file = heartbeat_file
        connection = celery.connection_for_write()  # It does not connect.
        self._not_there = connection.channel_errors
        self._faults = (OperationalError, OSError, *connection.connection_errors)
        self._checked = time.monotonic()
        self._sent_turns: dict[str, tuple[int, float]] = {}
        self._tasks: dict[str, list[str]] = {}
        for task in tasks:
            self._tasks.setdefault(options.queue_of(task), []).append(task)

    def wake(self) -> None:
        """Look at the table now; what waits may have changed."""
        self._sent_turns.clear()
        super().wake()

    def work_once(self) -> bool:
        """Send the next ids; False if there are none."""
        if self._heartbeat_file is not None:
            self._heartbeat_file.touch()
        has_sent = self._send_jobs()
        self._send_turns()
        if time.monotonic() - self._checked > self._resend_seconds / 2:
            self._checked = time.monotonic()
            for queue, tasks in self._tasks.items():
                self._look_for_lost(queue, tasks)
        return has_sent

    def _send_jobs(self) -> bool:
        unsent = self._jobs.take_unsent(limit=_BATCH)
        for index, (job_id, task) in enumerate(unsent):
            try:
                self._send(JOB_TASK, self._options.queue_of(task), job_id)
            except ComponentError:
                self._jobs.forget_sent([each for each, _ in unsent[index:]])
                raise
        return len(unsent) == _BATCH

    def _send_turns(self) -> None:
        for queue, (task, count) in self._turns.items():
            waiting = min(count(), _MOST_TURNS)
            before, at = self._sent_turns.get(queue, (0, 0.0))
            if not waiting:
                self._sent_turns.pop(queue, None)
                continue
            # Some that wait may not be due yet, or be held by a worker.
            if waiting == before and time.monotonic() - at < _SAME_SECONDS:
                continue
            for _ in range(waiting - self._depth(queue)):
                self._send(task, queue)
            self._sent_turns[queue] = (waiting, time.monotonic())

    def _look_for_lost(self, queue: str, tasks: list[str]) -> None:
        is_empty = self._depth(queue) == 0
        lost = self._jobs.forget_lost(tasks, seconds=self._resend_seconds, is_empty=is_empty)
        if lost:
            logger.warning("the broker lost the ids of %d jobs, which are sent again", lost)

    def _send(self, task: str, queue: str, job_id: str = "") -> None:
        policy = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
        try:
            self._celery.send_task(
                task,
                args=[job_id] if job_id else [],
                task_id=job_id or None,
                queue=self._options.full_name(queue),
                retry_policy=policy,
                # Otherwise each task would be waited for at the result backend.
                ignore_result=True,
            )
        except self._faults as error:
            raise ComponentError("the broker", "sending", error, kind="unreachable") from error

    def _depth(self, queue: str) -> int:
        """Return the number of messages that no worker has yet."""
        name = self._options.full_name(queue)
        try:
            with (
                self._celery.connection_for_write() as connection,
                connection.channel() as channel,
            ):
                return int(channel.queue_declare(queue=name, passive=True).message_count)
        except self._faults as error:
            raise ComponentError("the broker", "asking", error, kind="unreachable") from error
        except self._not_there:
            return 0  # Nothing was sent to it yet.
