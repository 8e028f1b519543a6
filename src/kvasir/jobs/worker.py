"""Works off the queue of jobs in a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from kvasir.core.errors import KvasirError, RequestError, describe_unexpected
from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.services.jobs import ClaimedJob, Job, JobQueue

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
_FIRST_DELAY = 2.0
_LONGEST_DELAY = 300.0


def retry_delay(attempts: int) -> float:
    """Return the seconds to wait after a number of attempts: 2, 4, 8, ..., at most 300."""
    return float(min(_FIRST_DELAY * 2 ** max(0, attempts - 1), _LONGEST_DELAY))


class JobWorker:
    """Takes jobs one after the other, until its token is set; then gives the last one back."""

    def __init__(
        self,
        queue: JobQueue,
        perform: Callable[[Job, Run], Any],
        *,
        stop: StopToken,
        idle_seconds: float = 1.0,
    ) -> None:
        """Start nothing yet.

        Args:
            queue: The queue.
            perform: Does a job and returns its result as plain data.
            stop: Ends the work.
            idle_seconds: Wait between two looks at an empty queue; ``wake`` ends it.
        """
        self._queue = queue
        self._perform = perform
        self._stop = stop
        self._idle = idle_seconds
        self._wake = threading.Event()

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def run(self) -> None:
        """Work until the token is set; a failing database is tried again."""
        with self._stop.calling(self._wake.set):
            while not self._stop.is_set():
                self._wake.clear()
                try:
                    worked = self.work_once()
                except KvasirError as error:
                    logger.error("the queue of jobs cannot be read: %s", error)
                    worked = False
                if not worked and not self._stop.is_set():
                    self._wake.wait(self._idle)

    def work_once(self) -> bool:
        """Do the next job; False if there is none."""
        claimed = self._queue.claim(lease_seconds=LEASE_SECONDS)
        if claimed is None:
            return False
        stop = StopToken(self._stop)
        with _Heartbeat(self._queue, claimed, stop) as heartbeat:
            try:
                result = self._perform(claimed.job, Run(stop, heartbeat.report))
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
                    self._queue.finish(claimed, result)
        return True

    def _fail(self, claimed: ClaimedJob, error: Exception) -> None:
        if isinstance(error, KvasirError):
            code, message = error.code, str(error)
        else:
            code, message = KvasirError.code, describe_unexpected(error)
            logger.exception("job %s failed", claimed.job.id, exc_info=error)
        is_final = isinstance(error, RequestError)
        delay = None if is_final else retry_delay(claimed.job.attempts)
        self._queue.fail(claimed, code, message, retry_after=delay)


class _Heartbeat:
    """Prolongs the lease of a job while it runs; sets the token when the lease is lost."""

    def __init__(self, queue: JobQueue, claimed: ClaimedJob, stop: StopToken) -> None:
        self._queue = queue
        self._claimed = claimed
        self._stop = stop
        self._progress: Progress | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="job heartbeat", daemon=True)

    def report(self, progress: Progress) -> None:
        """Keep the progress for the next heartbeat."""
        self._progress = progress

    def __enter__(self) -> _Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        # Often, so that progress is seen; the lease lasts for many beats.
        while not self._ended.wait(LEASE_SECONDS / 30):
            try:
                held = self._queue.heartbeat(
                    self._claimed, self._progress, lease_seconds=LEASE_SECONDS
                )
            except KvasirError as error:
                logger.warning("a heartbeat failed: %s", error)
                continue
            if not held:
                self._stop.set()
                return
