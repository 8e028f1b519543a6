"""What several users share is closed when nobody uses it, and never under anybody."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvasir.core.deadline import deadline
from kvasir.core.errors import ClosedError, DeadlineExceededError
from kvasir.core.leases import Leases, SoleWork
from kvasir.core.run import StopToken


class Shared:
    """Counts how often it was closed."""

    def __init__(self):
        self.closed = 0
        self.leases = Leases(self.close)

    def close(self):
        self.closed += 1


@pytest.fixture
def shared():
    return Shared()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def busy(shared, pool):
    """A call in another thread, which ends when the test says so."""
    started, end = threading.Event(), threading.Event()

    def call():
        with shared.leases.call():
            started.set()
            assert end.wait(30)

    running = pool.submit(call)
    assert started.wait(30)
    yield end
    end.set()
    running.result(30)


def test_the_last_lease_closes(shared):
    shared.leases.take()
    with shared.leases.lease():
        pass
    assert shared.closed == 0
    shared.leases.release()
    assert shared.closed == 1


def test_a_lease_that_ends_does_not_close_under_a_call(shared, busy, pool):
    shared.leases.take()
    shared.leases.release()
    assert shared.closed == 0
    busy.set()
    pool.submit(int).result()
    pool.shutdown()
    assert shared.closed == 1


def test_closing_waits_for_calls_and_refuses_new_ones(shared, busy, pool):
    shared.leases.take()
    closing = pool.submit(shared.leases.close)
    while not shared.leases._is_closed:
        pass
    with pytest.raises(ClosedError), shared.leases.call():
        pass
    assert not closing.done()
    assert shared.closed == 0
    busy.set()
    closing.result(30)
    assert shared.closed == 1


def test_a_call_alone_waits_for_the_others_and_keeps_new_ones_waiting(shared, busy, pool):
    shared.leases.take()
    inside, go_on, order = threading.Event(), threading.Event(), []

    def alone():
        with shared.leases.call_alone():
            inside.set()
            assert go_on.wait(30)
            order.append("alone")

    def other():
        with shared.leases.call():
            order.append("other")

    first = pool.submit(alone)
    while not shared.leases._is_alone:
        pass
    second = pool.submit(other)
    assert not inside.wait(0.05)
    busy.set()
    assert inside.wait(30)
    assert not second.done()
    go_on.set()
    first.result(30)
    second.result(30)
    assert order == ["alone", "other"]
    assert shared.closed == 1


def test_two_calls_alone_follow_each_other(shared, pool):
    def alone():
        with shared.leases.call_alone():
            return True

    assert all(call.result(30) for call in [pool.submit(alone) for _ in range(20)])
    assert shared.closed >= 20


def test_a_call_that_a_callback_makes_does_not_wait(shared, pool):
    with shared.leases.call():
        waiting = pool.submit(lambda: list(shared.leases.call_alone().gen))
        while not shared.leases._is_alone:
            pass
        with shared.leases.call():
            pass
        with pytest.raises(RuntimeError, match="part of"), shared.leases.call_alone():
            pass
        shared.leases.close()
    with pytest.raises(ClosedError):
        waiting.result(30)


def test_waiting_for_others_ends_with_the_deadline(shared, busy):
    with deadline(0.05), pytest.raises(DeadlineExceededError), shared.leases.call_alone():
        pass
    with shared.leases.call():
        pass
    assert shared.closed == 0


def test_only_what_nobody_uses_is_ended(shared, busy):
    assert not shared.leases.end_if_unused()
    with shared.leases.call():
        pass
    busy.set()
    with shared.leases.call_alone():
        assert not shared.leases.end_if_unused()
    with shared.leases.lease():
        assert not shared.leases.end_if_unused()
    assert shared.leases.end_if_unused()
    with pytest.raises(ClosedError), shared.leases.call():
        pass


def test_what_waits_for_calls_has_a_thread_for_which_closing_waits(shared, busy, pool, caplog):
    begun, go_on, done = threading.Event(), threading.Event(), []

    def fails():
        raise OSError("the old index is locked")

    def works():
        begun.set()
        assert go_on.wait(30)
        done.append(threading.current_thread().name)

    for callback in (fails, works):
        shared.leases.after_calls(callback)
    busy.set()
    assert begun.wait(30)
    pool.submit(int).result(30)
    closing = pool.submit(shared.leases.close)
    while not shared.leases._is_closed:
        pass
    assert not closing.done()
    go_on.set()
    closing.result(30)
    assert done == ["kvasir-after-calls"]
    assert "the old index is locked" in caplog.text


def test_of_sole_work_one_runs_and_others_can_stop_it():
    work, stop = SoleWork(), StopToken()
    work.stop()
    with work.begin(stop) as is_only, work.begin(StopToken()) as is_second:
        assert (is_only, is_second, stop.is_set()) == (True, False, False)
        work.stop()
        assert stop.is_set()
    with work.begin(StopToken()) as is_only:
        assert is_only
