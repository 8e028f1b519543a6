"""Tuning jobs in real processes, with a runner of the tests: submit, follow, cancel, faults."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from started_services import StartedServices

from kvasir.core.errors import NotFoundError, RequestError
from kvasir.core.services.jobs import JobState
from kvasir.remote.zeromq.tuning_jobs import RemoteTuningJobs

OFF = {"enabled": False}
COUNTING = {"counting": {"type": "served_components:CountingRunner"}}


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuning")
    tuning = {"ft": {"runners": COUNTING}, "j2b": {"runners": COUNTING}}
    with StartedServices(folder, llm=OFF, index=OFF, tuning=tuning) as started:
        yield started.start()


@pytest.fixture
def jobs(services):
    made = RemoteTuningJobs(services.address("tuning"), "ft", keys=str(services.keys))
    yield made
    made.close()


def wait_for_state(jobs, job, *states):
    end = time.monotonic() + 120
    while (found := jobs.job(job.id)).state not in states:
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found


class Follower(threading.Thread):
    """Follows a job in a thread, over the shared connection of the process."""

    def __init__(self, jobs, job, after=0):
        super().__init__()
        self._jobs, self._job, self._after = jobs, job, after
        self.events = []
        self.start()

    def run(self):
        for event in self._jobs.follow(self._job.id, self._after):
            self.events.append(event)

    def wait_for(self, count):
        end = time.monotonic() + 120
        while len(self.events) < count:
            assert time.monotonic() < end
            time.sleep(0.02)

    def steps(self):
        return [each.data["step"] for each in self.events if each.kind == "report"]


def test_a_job_is_submitted_and_two_followers_see_all_of_it(jobs):
    assert jobs.runners == ["counting", "lora", "pissa", "state"]
    job = jobs.submit("counting", {"most": 8})
    first = Follower(jobs, job)
    first.wait_for(4)
    second = Follower(jobs, job)
    third = Follower(jobs, job, after=4)
    for each in (first, second, third):
        each.join(120)
    assert [each.number for each in first.events] == list(range(1, len(first.events) + 1))
    assert first.events == second.events
    assert third.events == first.events[4:]
    assert first.events[0].kind == "started"
    assert first.steps() == list(range(1, 9))
    done = jobs.job(job.id)
    assert (done.state, done.result) == (JobState.DONE, {"count": 8})
    assert jobs.jobs()[0] == done


def test_the_two_services_of_tuning_have_jobs_of_their_own(services, jobs):
    other = RemoteTuningJobs(services.address("tuning"), "j2b", keys=str(services.keys))
    job = other.submit("counting", {"most": 1})
    assert wait_for_state(other, job, JobState.DONE).result == {"count": 1}
    with pytest.raises(NotFoundError):
        jobs.job(job.id)
    other.close()


def test_a_job_is_added_once_and_a_bad_one_not_at_all(jobs):
    one = jobs.submit("counting", {"most": 1}, key="mine")
    assert jobs.submit("counting", {"most": 1}, key="mine").id == one.id
    before = len(jobs.jobs())
    with pytest.raises(RequestError, match="most must be a whole number"):
        jobs.submit("counting", {})
    with pytest.raises(RequestError, match=r"no runner 'os:system' of ft \(there are: counting, "):
        jobs.submit("os:system", {})
    assert len(jobs.jobs()) == before
    failing = jobs.submit("counting", {"most": 1, "fails": True})
    failed = wait_for_state(jobs, failing, JobState.FAILED)
    assert failed.message == "it cannot be done"
    assert [each.kind for each in jobs.follow(failing.id)] == ["started"]


def test_a_job_is_cancelled_while_it_runs_and_while_it_waits(jobs):
    running = jobs.submit("counting", {"most": 10_000})
    follower = Follower(jobs, running)
    follower.wait_for(3)
    waiting = jobs.submit("counting", {"most": 1})
    assert jobs.cancel(waiting.id).state == JobState.CANCELLED
    assert list(jobs.follow(waiting.id)) == []
    jobs.cancel(running.id)
    follower.join(120)
    assert jobs.job(running.id).state == JobState.CANCELLED
    # The worker is free again.
    after = jobs.submit("counting", {"most": 1})
    assert wait_for_state(jobs, after, JobState.DONE).result == {"count": 1}


def test_followers_go_on_when_the_front_end_is_restarted(services, jobs):
    job = jobs.submit("counting", {"most": 100})
    follower = Follower(jobs, job)
    follower.wait_for(6)
    os.kill(services.pids("tuning")[0], signal.SIGKILL)
    services.wait_for_line("tuning broker has ended (SIGKILL)")
    second = Follower(jobs, job)
    for each in (follower, second):
        each.join(120)
        assert each.steps() == list(range(1, 101))
    assert jobs.job(job.id).attempts == 1


def test_a_job_goes_on_after_its_worker_was_killed_and_after_a_restart(services, jobs):
    job = jobs.submit("counting", {"most": 120})
    follower = Follower(jobs, job)
    follower.wait_for(8)
    workers = services.group("ft")["workers"]
    os.kill(workers[0]["pid"], signal.SIGKILL)
    services.wait_for_line("ft worker 1 has ended (SIGKILL)")
    started = len(follower.events)
    follower.wait_for(started + 10)
    services.command("services", "restart", "ft")
    follower.join(120)
    done = jobs.job(job.id)
    assert (done.state, done.result) == (JobState.DONE, {"count": 120})
    kinds = [each.kind for each in follower.events]
    assert kinds.count("started") == 3
    assert kinds.count("stopped") == 1
    # It went on where it was: no step is counted twice, but the one that was killed.
    assert sorted(set(follower.steps())) == list(range(1, 121))
    assert len(follower.steps()) <= 121
