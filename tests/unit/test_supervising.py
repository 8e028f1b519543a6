"""Programs that run together: one that dies is started again, one stop ends all."""

import sys
import threading
import time

import pytest

from kvasir.core.errors import StorageError
from kvasir.core.run import StopToken
from kvasir.frontends import supervising
from kvasir.frontends.supervising import Program, run_together

LIVES = "import time; time.sleep(60)"


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(supervising, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(supervising, "_LOOK_SECONDS", 0.02)


def program(name, code, *arguments, **more):
    return Program(name, [sys.executable, "-S", "-c", code, *arguments], **more)


@pytest.fixture
def group():
    """Run programs in a thread of the test; gives a function that starts them, and one to wait."""
    stop, said, raised = StopToken(), [], []
    ready = threading.Event()

    def run(*programs):
        def work():
            try:
                run_together(programs, stop, say=said.append, when_ready=ready.set)
            except StorageError as error:
                raised.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    run.stop, run.said, run.raised, run.ready = stop, said, raised, ready
    yield run
    stop.set()


def wait_until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_stop_ends_all(group):
    parts = [program("one", LIVES), program("two", LIVES)]
    thread = group(*parts)
    assert group.ready.wait(30)
    assert [part.status for part in parts] == [None, None]
    group.stop.set()
    thread.join(30)
    assert [part.status for part in parts] == [-15, -15]
    assert (group.said, group.raised) == ([], [])


def test_one_that_dies_is_started_again_with_a_growing_delay(group):
    dying = program("the server", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    other = program("the web client", LIVES)
    group(dying, other)
    wait_until(lambda: len(group.said) == 3)
    assert group.said == [
        f"the server has ended (SIGKILL); it is started again in {delay:g} s"
        for delay in (0.05, 0.1, 0.2)
    ]
    assert other.status is None


def test_one_that_refuses_to_start_ends_the_group(group):
    refusing = program("the web client", "import sys; sys.exit(3)", is_ready=lambda: False)
    thread = group(program("one", LIVES), refusing)
    thread.join(30)
    assert str(group.raised[0]) == "the web client did not start: the lines above say why"


@pytest.mark.parametrize("status", [2, 3])
def test_one_that_was_ready_is_started_again_whatever_its_status(group, tmp_path, status):
    mark = tmp_path / "end"
    code = (
        "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)"
    )
    group(program("the server", f"{code}\nsys.exit({status})", str(mark)))
    assert group.ready.wait(30)
    mark.touch()
    wait_until(lambda: group.said)
    assert group.said[0].startswith(f"the server has ended (status {status}); it is started again")
    assert not group.raised


def test_a_program_waits_for_those_before_it(group, tmp_path):
    mark = tmp_path / "ready"
    first = program("one", LIVES, is_ready=mark.exists)
    second = program("two", LIVES)
    group(first, second)
    wait_until(lambda: first.process is not None)
    time.sleep(0.2)
    assert second.process is None
    mark.touch()
    assert group.ready.wait(30)
    assert second.status is None
