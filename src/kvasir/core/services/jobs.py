"""Durable jobs, and the spool of uploaded bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, BinaryIO, Protocol

from kvasir.core.run import Progress


class JobState(StrEnum):
    """The state of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


BATCH = "batch"
"""In place of the digest of a job that needs several uploads."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to add.

    Attributes:
        task: The name of a function in ``kvasir.tasks``.
        arguments: Its arguments: ids and short values, never bytes.
        key: Adding a second job of the same user and key returns the first; empty: always new.
        digest: Of the bytes in the spool that it needs; empty if it needs none, ``BATCH`` if it
            needs several, which stand in its arguments.
    """

    task: str
    arguments: Mapping[str, Any]
    user_id: int = 0
    collection: str = ""
    key: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """Durable work.

    Attributes:
        position: Number of jobs before it; 0 if it does not wait.
        reason: Why it waits, in a short sentence; empty if it does not.
        attempts: How often it was started.
        progress: The last progress of the running attempt.
        result: What the task returned.
        code: The code of the error that the last attempt ended with; empty if none.
        message: The error in one line.
    """

    id: str
    task: str
    arguments: Mapping[str, Any]
    user_id: int
    collection: str
    state: JobState
    created: datetime
    position: int = 0
    reason: str = ""
    attempts: int = 0
    started: datetime | None = None
    finished: datetime | None = None
    progress: Progress | None = None
    result: Any = None
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that a worker holds by a lease; ``token`` fences off a worker that lost it."""

    job: Job
    token: str


def digests_of(arguments: Mapping[str, Any]) -> list[str]:
    """Return the digests of the bytes in the spool that the arguments of a job name."""
    return [
        each[name]
        for each in (arguments, *arguments.get("sources", ()))
        for name in ("digest", "texts")
        if name in each
    ]


class JobQueue(Protocol):
    """Durable jobs with leases: each is finished once, however often workers die."""

    @property
    def max_attempts(self) -> int:
        """How often a job is started before it has failed."""

    def add(self, job: NewJob) -> Job:
        """Add a job, or return the one with its key."""

    def job(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            NotFoundError: There is none.
        """

    def jobs(
        self,
        *,
        user_id: int | None = None,
        collection: str | None = None,
        task: str | None = None,
        states: Collection[JobState] = (),
        before: str = "",
        limit: int = 100,
    ) -> list[Job]:
        """Return jobs, newest first; ``before`` is the id of the last one of the page before."""

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: at once if it waits, soon if it runs."""

    def retry(self, job_id: str) -> Job:
        """Put a failed or cancelled job at the end of the queue.

        Raises:
            ConflictError: It waits, runs or is done.
        """

    def claim(self, *, lease_seconds: float, job_id: str = "") -> ClaimedJob | None:
        """Take the oldest job that may be started, those of a worker that died included.

        With an id, take that job; None if it may not be started now.
        """

    def heartbeat(
        self, claimed: ClaimedJob, progress: Progress | None, *, lease_seconds: float
    ) -> bool:
        """Prolong the lease; False if it was lost or the job was cancelled: stop then."""

    def is_held(self, task: str) -> bool:
        """Return True if a worker that is alive works on a job of a task."""

    def finish(self, claimed: ClaimedJob, result: Any) -> bool:
        """Record the result; False if the lease was lost."""

    def fail(
        self, claimed: ClaimedJob, code: str, message: str, *, retry_after: float | None
    ) -> bool:
        """Record an error; ``retry_after`` seconds later it is tried again, None: never."""

    def release(self, claimed: ClaimedJob) -> None:
        """Give a job back unfinished, as a worker that is shut down does."""

    def counts(self) -> Mapping[JobState, int]:
        """Return how many jobs are in each state."""

    def oldest_waiting_seconds(self) -> float:
        """Return the age of the oldest job that waits; 0 if there is none."""

    def needs(self, digest: str, *, besides: str = "") -> bool:
        """Return True if a job that is not done needs these bytes, other than a job of that id."""

    def delete_before(self, date: datetime) -> int:
        """Delete jobs that ended before; return how many."""

    def close(self) -> None:
        """Release the database."""


class UnsentJobs(Protocol):
    """What a broker that carries the ids of jobs leaves to their table: which are to be sent."""

    def take_unsent(self, *, limit: int) -> list[tuple[str, str]]:
        """Mark jobs that are to be sent as sent; return the id and task of each, oldest first.

        These are new ones, those whose next attempt is due, and those whose worker died.
        """

    def forget_sent(self, ids: Collection[str]) -> None:
        """Let jobs be sent again, because the broker did not take them."""

    def forget_lost(self, tasks: Collection[str], *, seconds: float, is_empty: bool) -> int:
        """Let the waiting jobs of a queue be sent again whose messages are lost.

        A queue gives its messages in the order in which they were sent. So one is lost if another
        one that was sent more than ``seconds`` later has been started, or if the queue is empty.

        Args:
            tasks: The tasks whose jobs are in the queue.
            seconds: How much later.
            is_empty: The broker's queue has no message.

        Returns:
            Their number.
        """


class Spool(Protocol):
    """Keeps the bytes of uploads until, and if wanted after, they are indexed.

    Who adds a job for bytes that were put, and who deletes bytes that nothing needs, does so while
    holding ``lock``: otherwise the bytes of a new upload could be deleted with an old document that
    had the same ones.
    """

    def lock(self) -> AbstractContextManager[object]:
        """Return a short lock, of all processes that use the spool."""

    def put(self, stream: BinaryIO, *, max_bytes: int) -> tuple[str, int]:
        """Store bytes durably; return their SHA-256, hexadecimal, by which they are read, and size.

        Raises:
            TooLargeError: There are more bytes than allowed; nothing is kept.
        """

    def open(self, digest: str) -> BinaryIO:
        """Open stored bytes.

        Raises:
            NotFoundError: There are none.
        """

    def has(self, digest: str) -> bool:
        """Return True if the bytes are stored."""

    def delete(self, digest: str) -> None:
        """Delete stored bytes; unknown ones are no error."""

    def digests(self) -> Iterator[str]:
        """Yield the digests of what is stored, and delete what an interrupted upload left."""
