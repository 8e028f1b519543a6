"""The contracts of ``JobQueue`` and ``Spool``: subclass one and override one fixture.

    class TestMyQueue(JobQueueContract):
        @pytest.fixture
        def make_queue(self):
            return lambda **options: MyQueue(**options)

All queues of one fixture are on the same, empty data; ``options`` may be ``max_attempts``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from time import sleep
from typing import Any

import pytest

from kvasir.core.errors import ConflictError, NotFoundError, TooLargeError
from kvasir.core.run import Progress
from kvasir.core.services.jobs import ClaimedJob, JobQueue, JobState, NewJob, Spool

MakeJobQueue = Callable[..., JobQueue]

LONG = 60.0
SHORT = 0.05
"""Length of leases that end during a test, in seconds."""


def new_job(number: int = 0, *, user: int = 1, key: str = "", collection: str = "c") -> NewJob:
    """Return a job to add."""
    return NewJob("ingest", {"number": number, "name": "Té ☕"}, user, collection, key)


def claimed(queue: JobQueue, lease_seconds: float = LONG) -> ClaimedJob:
    """Return the next job, of which there must be one."""
    found = queue.claim(lease_seconds=lease_seconds)
    assert found is not None
    return found


class JobQueueContract:
    """What must hold for all queues of jobs; see the module on how to use it."""

    @pytest.fixture
    def make_queue(self) -> MakeJobQueue:
        raise NotImplementedError("override the fixture 'make_queue'")

    @pytest.fixture
    def queue(self, make_queue: MakeJobQueue) -> JobQueue:
        return make_queue()

    def test_a_job_waits_with_its_position_and_reason(self, queue: JobQueue) -> None:
        first, second = queue.add(new_job(1)), queue.add(new_job(2, user=2))
        assert (first.position, second.position) == (0, 1)
        assert (second.state, second.reason) == (JobState.WAITING, "1 job before it")
        assert first.reason
        assert second.arguments == {"number": 2, "name": "Té ☕"}
        assert (second.task, second.user_id, second.collection) == ("ingest", 2, "c")
        assert queue.job(second.id) == second
        with pytest.raises(NotFoundError):
            queue.job("x")

    def test_the_same_key_of_a_user_adds_once(self, queue: JobQueue) -> None:
        first = queue.add(new_job(1, key="k"))
        assert queue.add(new_job(2, key="k")) == first
        assert queue.add(new_job(3, user=2, key="k")).id != first.id
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda n: queue.add(new_job(n, key="same")).id, range(4)))
        assert len(set(made)) == 1

    def test_lists_are_newest_first_and_filtered(self, queue: JobQueue) -> None:
        ids = [queue.add(new_job(n, user=n % 2, collection=f"c{n % 3}")).id for n in range(6)]
        assert [job.id for job in queue.jobs()] == ids[::-1]
        assert [job.id for job in queue.jobs(user_id=1)] == [ids[5], ids[3], ids[1]]
        assert [job.id for job in queue.jobs(collection="c0")] == [ids[3], ids[0]]
        assert [job.id for job in queue.jobs(before=ids[2], limit=1)] == [ids[1]]
        queue.cancel(ids[2])
        assert [job.id for job in queue.jobs(states=[JobState.CANCELLED])] == [ids[2]]

    def test_jobs_are_claimed_in_their_order(self, queue: JobQueue) -> None:
        ids = [queue.add(new_job(n)).id for n in range(4)]
        taken = [claimed(queue) for _ in ids]
        assert [each.job.id for each in taken] == ids
        assert {each.job.state for each in taken} == {JobState.RUNNING}
        assert queue.claim(lease_seconds=LONG) is None

    def test_threads_finish_each_job_once(self, queue: JobQueue) -> None:
        ids = [queue.add(new_job(n)).id for n in range(16)]

        def work(_: int) -> list[str]:
            found = []
            while taken := queue.claim(lease_seconds=LONG):
                found.append(taken.job.id)
                assert queue.finish(taken, {"done": 1})
            return found

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(work, range(4)))
        assert Counter(each for part in found for each in part) == Counter(ids)
        for part in found:
            assert part == sorted(part, key=ids.index)

    def test_a_finished_job_has_its_result(self, queue: JobQueue) -> None:
        job = queue.add(new_job())
        taken = claimed(queue)
        assert queue.finish(taken, {"added": [1, 2], "text": "Ñ"})
        found = queue.job(job.id)
        assert (found.state, found.result) == (JobState.DONE, {"added": [1, 2], "text": "Ñ"})
        assert found.started and found.finished
        assert found.started <= found.finished
        with pytest.raises(ConflictError):
            queue.retry(job.id)

    def test_a_heartbeat_keeps_the_lease_and_the_progress(self, queue: JobQueue) -> None:
        job = queue.add(new_job())
        taken = claimed(queue, SHORT)
        progress = Progress("chunks", 3, 7, "chunks")
        assert queue.heartbeat(taken, progress, lease_seconds=LONG)
        sleep(SHORT * 2)
        assert queue.claim(lease_seconds=LONG) is None
        assert queue.heartbeat(taken, None, lease_seconds=LONG)
        assert queue.job(job.id).progress == progress

    def test_a_task_is_held_as_long_as_its_worker_prolongs_the_lease(self, queue: JobQueue) -> None:
        job = queue.add(new_job())
        assert not queue.is_held(job.task)
        taken = claimed(queue, SHORT)
        assert queue.heartbeat(taken, None, lease_seconds=LONG)
        sleep(SHORT * 2)
        assert queue.is_held(job.task)
        assert not queue.is_held("another")
        assert queue.heartbeat(taken, None, lease_seconds=SHORT)
        sleep(SHORT * 2)
        assert not queue.is_held(job.task)

    def test_a_job_of_a_worker_that_died_is_started_again(self, queue: JobQueue) -> None:
        queue.add(new_job())
        lost = claimed(queue, SHORT)
        sleep(SHORT * 2)
        taken = claimed(queue)
        assert (taken.job.id, taken.job.attempts) == (lost.job.id, 2)
        assert not queue.heartbeat(lost, None, lease_seconds=LONG)
        assert not queue.finish(lost, "late")
        assert not queue.fail(lost, "failed", "late", retry_after=None)
        queue.release(lost)
        assert queue.job(lost.job.id).state is JobState.RUNNING
        assert queue.finish(taken, "right")
        assert queue.job(lost.job.id).result == "right"

    def test_a_job_that_failed_is_tried_again_at_its_time(self, queue: JobQueue) -> None:
        late, soon = queue.add(new_job(1)), queue.add(new_job(2))
        for retry_after in (LONG, SHORT):
            taken = claimed(queue)
            assert queue.fail(taken, "component_busy", "too busy", retry_after=retry_after)
        found = queue.job(late.id)
        assert (found.state, found.code) == (JobState.WAITING, "component_busy")
        assert "too busy" in found.reason
        sleep(SHORT * 2)
        again = claimed(queue).job
        assert (again.id, again.attempts) == (soon.id, 2)
        assert queue.claim(lease_seconds=LONG) is None

    def test_a_job_fails_for_good_after_its_last_attempt(self, make_queue: MakeJobQueue) -> None:
        queue = make_queue(max_attempts=2)
        job = queue.add(new_job())
        for _ in range(2):
            assert queue.fail(claimed(queue), "component_failed", "broken", retry_after=0)
        found = queue.job(job.id)
        assert (found.state, found.message) == (JobState.FAILED, "broken")
        assert queue.claim(lease_seconds=LONG) is None

    def test_a_job_that_kills_its_workers_fails(self, make_queue: MakeJobQueue) -> None:
        queue = make_queue(max_attempts=2)
        job = queue.add(new_job())
        for _ in range(2):
            claimed(queue, SHORT)
            sleep(SHORT * 2)
        assert queue.claim(lease_seconds=LONG) is None
        assert queue.job(job.id).state is JobState.FAILED
        assert "2 times" in queue.job(job.id).message

    def test_a_job_given_back_counts_no_attempt(self, queue: JobQueue) -> None:
        queue.add(new_job())
        queue.release(claimed(queue))
        assert claimed(queue).job.attempts == 1

    def test_a_cancelled_job_is_taken_from_its_worker(self, queue: JobQueue) -> None:
        job = queue.add(new_job())
        taken = claimed(queue)
        assert queue.cancel(job.id).state is JobState.CANCELLED
        assert not queue.heartbeat(taken, None, lease_seconds=LONG)
        assert not queue.finish(taken, "late")
        assert queue.job(job.id).state is JobState.CANCELLED
        assert queue.claim(lease_seconds=LONG) is None

    def test_a_retried_job_goes_to_the_end_and_starts_afresh(self, queue: JobQueue) -> None:
        failed, other = queue.add(new_job(1, key="k")), queue.add(new_job(2))
        queue.fail(claimed(queue), "component_failed", "broken", retry_after=None)
        again = queue.retry(failed.id)
        assert (again.id, again.state, again.attempts) == (failed.id, JobState.WAITING, 0)
        assert (again.code, again.message, again.progress) == ("", "", None)
        assert again.arguments == failed.arguments
        # Jobs that are added later have their places after it, and keys are kept.
        later = queue.add(new_job(3))
        assert queue.add(new_job(4, key="k")).id == failed.id
        order = [claimed(queue).job.id for _ in range(3)]
        assert order == [other.id, failed.id, later.id]
        with pytest.raises(ConflictError):
            queue.retry(failed.id)

    def test_counts_are_by_state(self, queue: JobQueue) -> None:
        for n in range(3):
            queue.add(new_job(n))
        queue.finish(claimed(queue), None)
        claimed(queue)
        counts = queue.counts()
        assert counts[JobState.WAITING] == counts[JobState.RUNNING] == counts[JobState.DONE] == 1

    def test_bytes_are_needed_until_the_last_job_of_them_is_done(self, queue: JobQueue) -> None:
        digest = hashlib.sha256(b"tea").hexdigest()
        for n in range(2):
            queue.add(replace(new_job(n), digest=digest))
        first, second = claimed(queue), claimed(queue)
        assert queue.needs(digest, besides=first.job.id)
        queue.finish(first, None)
        # A job that failed, and one that is tried again, need them too.
        queue.fail(second, "error", "no", retry_after=None)
        assert queue.needs(digest) and not queue.needs(digest, besides=second.job.id)
        queue.retry(second.job.id)
        assert queue.needs(digest)
        queue.finish(claimed(queue), None)
        assert not queue.needs(digest)

    def test_the_age_of_the_queue_is_that_of_the_oldest_waiting_job(self, queue: JobQueue) -> None:
        assert queue.oldest_waiting_seconds() == 0.0
        queue.add(new_job())
        sleep(SHORT)
        assert SHORT / 2 < queue.oldest_waiting_seconds() < LONG
        claimed(queue)
        assert queue.oldest_waiting_seconds() == 0.0

    def test_old_jobs_that_have_ended_are_deleted(self, queue: JobQueue) -> None:
        queue.add(new_job(1))
        queue.finish(claimed(queue), None)
        waiting = queue.add(new_job(2))
        assert queue.delete_before(datetime.now(UTC) - timedelta(hours=1)) == 0
        assert queue.delete_before(datetime.now(UTC) + timedelta(hours=1)) == 1
        assert [job.id for job in queue.jobs()] == [waiting.id]

    def test_a_job_is_claimed_by_its_id(self, queue: JobQueue) -> None:
        first, second = queue.add(new_job(1)), queue.add(new_job(2))
        taken = queue.claim(lease_seconds=LONG, job_id=second.id)
        assert taken is not None
        assert taken.job.id == second.id
        assert queue.claim(lease_seconds=LONG, job_id=second.id) is None
        assert queue.claim(lease_seconds=LONG, job_id="x") is None
        assert claimed(queue).job.id == first.id


class UnsentJobsContract:
    """What must hold for a queue whose ids a broker carries; ``make_queue`` as above."""

    @pytest.fixture
    def make_queue(self) -> Callable[..., Any]:
        raise NotImplementedError("override the fixture 'make_queue'")

    @pytest.fixture
    def queue(self, make_queue: Callable[..., Any]) -> Any:
        return make_queue()

    def test_each_new_job_is_sent_once_and_oldest_first(self, queue: Any) -> None:
        ids = [queue.add(new_job(number)).id for number in range(5)]
        assert queue.take_unsent(limit=3) == [(each, "ingest") for each in ids[:3]]
        assert queue.take_unsent(limit=10) == [(each, "ingest") for each in ids[3:]]
        assert queue.take_unsent(limit=10) == []

    def test_what_the_broker_did_not_take_is_sent_again(self, queue: Any) -> None:
        ids = [queue.add(new_job(number)).id for number in range(3)]
        queue.take_unsent(limit=10)
        queue.forget_sent(ids[1:])
        assert [each for each, _ in queue.take_unsent(limit=10)] == ids[1:]

    def test_a_job_is_sent_again_for_its_next_attempt_and_not_before(self, queue: Any) -> None:
        job = queue.add(new_job())
        queue.take_unsent(limit=1)
        taken = claimed(queue)
        assert queue.fail(taken, "component_busy", "busy", retry_after=LONG)
        assert queue.take_unsent(limit=1) == []
        again = queue.add(new_job(2))
        queue.take_unsent(limit=1)
        taken = queue.claim(lease_seconds=LONG, job_id=again.id)
        assert queue.fail(taken, "component_busy", "busy", retry_after=0.0)
        assert queue.take_unsent(limit=5) == [(again.id, "ingest")]
        assert queue.job(job.id).state is JobState.WAITING

    def test_a_released_a_retried_and_an_abandoned_job_are_sent_again(self, queue: Any) -> None:
        released, failed, lost = (queue.add(new_job(number)) for number in range(3))
        queue.take_unsent(limit=5)
        queue.release(claimed(queue))
        assert queue.take_unsent(limit=5) == [(released.id, "ingest")]
        taken = queue.claim(lease_seconds=LONG, job_id=failed.id)
        assert queue.fail(taken, "invalid_request", "no", retry_after=None)
        assert queue.take_unsent(limit=5) == []
        queue.retry(failed.id)
        assert queue.take_unsent(limit=5) == [(failed.id, "ingest")]
        queue.claim(lease_seconds=SHORT, job_id=lost.id)
        sleep(2 * SHORT)
        assert queue.take_unsent(limit=5) == [(lost.id, "ingest")]
        assert queue.take_unsent(limit=5) == [], "it was sent since its lease ended"

    def test_a_message_is_lost_if_the_queue_is_empty_and_some_time_has_passed(
        self, queue: Any
    ) -> None:
        job = queue.add(new_job())
        queue.take_unsent(limit=1)
        assert queue.forget_lost(["ingest"], seconds=LONG, is_empty=True) == 0
        assert queue.forget_lost(["other"], seconds=0.0, is_empty=True) == 0
        sleep(SHORT)
        assert queue.forget_lost(["ingest"], seconds=SHORT / 2, is_empty=True) == 1
        assert queue.take_unsent(limit=1) == [(job.id, "ingest")]

    def test_a_message_is_lost_if_a_later_one_has_come(self, queue: Any) -> None:
        first = queue.add(new_job(1))
        queue.take_unsent(limit=1)
        sleep(2 * SHORT)
        second, third = queue.add(new_job(2)), queue.add(new_job(3))
        queue.take_unsent(limit=5)
        assert queue.forget_lost(["ingest"], seconds=SHORT, is_empty=False) == 0
        queue.claim(lease_seconds=LONG, job_id=second.id)
        assert queue.forget_lost(["ingest"], seconds=SHORT, is_empty=False) == 1
        assert queue.take_unsent(limit=5) == [(first.id, "ingest")]
        assert queue.job(third.id).state is JobState.WAITING


class SpoolContract:
    """What must hold for all spools: subclass it and override the fixture ``spool``."""

    @pytest.fixture
    def spool(self) -> Spool:
        raise NotImplementedError("override the fixture 'spool'")

    def test_bytes_are_kept_by_their_hash(self, spool: Spool) -> None:
        data = b"green tea" * 300_000
        digest, size = spool.put(BytesIO(data), max_bytes=len(data))
        assert (digest, size) == (hashlib.sha256(data).hexdigest(), len(data))
        assert spool.put(BytesIO(data), max_bytes=len(data)) == (digest, size)
        with spool.open(digest) as stream:
            assert stream.read() == data

    def test_too_many_bytes_are_refused_and_not_kept(self, spool: Spool) -> None:
        with pytest.raises(TooLargeError):
            spool.put(BytesIO(b"12345"), max_bytes=4)
        with pytest.raises(NotFoundError):
            spool.open(hashlib.sha256(b"12345").hexdigest())

    def test_deleted_and_invented_bytes_are_not_found(self, spool: Spool) -> None:
        digest, _ = spool.put(BytesIO(b"tea"), max_bytes=10)
        spool.delete(digest)
        spool.delete(digest)
        for unknown in (digest, "../../etc/passwd", "", "A" * 64):
            with pytest.raises(NotFoundError):
                spool.open(unknown)

    def test_what_is_stored_is_listed(self, spool: Spool) -> None:
        assert list(spool.digests()) == []
        made = [spool.put(BytesIO(data), max_bytes=9)[0] for data in (b"tea", b"coffee")]
        assert sorted(spool.digests()) == sorted(made)
        assert spool.has(made[0])
        spool.delete(made[0])
        assert list(spool.digests()) == made[1:] and not spool.has(made[0])

    def test_the_lock_has_one_holder(self, spool: Spool) -> None:
        inside, most = [0], [0]

        def hold(_: int) -> None:
            with spool.lock():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                sleep(SHORT / 10)
                inside[0] -= 1

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(hold, range(8)))
        assert most == [1]

    def test_the_same_bytes_put_at_the_same_time_are_kept_once(self, spool: Spool) -> None:
        data = b"tea" * 100_000
        with ThreadPoolExecutor(4) as pool:
            put = pool.map(lambda _: spool.put(BytesIO(data), max_bytes=len(data))[0], range(8))
            digests = set(put)
        assert len(digests) == 1
        with spool.open(digests.pop()) as stream:
            assert stream.read() == data
