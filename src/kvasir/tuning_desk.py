"""The jobs of J2B and FT: a durable queue, a folder and a file of events for each job.

Any number of processes of one machine may open the same folder: each takes submissions, follows
every job, and does one job at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from kvasir.core import registry
from kvasir.core.deadline import check
from kvasir.core.errors import RequestError, StoppedError
from kvasir.core.private_files import make_private_folder
from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.services.jobs import Job, JobState, NewJob
from kvasir.core.services.tuning import JobNews, MemoryEstimator, MemoryNeed, TuningRunner
from kvasir.core.wire import to_json
from kvasir.database import open_database
from kvasir.jobs.event_log import EventLog, read_events, size_of
from kvasir.jobs.sql import SqlJobQueue
from kvasir.jobs.worker import JobWorker
from kvasir.settings import components
from kvasir.settings.running_services import FOLDER
from kvasir.settings.schema import Settings
from kvasir.settings.zeromq_schema import TuningSettings

FAMILIES = {"j2b": "data_preparers", "ft": "tuners"}
"""The family of plug-ins that run the jobs of each service."""
_FINAL = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
_LEASE_SECONDS = 15.0
_LOOK_SECONDS = 0.05
_STATE_SECONDS = 0.5
"""Between two looks at the state of a job that has no events."""
_MOST_ATTEMPTS = 3
_EVENTS = "events.jsonl"


class TuningDesk:
    """Takes, does and follows the jobs of one service; close it, or use it in a ``with``."""

    def __init__(self, settings: Settings, part: str) -> None:
        """Open the queue; ``work`` does its jobs.

        Args:
            settings: The settings.
            part: j2b or ft.
        """
        self._part, self._family = part, FAMILIES[part]
        section = settings.service_of(TuningSettings)
        self._chosen = dict(section.part(part).runners)
        self._data_dir = settings.data_folder
        self._folder = settings.data_folder / FOLDER / part
        make_private_folder(self._folder)
        self._opened = ExitStack()
        engine = open_database(f"sqlite:///{self._folder / 'jobs.db'}")
        self._opened.callback(engine.dispose)
        self._queue = SqlJobQueue(engine, max_attempts=_MOST_ATTEMPTS)
        self._stop = StopToken()
        self._worker = JobWorker(
            self._queue, self._perform, stop=self._stop, lease_seconds=_LEASE_SECONDS
        )
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def work(self) -> None:
        """Do jobs in a thread, one after the other."""
        self._thread = threading.Thread(target=self._worker.run, name=f"{self._part} jobs")
        self._thread.start()

    def close(self) -> None:
        """Give the job that is running back to the queue, and release the database."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._opened.close()

    @property
    def runners(self) -> Sequence[str]:
        """The names of what can be run: those of the settings, and what is installed."""
        return sorted({*self._chosen, *registry.names(self._family)})

    def submit(self, runner: str, arguments: Mapping[str, Any], *, key: str = "") -> Job:
        """Add a job, as ``TuningJobs.submit``."""
        self._make(runner).check(arguments)
        job = self._queue.add(NewJob(runner, dict(arguments), key=key))
        self._worker.wake()
        return job

    def memory(self, runner: str, arguments: Mapping[str, Any]) -> MemoryNeed | None:
        """Return the memory that a job would need, as ``TuningJobs.memory``."""
        made = self._make(runner)
        made.check(arguments)
        return made.memory(arguments) if isinstance(made, MemoryEstimator) else None

    def job(self, job_id: str) -> Job:
        """Return a job, as ``TuningJobs.job``."""
        return self._queue.job(job_id)

    def jobs(self, *, limit: int = 100, before: str = "") -> list[Job]:
        """Return jobs, newest first."""
        return self._queue.jobs(limit=limit, before=before)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, as ``TuningJobs.cancel``."""
        return self._queue.cancel(job_id)

    def news(self, job_id: str, after: int, wait_seconds: float) -> JobNews:
        """Return the events after a number, as ``TuningJobs.news``."""
        end = time.monotonic() + wait_seconds
        job = self._queue.job(job_id)
        file = self._place(job_id) / _EVENTS
        next_state = time.monotonic() + _STATE_SECONDS
        while True:
            size = size_of(file)
            events = read_events(file, after)
            if events or job.state in _FINAL or time.monotonic() > end:
                break
            while size_of(file) == size and time.monotonic() < min(end, next_state):
                check("following a job")
                time.sleep(_LOOK_SECONDS)
            if time.monotonic() >= next_state:
                next_state = time.monotonic() + _STATE_SECONDS
                job = self._queue.job(job_id)
        # The state was read before the events: what came in between is not missed.
        return JobNews(job, events, is_over=job.state in _FINAL and not events)

    def _place(self, job_id: str) -> Path:
        return self._folder / job_id

    def _make(self, name: str) -> TuningRunner:
        if name not in self.runners:
            known = ", ".join(self.runners) or "none is installed"
            raise RequestError(f"there is no runner '{name}' of {self._part} (there are: {known})")
        chosen = self._chosen.get(name)
        kind, options = (chosen.type, chosen.options) if chosen else (name, {})
        made: TuningRunner = components.build(
            self._family, kind, options, {"data_dir": self._data_dir}
        )
        return made

    def _perform(self, job: Job, run: Run) -> Any:
        folder = self._place(job.id)
        make_private_folder(folder)
        log = EventLog(folder / _EVENTS)
        log.add("started", {"attempt": job.attempts})

        def progress(now: Progress) -> None:
            log.add("progress", to_json(now))
            run.progress(now)

        try:
            return dict(
                self._make(job.task).run(
                    job.arguments,
                    folder,
                    Run(run.stop, progress),
                    lambda data: log.add("report", data),
                )
            )
        except StoppedError:
            log.add("stopped", {})
            raise
