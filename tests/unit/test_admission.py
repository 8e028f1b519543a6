"""Places for answers: in order, without waking those whose turn it is not, and none is lost."""

import threading
import time

import pytest

from kvasir.core.deadline import deadline, stopping
from kvasir.core.errors import DeadlineExceededError, StoppedError
from kvasir.core.run import StopToken
from kvasir.frontends.api import admission
from kvasir.frontends.api.admission import Admission


def _wait_for(waiting: int, of: Admission) -> None:
    until = time.monotonic() + 20
    while of.counts()["waiting"] != waiting:
        assert time.monotonic() < until, of.counts()
        time.sleep(0.001)


def _queue(of: Admission, names: list[int], done: list[int]) -> list[threading.Thread]:
    """Let threads wait for a turn, in this order."""
    threads = []
    before = int(of.counts()["waiting"])

    def work(name: int) -> None:
        with of.turn():
            done.append(name)

    for number, name in enumerate(names):
        threads.append(threading.Thread(target=work, args=(name,)))
        threads[-1].start()
        _wait_for(before + number + 1, of)
    return threads


def test_turns_come_in_order_and_wake_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    monkeypatch.setattr(admission, "check", looks.append)
    places, done = Admission(1, 1000), []
    with places.turn():
        threads = _queue(places, list(range(60)), done)
    for each in threads:
        each.join(20)
    assert done == list(range(60))
    assert places.counts() == {"running": 0, "waiting": 0}
    # Each looks when it comes, when it is first, and when it goes on; 60 * 60 if all were woken.
    assert len(looks) < 60 * 5


def test_the_next_one_goes_on_when_the_first_is_stopped_or_late() -> None:
    places, done, errors = Admission(1, 1000), [], []
    stop = StopToken()

    def stopped() -> None:
        with pytest.raises(StoppedError), stopping(stop), places.turn():
            errors.append("a stopped call went on")

    def late() -> None:
        with pytest.raises(DeadlineExceededError), deadline(0.3), places.turn():
            errors.append("a late call went on")

    with places.turn():
        first = threading.Thread(target=stopped)
        first.start()
        _wait_for(1, places)
        second = threading.Thread(target=late)
        second.start()
        _wait_for(2, places)
        threads = _queue(places, [7], done)
        stop.set()
        first.join(20)
        second.join(20)
        assert not done
    threads[0].join(20)
    assert done == [7]
    assert not errors
    assert places.counts() == {"running": 0, "waiting": 0}
