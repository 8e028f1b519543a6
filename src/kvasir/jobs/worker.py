"""Works off the queue of jobs in a thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kvasir.core.errors import KvasirError, RequestError, describe_unexpected
from kvasir.core.queue_workers import Heartbeat, QueueWorker, persist, retry_delay
from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.services.jobs import ClaimedJob, Job, JobQueue, JobState

logger = logging.getLogger(__name__)

_BEAT_SECONDS = 1.0
"""Often, so that progress is seen; the lease lasts for many beats."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt at a job ended.

    Attributes:
        state: The state of the job, ``WAITING`` if it is tried again; None if the job was given
            back, was cancelled, or belongs to another worker now.
        code: The code of the error that it ended with; empty if none.
        message: The error in one line.
        delay: Seconds until the next attempt.
    """

    state: JobState | None
    code: str = ""
    message: str = ""
    delay: float = 0.0


class JobWorker(QueueWorker):
    """Takes jobs one after the other, until its token is set; then gives the last one back."""

    queue_name = "the queue of jobs"

    def __init__(
        self,
        queue: JobQueue,
        perform: Callable[[Job, Run], Any],
        *,
        stop: StopToken,
        lease_seconds: float = 30.0,
        idle_seconds: float = 1.0,
    ) -> None:
        """Start nothing yet.

        Args:
            queue: The queue.
            perform: Does a job and returns its result as plain data.
            stop: Ends the work.
            lease_seconds: After that, the job of a worker that died is done by another one.
            idle_seconds: Wait between two looks at an empty queue; ``wake`` ends it.
        """
        super().__init__(stop, idle_seconds=idle_seconds)
        self._queue = queue
        self._lease_seconds = lease_seconds
        self._perform = perform

    def work_once(self) -> bool:
        """Do the next job; False if there is none."""
        claimed = self._queue.claim(lease_seconds=self._lease_seconds)
        if claimed is None:
            return False
        self.work_on(claimed)
        return True

    def claim(self, job_id: str) -> ClaimedJob | None:
        """Take a job by its id; None if it may not be started now."""
        return self._queue.claim(lease_seconds=self._lease_seconds, job_id=job_id)

    def find(self, job_id: str) -> Job:
        """Return a job; raise NotFoundError if there is none."""
        return self._queue.job(job_id)

    def was_given_up(self, job: Job) -> bool:
        """Return True if a job failed because its workers died."""
        return job.attempts > self._queue.max_attempts

    def work_on(
        self, claimed: ClaimedJob, on_beat: Callable[[Progress], object] = lambda _: None
    ) -> Ended:
        """Do a job that was claimed; return how it ended.

        Args:
            claimed: The job.
            on_beat: Gets its progress about once a second, in another thread.
        """
        stop = StopToken(self._stop)
        last: list[Progress] = []

        def beat() -> bool:
            progress = last[-1] if last else None
            is_held = self._queue.heartbeat(claimed, progress, lease_seconds=self._lease_seconds)
            if is_held and progress is not None:
                on_beat(progress)
            return is_held

        def report(progress: Progress) -> None:
            last[:] = [progress]

        with Heartbeat(beat, stop, seconds=_BEAT_SECONDS):
            try:
                result = self._perform(claimed.job, Run(stop, report))
            except Exception as error:  # noqa: BLE001 - the job fails, the worker goes on
                if stop.is_set():
                    # Cancelled, lost, or the worker ends; only in the last case is it ours.
                    self._queue.release(claimed)
                    return Ended(None)
                return self._fail(claimed, error)
            if isinstance(result, dict) and result.get("interrupted"):
                self._queue.release(claimed)
                return Ended(None)
            is_ours = self._persist(lambda: self._queue.finish(claimed, result))
        return Ended(JobState.DONE if is_ours else None)

    def _fail(self, claimed: ClaimedJob, error: Exception) -> Ended:
        if isinstance(error, KvasirError):
            code, message = error.code, str(error)
        else:
            code, message = KvasirError.code, describe_unexpected(error)
            logger.exception("job %s failed", claimed.job.id, exc_info=error)
        is_final = isinstance(error, RequestError)
        delay = None if is_final else retry_delay(claimed.job.attempts)
        if not self._persist(lambda: self._queue.fail(claimed, code, message, retry_after=delay)):
            return Ended(None)
        is_last = delay is None or claimed.job.attempts >= self._queue.max_attempts
        state = JobState.FAILED if is_last else JobState.WAITING
        return Ended(state, code, message, delay or 0.0)

    def _persist(self, write: Callable[[], bool]) -> bool:
        return persist(write, self._stop)
