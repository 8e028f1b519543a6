"""What a broker knows of requests, of its peers at both ends, and of services."""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kvasir.core.errors import ComponentError, WireError
from kvasir.core.wire import from_json
from kvasir.remote.zeromq import envelopes as wire
from kvasir.remote.zeromq.packing import unpack

_TAKING = "taking a request"
LONGEST_NAME = 200
"""Of a service, in characters."""
_MOST_SLOTS = 2**20
_BUSY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a broker takes on."""

    requests: int = 8192  # Requests that wait or run; beyond it callers hear "busy".
    held_bytes: int = 1 << 30  # Bytes of these requests together.
    message_bytes: int = 256 << 20  # Of one frame.
    frames: int = 64  # Of one message.
    clients: int = 10_000  # Connections.

    def exceeded(self, service: str, requests: int, size: int) -> ComponentError | None:
        """Return the error for one request more than so many, with so many bytes in all."""
        if requests < self.requests and size <= self.held_bytes:
            return None
        busy = f"{requests} requests are waiting or running already"
        name = service or "the broker"
        return ComponentError(name, _TAKING, busy, kind="busy", retry_after=_BUSY_SECONDS)


@dataclass(frozen=True, slots=True)
class Greeting:
    """The greeting of a worker: its services and its name.

    Attributes:
        services: How many requests of each service it takes at once.
        name: What it is called in statistics.
    """

    services: dict[str, int]
    name: str


def read_greeting(body: Sequence[bytes]) -> Greeting:
    """Return the greeting of a header.

    Raises:
        WireError: It is malformed, or has no services that a broker can take.
    """
    greeting = from_json(Greeting, unpack(body))
    if not greeting.services:
        raise WireError("a worker has services")
    for name, slots in greeting.services.items():
        if not (len(name) <= LONGEST_NAME and 0 < slots < _MOST_SLOTS):
            raise WireError(f"a service has {LONGEST_NAME} characters at most, and slots")
    for name in (greeting.name, *greeting.services):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise WireError(f"a name has no form in UTF-8: {error}") from error
    return greeting


class Request:
    """A request from its arrival to its end."""

    __slots__ = (
        "attempts",
        "begun",
        "body",
        "client",
        "deadline",
        "id",
        "idempotent",
        "is_over",
        "key",
        "service",
        "size",
        "worker",
    )

    def __init__(
        self, client: Client, id_: int, service: Service, deadline: float, flags: int
    ) -> None:
        self.client, self.id, self.service, self.deadline = client, id_, service, deadline
        self.idempotent = bool(flags & wire.IDEMPOTENT)
        self.body: list[bytes] = []
        self.size = self.key = self.attempts = 0
        self.worker: Peer | None = None
        self.begun = self.is_over = False


class Client:
    """A connection at the front end."""

    __slots__ = ("identity", "last_id", "requests", "seen", "session")

    def __init__(self, identity: bytes, now: float) -> None:
        self.identity, self.seen, self.session = identity, now, os.urandom(8)
        self.last_id = 0
        self.requests: dict[int, Request] = {}


class Peer:
    """A worker, a connection at the back end."""

    __slots__ = (
        "free",
        "gets_nothing",
        "identity",
        "is_cut",
        "leaving",
        "name",
        "requests",
        "seen",
        "session",
        "slots",
    )

    def __init__(self, identity: bytes, now: float) -> None:
        self.identity, self.seen, self.session = identity, now, os.urandom(8)
        self.name = ""
        self.slots: dict[str, int] = {}
        self.free: dict[str, int] = {}
        self.requests: dict[int, Request] = {}
        self.leaving = False
        self.is_cut = False  # Its connection is gone, and nothing was read from it since.
        self.gets_nothing = False  # It could not be sent a request; it gets some when it speaks.

    def described(self, now: float) -> dict[str, Any]:
        """Return what statistics say of it."""
        return {
            "name": self.name,
            "services": self.slots,
            "running": len(self.requests),
            "leaving": self.leaving,
            "silent_s": round(now - self.seen, 3),
        }


class Service:
    """The waiting requests and the ready workers of a service, and what was counted of it."""

    __slots__ = ("counts", "encoded", "is_known", "name", "ready", "waiting")

    def __init__(self, name: str) -> None:
        self.name, self.encoded = name, name.encode()
        self.is_known = False  # A worker has served it.
        self.waiting: deque[Request] = deque()
        self.ready: OrderedDict[Peer, None] = OrderedDict()
        self.counts = dict.fromkeys(("served", "failed", "busy", "expired", "retried"), 0)


def describe(
    services: Iterable[Service], requests: Iterable[Request], workers: Iterable[Peer]
) -> dict[str, dict[str, Any]]:
    """Return what statistics say of services, by their names."""
    found: dict[str, dict[str, Any]] = {
        each.name: {"waiting": 0, "running": 0, "workers": 0, "slots": 0, **each.counts}
        for each in services
    }
    for request in requests:
        found[request.service.name]["waiting" if request.worker is None else "running"] += 1
    for worker in workers:
        for name, slots in worker.slots.items():
            if not worker.leaving:
                found[name]["workers"] += 1
                found[name]["slots"] += slots
    return found
