"""Tuning jobs: what runs them, and what their clients may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from kvasir.core.run import Run
from kvasir.core.services.jobs import Job

LONGEST_LINE = 16 << 20
"""Bytes of a line of JSONL at most."""
Report = Callable[[Mapping[str, Any]], None]
"""Takes plain data, such as ``{"step": 10, "loss": 2.5}``, which followers get at once."""


class TuningRunner(Protocol):
    """Prepares training data, or tunes a model. Its class is a plug-in, made from the settings.

    Arguments come from clients: a path among them must not be opened, but a name of what the
    operator allows may be looked up.
    """

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Check the arguments of a new job.

        Raises:
            RequestError: They cannot be used.
        """

    def run(
        self, arguments: Mapping[str, Any], folder: Path, run: Run, report: Report
    ) -> Mapping[str, Any]:
        """Do a job and return its result as plain data.

        Args:
            arguments: Those that were checked.
            folder: For what the job keeps. It has what an earlier attempt left, if the worker of
                that one ended.
            run: Stops it, and takes its progress.
            report: Takes what followers want to see, such as a loss.

        Raises:
            StoppedError: The run was stopped.
        """


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """The memory that a job would need, and what is free where it would run.

    Attributes:
        needed: Bytes, about.
        free: Bytes; None if unknown.
        device: Such as ``cpu`` or ``cuda:0``.
    """

    needed: int
    free: int | None
    device: str


@runtime_checkable
class MemoryEstimator(Protocol):
    """A runner that knows how much memory a job needs."""

    def memory(self, arguments: Mapping[str, Any]) -> MemoryNeed:
        """Return the memory that a job of checked arguments would need.

        Raises:
            KvasirError: The base cannot be read.
        """


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job.

    Attributes:
        number: From 1, without gaps.
        kind: started, progress, report, or stopped (which another attempt may follow).
        data: Plain data.
    """

    number: int
    time: datetime
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobNews:
    """What a follower has not seen yet.

    Attributes:
        job: Its present state.
        events: In their order.
        is_over: Nothing more will come.
    """

    job: Job
    events: Sequence[JobEvent]
    is_over: bool


class TuningJobs(Protocol):
    """The jobs of one service of tuning."""

    @property
    def runners(self) -> Sequence[str]:
        """The names of what can be run."""

    def submit(self, runner: str, arguments: Mapping[str, Any], *, key: str = "") -> Job:
        """Add a job; a second one of the same key returns the first.

        Raises:
            RequestError: There is no such runner, or it cannot use the arguments.
        """

    def memory(self, runner: str, arguments: Mapping[str, Any]) -> MemoryNeed | None:
        """Return the memory that a job would need; None if its runner does not know it.

        Raises:
            RequestError: There is no such runner, or it cannot use the arguments.
        """

    def job(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            NotFoundError: There is none.
        """

    def jobs(self, *, limit: int = 100, before: str = "") -> list[Job]:
        """Return jobs, newest first; ``before`` is the id of the last one of the page before."""

    def news(self, job_id: str, after: int, wait_seconds: float) -> JobNews:
        """Return the events after a number; wait for the next one if there are none.

        Raises:
            NotFoundError: There is no such job.
        """

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: at once if it waits, soon if it runs."""
