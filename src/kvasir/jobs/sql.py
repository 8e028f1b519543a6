"""The queue of jobs in a table of the database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Connection,
    Engine,
    Text,
    and_,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from kvasir.core.errors import ConflictError
from kvasir.core.queue_workers import retry_delay
from kvasir.core.run import Progress
from kvasir.core.services.jobs import BATCH, ClaimedJob, Job, JobState, NewJob
from kvasir.core.wire import from_json, to_json
from kvasir.database import leases, queues, reading, writing
from kvasir.database.dialects import epoch_seconds
from kvasir.database.leases import to_datetime
from kvasir.database.processes import new_token
from kvasir.jobs.tables import jobs

_OPEN = (JobState.WAITING, JobState.RUNNING)
_KEPT = ("id", "task", "arguments", "user_id", "collection", "key", "digest", "created")
_WITH_POSITIONS = queues.with_positions(jobs, JobState.WAITING, _OPEN).add_columns(
    (jobs.c.due - epoch_seconds()).label("wait")
)


class SqlJobQueue:
    """Durable jobs with leases. See ``JobQueue``."""

    def __init__(self, engine: Engine, *, max_attempts: int = 5) -> None:
        """Use a migrated database.

        Args:
            engine: The database.
            max_attempts: A job whose worker died so often has failed.
        """
        self._engine = engine
        self._max_attempts = max_attempts

    @property
    def max_attempts(self) -> int:
        return self._max_attempts

    def add(self, job: NewJob) -> Job:
        row = {
            "id": str(uuid4()),
            "task": job.task,
            "arguments": dict(job.arguments),
            "user_id": job.user_id,
            "collection": job.collection,
            "key": job.key or None,
            "digest": job.digest or None,
            "state": JobState.WAITING,
            "created": epoch_seconds(),
            "due": leases.AT_ONCE,
            "attempts": 0,
        }
        return self.job(queues.insert_once(self._engine, jobs, row))

    def job(self, job_id: str) -> Job:
        with reading(self._engine) as connection:
            return _job(_found(connection, job_id))

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
        query = _WITH_POSITIONS.order_by(jobs.c.number.desc()).limit(limit)
        if user_id is not None:
            query = query.where(jobs.c.user_id == user_id)
        if collection is not None:
            query = query.where(jobs.c.collection == collection)
        if task is not None:
            query = query.where(jobs.c.task == task)
        if states:
            query = query.where(jobs.c.state.in_(list(states)))
        with reading(self._engine) as connection:
            if before:
                query = query.where(jobs.c.number < _found(connection, before).number)
            return [_job(row) for row in connection.execute(query).all()]

    def cancel(self, job_id: str) -> Job:
        with writing(self._engine) as connection:
            leases.lock(connection, jobs, jobs.c.id == job_id)
            row = _found(connection, job_id)
            # Without its token, the worker that runs it stops at the next heartbeat.
            ended = {"lease_token": None, "lease_until": None, "finished": epoch_seconds()}
            connection.execute(
                update(jobs)
                .where(jobs.c.number == row.number, jobs.c.state.in_(_OPEN))
                .values(state=JobState.CANCELLED, **ended)
            )
        return self.job(job_id)

    def retry(self, job_id: str) -> Job:
        with writing(self._engine) as connection:
            leases.lock(connection, jobs, jobs.c.id == job_id)
            row = _found(connection, job_id)
            if row.state not in (JobState.FAILED, JobState.CANCELLED):
                raise ConflictError(f"the job is {row.state}: only a failed or cancelled one")
            kept = {name: row._mapping[name] for name in _KEPT if row._mapping[name] is not None}
            # A new row has a new number, which puts it at the end. Numbers are the database's.
            connection.execute(delete(jobs).where(jobs.c.number == row.number))
            fresh = {"state": JobState.WAITING, "due": leases.AT_ONCE, "attempts": 0}
            connection.execute(insert(jobs).values(**kept, **fresh))
        return self.job(job_id)

    def claim(self, *, lease_seconds: float, job_id: str = "") -> ClaimedJob | None:
        self._take_back()
        ready = jobs.c.state.in_(_OPEN)
        given_up = {
            "state": JobState.FAILED,
            "finished": epoch_seconds(),
            "code": "component_failed",
            "message": queues.DIED.format(self._max_attempts),
        }
        row = queues.claim(
            self._engine,
            jobs,
            and_(ready, jobs.c.id == job_id) if job_id else ready,
            lease_seconds=lease_seconds,
            max_attempts=self._max_attempts,
            given_up=given_up,
            token=new_token(),
            state=JobState.RUNNING,
            started=epoch_seconds(),
        )
        return None if row is None else ClaimedJob(_job(row), row.lease_token)

    def _take_back(self) -> None:
        """Let jobs of processes that have ended wait for their next attempt, not for the lease."""
        with reading(self._engine) as connection:
            found = leases.abandoned(connection, jobs, jobs.c.state == JobState.RUNNING)
        for row in found:
            again = {"due": epoch_seconds() + retry_delay(row.attempts)}
            with writing(self._engine) as connection:
                waiting = {"state": JobState.WAITING, "sent": None, **again}
                leases.settle(connection, jobs, row.id, row.lease_token, **waiting)

    def heartbeat(
        self, claimed: ClaimedJob, progress: Progress | None, *, lease_seconds: float
    ) -> bool:
        values = {} if progress is None else {"progress": to_json(progress)}
        row_id, token = claimed.job.id, claimed.token
        with writing(self._engine) as connection:
            return leases.renew(
                connection, jobs, row_id, token, lease_seconds=lease_seconds, **values
            )

    def is_held(self, task: str) -> bool:
        held = (jobs.c.state == JobState.RUNNING, jobs.c.lease_until > epoch_seconds())
        with reading(self._engine) as connection:
            query = select(jobs.c.number).where(jobs.c.task == task, *held).limit(1)
            return connection.execute(query).first() is not None

    def finish(self, claimed: ClaimedJob, result: Any) -> bool:
        done = {"result": result, "code": None, "message": None}
        with writing(self._engine) as connection:
            return self._settle(connection, claimed.job.id, claimed.token, JobState.DONE, **done)

    def fail(
        self, claimed: ClaimedJob, code: str, message: str, *, retry_after: float | None
    ) -> bool:
        failure = {"code": code, "message": message}
        with writing(self._engine) as connection:
            if retry_after is None or claimed.job.attempts >= self._max_attempts:
                state = JobState.FAILED
                return self._settle(connection, claimed.job.id, claimed.token, state, **failure)
            due = epoch_seconds() + retry_after
            again = {"state": JobState.WAITING, "due": due, "sent": None}
            return leases.settle(
                connection, jobs, claimed.job.id, claimed.token, **again, **failure
            )

    def release(self, claimed: ClaimedJob) -> None:
        back = {
            "state": JobState.WAITING,
            "attempts": claimed.job.attempts - 1,
            "sent": None,
        }
        with writing(self._engine) as connection:
            leases.settle(connection, jobs, claimed.job.id, claimed.token, **back)

    def take_unsent(self, *, limit: int) -> list[tuple[str, str]]:
        self._take_back()
        now = epoch_seconds()
        is_due = jobs.c.due <= now
        is_new = and_(jobs.c.state == JobState.WAITING, jobs.c.sent.is_(None), is_due)
        not_since = or_(jobs.c.sent.is_(None), jobs.c.sent < jobs.c.lease_until)
        has_died = and_(jobs.c.state == JobState.RUNNING, jobs.c.lease_until < now, not_since)
        unsent = or_(is_new, has_died)
        found = select(jobs.c.number, jobs.c.id, jobs.c.task).where(unsent)
        with reading(self._engine) as connection:
            rows = connection.execute(found.order_by(jobs.c.number).limit(limit)).all()
        if not rows:
            return []
        mine = jobs.c.number.in_([row.number for row in rows])
        with writing(self._engine) as connection:
            taken = connection.execute(update(jobs).where(mine, unsent).values(sent=now)).rowcount
        # Where another process took a part of them, these are sent twice, which does no harm.
        return [(row.id, row.task) for row in rows] if taken else []

    def forget_sent(self, ids: Collection[str]) -> None:
        with writing(self._engine) as connection:
            waiting = (jobs.c.id.in_(list(ids)), jobs.c.state.in_(_OPEN))
            connection.execute(update(jobs).where(*waiting).values(sent=None))

    def forget_lost(self, tasks: Collection[str], *, seconds: float, is_empty: bool) -> int:
        of_queue = jobs.c.task.in_(list(tasks))
        with writing(self._engine) as connection:
            if is_empty:
                newest = connection.execute(select(epoch_seconds())).scalar()
            else:
                begun = (of_queue, jobs.c.state != JobState.WAITING, jobs.c.started.is_not(None))
                newest = connection.execute(select(func.max(jobs.c.sent)).where(*begun)).scalar()
            if newest is None:
                return 0
            lost = (of_queue, jobs.c.state == JobState.WAITING, jobs.c.sent < newest - seconds)
            return connection.execute(update(jobs).where(*lost).values(sent=None)).rowcount

    def counts(self) -> Mapping[JobState, int]:
        query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        with reading(self._engine) as connection:
            found = {row[0]: row[1] for row in connection.execute(query).all()}
        return {state: found.get(state, 0) for state in JobState}

    def oldest_waiting_seconds(self) -> float:
        oldest = select(func.min(jobs.c.created)).where(jobs.c.state == JobState.WAITING)
        with reading(self._engine) as connection:
            created = connection.execute(oldest).scalar()
            if created is None:
                return 0.0
            now = connection.execute(select(epoch_seconds())).scalar_one()
        return max(0.0, float(now) - float(created))

    def needs(self, digest: str, *, besides: str = "") -> bool:
        # A failed or cancelled one may be tried again.
        needing = (jobs.c.state != JobState.DONE, jobs.c.id != besides)
        is_its = jobs.c.digest == digest
        # A batch has many: they stand in its arguments alone.
        in_batch = (jobs.c.digest == BATCH) & cast(jobs.c.arguments, Text).contains(digest)
        with reading(self._engine) as connection:
            found = select(jobs.c.id).where(is_its | in_batch, *needing)
            return connection.execute(found).first() is not None

    def delete_before(self, date: datetime) -> int:
        ended = (jobs.c.state.not_in(_OPEN), jobs.c.finished < date.timestamp())
        with writing(self._engine) as connection:
            return connection.execute(delete(jobs).where(*ended)).rowcount

    def close(self) -> None:
        """Do nothing: the database belongs to the caller."""

    def _settle(self, connection: Any, job_id: str, token: str, state: str, **values: Any) -> bool:
        ended = {"state": state, "finished": epoch_seconds()}
        return leases.settle(connection, jobs, job_id, token, **ended, **values)


def _found(connection: Connection, job_id: str) -> Any:
    return queues.find(connection, _WITH_POSITIONS, jobs, job_id, "job")


def _job(row: Any) -> Job:
    """Return the job of a row; that of a claim has no position."""
    state, position, reason = JobState(row.state), 0, ""
    if state is JobState.WAITING:
        position, reason = row.position, _reason(row.position, row.wait, row.message)
    return Job(
        id=row.id,
        task=row.task,
        arguments=row.arguments,
        user_id=row.user_id,
        collection=row.collection,
        state=state,
        created=to_datetime(row.created),
        position=position,
        reason=reason,
        attempts=row.attempts,
        started=None if row.started is None else to_datetime(row.started),
        finished=None if row.finished is None else to_datetime(row.finished),
        progress=None if row.progress is None else from_json(Progress, row.progress),
        result=row.result,
        code=row.code or "",
        message=row.message or "",
    )


def _reason(position: int, wait: float, message: str | None) -> str:
    if wait > 0 and message:
        return f"tried again in {wait:.0f} s, because of: {message}"
    if position:
        return f"{position} job{'s' if position > 1 else ''} before it"
    return "it is the next one, as soon as a worker is free"
