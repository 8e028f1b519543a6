"""The decisions of a broker, message by message, without a socket or a clock."""

from __future__ import annotations

import pytest

from kvasir.remote.zeromq import envelopes as wire
from kvasir.remote.zeromq.dispatching import Dispatcher
from kvasir.remote.zeromq.dispatching_records import Limits
from kvasir.remote.zeromq.packing import pack

NOW = 1000.0


class Ends:
    """A dispatcher, and what it has sent to each peer."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.sent: dict[bytes, list[list[bytes]]] = {}
        self.dispatcher = Dispatcher(limits or Limits(), 1.0, self._send, self._send)

    def _send(self, frames):
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
        return [wire.read(frames[0])[5] for frames in self.sent[name]][-1]

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
