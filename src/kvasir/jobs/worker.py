"""Works off the queue of jobs in a thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from kvasir.core.errors import KvasirError, RequestError, describe_unexpected
from kvasir.core.queue_workers import Heartbeat, QueueWorker, persist, retry_delay
from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.services.jobs import ClaimedJob, Job, JobQueue

logger = logging.getLogger(__name__)

_BEAT_SECONDS = 1.0
"""Often, so that progress is seen; the lease lasts for many beats."""


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
        stop = StopToken(self._stop)
        last: list[Progress] = []

        def beat() -> bool:
            progress = last[-1] if last else None
            return self._queue.heartbeat(claimed, progress, lease_seconds=self._lease_seconds)

        def report(progress: Progress) -> None:
            last[:] = [progress]

        with Heartbeat(beat, stop, seconds=_BEAT_SECONDS):
            try:
                result = self._perform(claimed.job, Run(stop, report))
            except Exception as error:  # noqa: BLE001 - the job fails, the worker goes on
                if stop.is_set():
                    # Cancelled, lost, or the worker ends; only in the last case is it ours.
                    self._queue.release(claimed)
                else:
                    self._fail(claimed, error)
            else:
                if isinstance(result, dict) and result.get("interrupted"):
                    self._queue.release(claimed)
                else:
                    self._persist(lambda: self._queue.finish(claimed, result))
        return True

    def _fail(self, claimed: ClaimedJob, error: Exception) -> None:
        if isinstance(error, KvasirError):
            code, message = error.code, str(error)
        else:
            code, message = KvasirError.code, describe_unexpected(error)
            logger.exception("job %s failed", claimed.job.id, exc_info=error)
        is_final = isinstance(error, RequestError)
        delay = None if is_final else retry_delay(claimed.job.attempts)
        self._persist(lambda: self._queue.fail(claimed, code, message, retry_after=delay))

    def _persist(self, write: Callable[[], bool]) -> bool:
        return persist(write, self._stop)
