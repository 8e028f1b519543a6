"""The decisions of a broker, message by message, without a socket or a clock."""

from __future__ import annotations

import numpy as np
import pytest

from kvasir.remote.zeromq import envelopes as wire
from kvasir.remote.zeromq.dispatching import Dispatcher
from kvasir.remote.zeromq.dispatching_records import Limits
from kvasir.remote.zeromq.packing import pack, unpack

NOW = 1000.0


class Ends:
    """A dispatcher, and what it has sent to each peer."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.sent: dict[bytes, list[list[bytes]]] = {}
        self.cut: set[bytes] = set()
        self.dispatcher = Dispatcher(limits or Limits(), 1.0, self._send, self._send)

    def _send(self, frames):
        if frames[0] in self.cut:
            return False
        self.sent.setdefault(frames[0], []).append(list(frames[1:]))
        return True

    def kinds(self, peer):
        return [wire.read(each[0])[2] for each in self.sent.get(peer, ())]

    def last(self, peer):
        """Return kind, number, session, id and body of the last message to a peer."""
        envelope, *body = self.sent[peer][-1]
        _, _, kind, _, number, session, id_ = wire.read(envelope)
        return kind, number, session, id_, body

    def client(self, name=b"c"):
        self.dispatcher.from_client([name, wire.write(wire.HELLO, wire.NO_SESSION)], NOW)
        return self.last(name)[2]

    def worker(self, services, name=b"w"):
        greeting = pack({"services": services, "name": name.decode()})
        hello = wire.write(wire.HELLO, wire.NO_SESSION)
        self.dispatcher.from_worker([name, hello, *greeting], NOW)
        return self.last(name)[2] if name in self.sent else b""

    def ask(self, session, id_, kind=wire.REQUEST, service=b"echo", flags=0, name=b"c"):
        envelope = wire.write(kind, session, id_, 10**9, flags, service)
        self.dispatcher.from_client([name, envelope, b"body"], NOW)


@pytest.fixture
def ends():
    return Ends()


@pytest.mark.parametrize("kind", [wire.MORE, wire.CANCEL, wire.PING])
def test_only_a_request_is_named_as_one_that_was_not_accepted(ends, kind):
    ends.client()
    ends.ask(b"restart!", 7)
    assert ends.last(b"c") == (wire.RESET, 0, b"restart!", 7, [])
    ends.ask(b"restart!", 7, kind)
    assert ends.last(b"c") == (wire.RESET, 0, b"restart!", 0, [])


def test_a_leaving_worker_that_begins_anew_has_lost_its_requests(ends):
    session, earlier = ends.client(), ends.worker({"echo": 2})
    ends.ask(session, 1, flags=wire.IDEMPOTENT)
    ends.ask(session, 2)
    ends.dispatcher.from_worker([b"w", wire.write(wire.BYE, earlier)], NOW)
    assert ends.dispatcher.open_requests == 2
    ends.worker({"echo": 2})
    # The one that may be repeated was given out again, and the other has failed.
    assert ends.kinds(b"w")[-4:] == [wire.REQUEST, wire.BYE, wire.WELCOME, wire.REQUEST]
    assert ends.last(b"w")[2] != earlier
    kind, _, _, id_, body = ends.last(b"c")
    assert (kind, id_) == (wire.ERROR, 2)
    assert "its worker ended" in unpack(body)[1]
    assert ends.dispatcher.statistics(NOW)["services"]["echo"]["retried"] == 1


def test_what_a_worker_had_sent_before_its_connection_was_cut_is_taken(ends):
    session, worker = ends.client(), ends.worker({"echo": 2})
    for id_ in (1, 2, 3):
        ends.ask(session, id_, flags=wire.IDEMPOTENT)
    ends.cut.add(b"w")
    ends.dispatcher.tick(NOW)
    # The first answer was underway; a third request is not lost by having gone nowhere.
    key = wire.read(ends.sent[b"w"][1][0])[6]
    ends.dispatcher.from_worker([b"w", wire.write(wire.REPLY, worker, key), b"answer"], NOW)
    assert ends.last(b"c")[0::3] == (wire.REPLY, 1)
    ends.dispatcher.tick(NOW)
    assert ends.dispatcher.statistics(NOW)["workers_lost"] == 0
    # Nothing was read any more.
    ends.dispatcher.tick(NOW)
    assert ends.dispatcher.statistics(NOW)["workers_lost"] == 1
    ends.worker({"echo": 2}, b"other")
    assert ends.kinds(b"other") == [wire.WELCOME, wire.REQUEST, wire.REQUEST]
    assert ends.dispatcher.statistics(NOW)["services"]["echo"]["retried"] == 1


def test_a_worker_that_could_not_be_reached_for_a_while_gets_all_requests_that_it_has_room_for(
    ends,
):
    session, worker = ends.client(), ends.worker({"echo": 2})
    ends.cut.add(b"w")
    for id_ in (1, 2, 3):
        ends.ask(session, id_)
    assert ends.kinds(b"w") == [wire.WELCOME]
    # What it had sent before is no sign that it can be reached.
    ends.dispatcher.from_worker([b"w", wire.write(wire.PONG, worker)], NOW)
    assert ends.kinds(b"w") == [wire.WELCOME]
    ends.cut.clear()
    ends.dispatcher.from_worker([b"w", wire.write(wire.PONG, worker)], NOW)
    assert ends.kinds(b"w") == [wire.WELCOME, wire.REQUEST, wire.REQUEST]


def test_a_session_goes_on_after_silence(ends):
    """Its calls do, too: nothing is given out again."""
    session, worker = ends.client(), ends.worker({"echo": 1})
    ends.ask(session, 1, flags=wire.IDEMPOTENT)
    for is_leaving in (False, True):
        if is_leaving:
            ends.dispatcher.from_worker([b"w", wire.write(wire.BYE, worker)], NOW)
        ends.dispatcher.from_worker([b"w", wire.write(wire.HELLO, worker)], NOW)
        assert ends.last(b"w")[::2] == (wire.WELCOME, worker, [])
    ends.dispatcher.from_client([b"c", wire.write(wire.HELLO, session)], NOW)
    assert ends.last(b"c")[::2] == (wire.WELCOME, session, [])
    key = wire.read(ends.sent[b"w"][1][0])[6]
    ends.dispatcher.from_worker([b"w", wire.write(wire.REPLY, worker, key), b"answer"], NOW)
    assert ends.last(b"c")[0::3] == (wire.REPLY, 1)
    statistics = ends.dispatcher.statistics(NOW)
    assert (statistics["refused"], statistics["workers_lost"], statistics["workers"]) == (0, 0, [])


def test_a_worker_that_has_left_hears_that_all_was_read(ends):
    ends.client()
    session = ends.worker({"echo": 1})
    for _ in range(2):
        ends.dispatcher.from_worker([b"w", wire.write(wire.BYE, session)], NOW)
    assert ends.kinds(b"w") == [wire.WELCOME, wire.BYE, wire.BYE]


def test_names_that_clients_send_are_not_kept(ends):
    session = ends.client()
    ends.worker({"echo": 1})
    for id_ in range(1, 101):
        ends.ask(session, id_, service=b"name %d" % id_)
    assert len(ends.dispatcher.statistics(NOW)["services"]) == 101
    for id_ in range(1, 100):
        ends.ask(session, id_, kind=wire.CANCEL)
    ends.dispatcher.tick(NOW)
    # Those that wait, and those that a worker serves.
    assert set(ends.dispatcher.statistics(NOW)["services"]) == {"echo", "name 100"}
    ends.worker({"name 100": 1}, b"later")
    assert ends.last(b"later")[0] == wire.REQUEST


def test_a_name_that_is_too_long_is_refused(ends):
    session = ends.client()
    ends.ask(session, 1, service=b"x" * 201)
    assert ends.last(b"c")[0] == wire.ERROR
    assert unpack(ends.last(b"c")[4])[:2] == [
        "malformed_json",
        "the name of a service has 200 characters at most",
    ]
    ends.worker({"x" * 201: 1})
    found = ends.dispatcher.statistics(NOW)
    assert (found["services"], found["workers"], found["refused"]) == ({}, [], 2)


@pytest.mark.parametrize(
    "greeting",
    [
        np.zeros(3, "f4"),
        [],
        {"services": np.zeros(3, "f4"), "name": "x"},
        {"services": {"\ud800": 1}, "name": "x"},
        {"services": {"echo": 1}, "name": "\ud800"},
        {"services": {"echo": 0}, "name": "x"},
        {"services": {}, "name": "x"},
        {"services": {"echo": 1}},
    ],
    ids=str,
)
def test_a_greeting_that_is_none_is_refused(ends, greeting):
    hello = wire.write(wire.HELLO, wire.NO_SESSION)
    ends.dispatcher.from_worker([b"w", hello, *pack(greeting)], NOW)
    found = ends.dispatcher.statistics(NOW)
    assert (found["services"], found["workers"], found["refused"]) == ({}, [], 1)


def test_a_broker_that_is_stopping_leaves_new_requests_to_the_next_one(ends):
    session, worker = ends.client(), ends.worker({"echo": 1})
    ends.ask(session, 1)
    ends.dispatcher.is_stopping = True
    ends.ask(session, 2)
    assert ends.last(b"c") == (wire.RESET, 0, wire.NO_SESSION, 2, [])
    assert ends.dispatcher.open_requests == 1
    key = wire.read(ends.sent[b"w"][1][0])[6]
    ends.dispatcher.from_worker([b"w", wire.write(wire.REPLY, worker, key), b"answer"], NOW)
    assert ends.last(b"c")[0::3] == (wire.REPLY, 1)
