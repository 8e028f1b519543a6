"""The stop token and the run: who is told, when, and in which thread."""

import dataclasses
import gc
import json
import threading
import time
from contextvars import ContextVar

import pytest

from kvasir.core.errors import KvasirError, StoppedError
from kvasir.core.run import LEFT_BEHIND, Progress, Run, StopToken


def test_a_token_once_set_stays_set_and_raises_an_error_with_a_code():
    stop = StopToken()
    stop.raise_if_set()
    assert not stop.is_set()
    assert not stop.wait(0)
    stop.set()
    stop.set()
    assert stop.is_set()
    assert stop.wait()
    with pytest.raises(StoppedError) as stopped:
        stop.raise_if_set()
    assert stopped.value.code == "stopped"
    assert isinstance(stopped.value, KvasirError)


def test_a_waiting_thread_is_woken_at_once():
    stop = StopToken()
    threading.Timer(0.05, stop.set).start()
    started = time.monotonic()
    assert stop.wait(60)
    assert time.monotonic() - started < 20


def test_a_child_is_set_by_its_parent_and_not_the_other_way_round():
    parent = StopToken()
    child, other = StopToken(parent), StopToken(parent)
    child.set()
    assert not parent.is_set()
    assert not other.is_set()
    parent.set()
    assert other.is_set()
    assert StopToken(parent).is_set()


def test_a_parent_does_not_keep_the_tokens_of_finished_work():
    parent = StopToken()
    for _ in range(100):
        StopToken(parent)
    gc.collect()
    assert parent._callbacks == []


def test_a_callback_is_called_once_and_only_inside_its_block():
    stop, called = StopToken(), []
    with stop.calling(lambda: called.append("early")):
        pass
    with stop.calling(lambda: called.append("inside")):
        stop.set()
        stop.set()
    with stop.calling(lambda: called.append("late")):
        assert called == ["inside", "late"]


def test_threads_that_set_and_ask_at_the_same_time_call_every_callback_once():
    for _ in range(50):
        stop, called = StopToken(), []
        barrier = threading.Barrier(4)

        def ask(stop=stop, called=called, barrier=barrier):
            barrier.wait()
            with stop.calling(lambda: called.append(1)):
                stop.wait(60)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        barrier.wait()
        stop.set()
        for thread in threads:
            thread.join()
        assert called == [1, 1, 1]


def test_a_step_reports_first_and_then_stops():
    stop, events = StopToken(), []

    def progress(event):
        events.append(event)
        stop.set()

    with pytest.raises(StoppedError):
        Run(stop, progress).step("comparing", 1, 2, "chunks")
    assert events == [Progress("comparing", 1, 2, "chunks")]


def test_progress_is_plain_data():
    event = Progress("documents", 1, 2, "documents", item="a.txt", outcome="added")
    assert Progress(**json.loads(json.dumps(dataclasses.asdict(event)))) == event


def test_a_call_gives_its_result_its_error_and_its_callers_context():
    variable = ContextVar("variable", default="outside")
    variable.set("inside")
    assert Run().call(variable.get) == "inside"
    assert Run().call(lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        Run().call(lambda: 1 / 0)


def test_a_call_that_hangs_is_left_behind_when_the_token_is_set():
    stop, released = StopToken(), threading.Event()
    threading.Timer(0.1, stop.set).start()
    started = time.monotonic()
    with pytest.raises(StoppedError):
        Run(stop).call(lambda: released.wait(60))
    assert time.monotonic() - started < 20
    left = [thread for thread in threading.enumerate() if thread.name == LEFT_BEHIND]
    assert len(left) == 1
    assert left[0].daemon
    released.set()
    left[0].join(60)


def test_a_stopped_run_calls_nothing():
    stop, called = StopToken(), []
    stop.set()
    with pytest.raises(StoppedError):
        Run(stop).call(lambda: called.append(1))
    assert called == []
