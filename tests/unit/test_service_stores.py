"""The open stores of a service: none is open twice, and none is forgotten unclosed."""

from __future__ import annotations

import threading

import pytest

from kvasir.core.deadline import deadline
from kvasir.core.errors import DeadlineExceededError
from kvasir.remote.zeromq import storing
from kvasir.remote.zeromq.storing import store_service
from kvasir.remote.zeromq.worker import Arguments


class Opened:
    """Stores that lock, as those of files do; ``closing`` waits for ``may_close``."""

    def __init__(self):
        self.names, self.is_broken = set(), False
        self.closing, self.may_close = threading.Event(), threading.Event()
        self.may_close.set()

    def open(self, name, dimension, fingerprint):
        assert name not in self.names, "it is locked"
        self.names.add(name)
        return Locking(self, name)


class Locking:
    def __init__(self, opened, name):
        self.opened, self.name = opened, name

    def count(self, filters):
        return 0

    def drop(self):
        if self.opened.is_broken:
            raise OSError("the disk is gone")
        self.close()

    def close(self):
        self.opened.closing.set()
        assert self.opened.may_close.wait(10)
        self.opened.names.discard(self.name)


@pytest.fixture
def opened():
    return Opened()


@pytest.fixture
def call(opened):
    operations = store_service(opened.open).operations

    def call(operation, name):
        which = {"collection": name, "dimension": 4, "fingerprint": "f", "filters": None}
        return operations[operation](Arguments(which))

    return call


def test_a_store_that_is_closed_to_make_room_is_not_opened_meanwhile(opened, call, monkeypatch):
    monkeypatch.setattr(storing, "_MOST_OPEN", 2)
    call("count", "one")
    call("count", "two")
    opened.may_close.clear()
    third = threading.Thread(target=call, args=("count", "three"))
    third.start()
    assert opened.closing.wait(10)
    with deadline(0.1), pytest.raises(DeadlineExceededError):
        call("count", "one")
    opened.may_close.set()
    third.join(10)
    assert opened.names == {"two", "three"}
    assert call("count", "one") == 0


def test_a_store_that_could_not_be_dropped_is_closed(opened, call):
    call("count", "one")
    opened.is_broken = True
    with pytest.raises(OSError, match="disk is gone"):
        call("drop", "one")
    assert opened.names == set()
    assert call("count", "one") == 0
