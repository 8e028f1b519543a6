"""The worker of jobs: results, progress, retries, cancelling, and giving work back."""

import threading
import time

import pytest

from kvasir.core.errors import ComponentError, RequestError
from kvasir.core.queue_workers import Heartbeat
from kvasir.core.run import StopToken
from kvasir.core.services.jobs import JobState
from kvasir.database import open_database
from kvasir.jobs import worker as module
from kvasir.jobs.sql import SqlJobQueue
from kvasir.jobs.worker import JobWorker
from kvasir.testing.jobs import new_job


@pytest.fixture
def queue(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/service.db")
    yield SqlJobQueue(engine)
    engine.dispose()


@pytest.fixture
def stop():
    return StopToken()


@pytest.fixture(autouse=True)
def fast_heartbeat(monkeypatch):
    monkeypatch.setattr(module, "_BEAT_SECONDS", 0.02)


def make(queue, perform, stop):
    return JobWorker(queue, perform, stop=stop, idle_seconds=0.01)


def wait_for(check, seconds=60.0):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_jobs_are_done_in_order_with_their_results(queue, stop):
    ids = [queue.add(new_job(n)).id for n in range(3)]
    done = []
    worker = make(queue, lambda job, run: done.append(job.id) or {"n": len(done)}, stop)
    while worker.work_once():
        pass
    assert done == ids
    assert [queue.job(key).result for key in ids] == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_progress_is_seen_while_the_job_runs(queue, stop):
    job = queue.add(new_job())

    def perform(_, run):
        run.report("chunks", 3, 7)
        wait_for(lambda: queue.job(job.id).progress)

    make(queue, perform, stop).work_once()
    assert queue.job(job.id).progress.done == 3


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (RequestError("unreadable"), JobState.FAILED, "invalid_request"),
        (ComponentError("store", "writing", "away"), JobState.WAITING, "component_failed"),
        (ZeroDivisionError("x"), JobState.WAITING, "error"),
    ],
)
def test_an_error_is_final_if_it_is_the_callers(queue, stop, error, state, code):
    job = queue.add(new_job())

    def perform(*_):
        raise error

    make(queue, perform, stop).work_once()
    found = queue.job(job.id)
    assert (found.state, found.code) == (state, code)
    assert found.message


def test_an_unforeseen_error_ends_no_heartbeat(stop):
    beats, went_on = [], threading.Event()

    def beat():
        beats.append(1)
        if len(beats) == 1:
            raise OSError("the disk does not answer")
        went_on.set()
        return True

    with Heartbeat(beat, stop, seconds=0.01):
        assert went_on.wait(30)
    assert not stop.is_set()


def test_cancelling_stops_the_job(queue, stop):
    job = queue.add(new_job())

    def perform(_, run):
        queue.cancel(job.id)
        assert run.stop.wait(60)
        run.check()

    make(queue, perform, stop).work_once()
    assert queue.job(job.id).state is JobState.CANCELLED


def test_a_worker_that_is_stopped_gives_its_job_back(queue, stop):
    job = queue.add(new_job())
    started = threading.Event()

    def perform(_, run):
        started.set()
        assert run.stop.wait(60)
        run.check()

    thread = threading.Thread(target=make(queue, perform, stop).run)
    thread.start()
    assert started.wait(60)
    stop.set()
    thread.join(60)
    found = queue.job(job.id)
    assert (found.state, found.attempts) == (JobState.WAITING, 0)


def test_a_result_is_kept_while_the_database_is_away(queue, stop, monkeypatch):
    job = queue.add(new_job())
    real, calls = queue.finish, []

    def away(*arguments):
        calls.append(1)
        if len(calls) < 3:
            raise ComponentError("catalog", "writing", "closed")
        return real(*arguments)

    monkeypatch.setattr(queue, "finish", away)
    make(queue, lambda *_: "kept", stop).work_once()
    assert queue.job(job.id).result == "kept"


def test_waking_ends_the_wait_of_an_idle_worker(queue, stop):
    worker = JobWorker(queue, lambda *_: "done", stop=stop, idle_seconds=600.0)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        time.sleep(0.05)
        job = queue.add(new_job())
        worker.wake()
        wait_for(lambda: queue.job(job.id).state is JobState.DONE)
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
