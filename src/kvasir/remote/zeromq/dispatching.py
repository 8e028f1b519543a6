"""The decisions of a broker, without a socket: who gets which request, and who is gone.

A worker announces how many requests of each service it takes at once, its credit. It gets a request
only while it has credit; the others wait here, up to a limit, and beyond it the caller hears "busy"
at once. If a worker dies, its requests go to another one if they may be executed twice and their
caller has seen nothing of the answer; otherwise they fail.

Source of the pattern: https://zguide.zeromq.org/docs/chapter4/ (Paranoid Pirate, Majordomo)
"""

from __future__ import annotations

import logging
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kvasir.core.errors import ComponentError, KvasirError, WireError
from kvasir.remote.zeromq import dispatching_records as records
from kvasir.remote.zeromq import envelopes as wire
from kvasir.remote.zeromq.dispatching_records import (
    LONGEST_NAME,
    Client,
    Limits,
    Peer,
    Request,
    Service,
)
from kvasir.remote.zeromq.failures import pack_error
from kvasir.remote.zeromq.packing import pack

logger = logging.getLogger(__name__)

Send = Callable[[Sequence[bytes]], bool]
"""Sends frames, the peer's identity first; returns False if the peer is gone."""

_MOST_ATTEMPTS = 3
"""Workers that may die of one request."""
_MOST_SILENT = 10
"""A worker, or a client that waits for answers, is gone when it is silent for so many heartbeats:
an engine may hold the interpreter, and so the thread that answers, for seconds."""
_IDLE_SECONDS = 600.0
"""Then a client without requests is forgotten; it is known again with its next request."""


class Dispatcher:
    """Gives requests to workers and answers to clients; not safe for several threads."""

    def __init__(self, limits: Limits, heartbeat: float, to_client: Send, to_worker: Send) -> None:
        self._limits, self._heartbeat = limits, heartbeat
        self._to_client, self._to_worker = to_client, to_worker
        self._clients: dict[bytes, Client] = {}
        self._workers: dict[bytes, Peer] = {}
        self._services: dict[str, Service] = {}
        self._open: dict[Request, None] = {}
        self._held_bytes = 0
        # From the clock: a worker may still stop a call of a broker that ended before this one.
        self._next_key = time.time_ns()
        self._counts = dict.fromkeys(("refused", "late", "workers_lost", "clients_lost"), 0)
        self._began = time.time()
        self.is_stopping = self.is_open = False
        # With ``is_open`` workers hear that whoever is at this machine may connect.

    @property
    def open_requests(self) -> int:
        """Requests that wait or run."""
        return len(self._open)

    def refuse(self) -> None:
        """Count a message that could not be acted on."""
        self._counts["refused"] += 1

    def _head(self, frames: list[bytes]) -> tuple[int, int, int, int, bytes, int] | None:
        """Return version, kind, flags, number, session and id; count what is no message of ours."""
        try:
            magic, *head = wire.read(frames[1])
        except (IndexError, struct.error):
            magic, head = None, []
        if magic != wire.MAGIC or len(frames) > self._limits.frames:
            self.refuse()
            return None
        version, kind, flags, number, session, id_ = head
        return version, kind, flags, number, session, id_

    # From clients.

    def from_client(self, frames: list[bytes], now: float) -> None:
        """Act on a message at the front end."""
        identity = frames[0]
        head = self._head(frames)
        if head is None:
            return
        version, kind, flags, number, session, id_ = head
        client = self._clients.get(identity)
        if client is not None and session == client.session:
            client.seen = now
            if kind == wire.REQUEST:
                self._request(client, id_, flags, number, frames, now)
            elif kind == wire.MORE:
                self._forward(client, id_, wire.MORE, number)
            elif kind == wire.CANCEL:
                self._cancel(client, id_)
            elif kind == wire.PING:
                self._tell(client, wire.PONG)
            elif kind == wire.HELLO:
                self._tell(client, wire.WELCOME)
            elif kind == wire.BYE:
                self._forget(client)
            elif kind == wire.STATISTICS:
                self._tell(client, wire.REPLY, id_, body=pack(self.statistics(now)))
            elif kind != wire.PONG:
                self.refuse()
        elif kind == wire.HELLO:
            self._greet(identity, version, session, now)
        else:
            # Another session's: it is never executed, whoever sent it. Its id says that it may be
            # sent again, which does not hold for what belongs to a request of before.
            is_new = kind in (wire.REQUEST, wire.STATISTICS)
            self._counts["refused"] += kind == wire.REQUEST
            self._to_client((identity, wire.write(wire.RESET, session, id_ if is_new else 0)))

    def _greet(self, identity: bytes, version: int, session: bytes, now: float) -> None:
        client = self._clients.get(identity)
        if client is None:
            if version != wire.VERSION or len(self._clients) >= self._limits.clients:
                self.refuse()
                return
            client = self._clients[identity] = Client(identity, now)
        client.seen = now
        self._tell(client, wire.WELCOME)

    def _request(
        self, client: Client, id_: int, flags: int, number: int, frames: list[bytes], now: float
    ) -> None:
        if id_ <= client.last_id:
            self.refuse()  # A frame that was sent twice.
            return
        client.last_id = id_
        if self.is_stopping:
            # Its session goes on: it has the answers of its other requests, and then the goodbye.
            self._to_client((client.identity, wire.write(wire.RESET, wire.NO_SESSION, id_)))
            return
        try:
            name = frames[1][wire.SIZE :].decode()
        except UnicodeDecodeError:
            self.refuse()
            return
        if len(name) > LONGEST_NAME:
            self.refuse()
            error = WireError(f"the name of a service has {LONGEST_NAME} characters at most")
            self._tell(client, wire.ERROR, id_, body=pack_error(error))
            return
        service = self._services.get(name)
        if service is None:
            # Not kept until a worker or a request is there: names come from outside.
            service = Service(name)
        request = Request(client, id_, service, now + number / 1000, flags)
        request.body = frames[2:]
        request.size = sum(map(len, frames))
        held = self._held_bytes + request.size
        if excess := self._limits.exceeded(name, len(self._open), held):
            service.counts["busy"] += 1
            self._fail(request, excess)
            return
        self._services.setdefault(name, service)
        client.requests[id_] = request
        self._open[request] = None
        self._held_bytes += request.size
        service.waiting.append(request)
        self._give(service)

    def _give(self, service: Service) -> None:
        """Give waiting requests to workers with credit, in turns."""
        waiting, ready = service.waiting, service.ready
        while waiting and ready:
            request = waiting.popleft()
            if request.is_over:
                continue
            worker = next(iter(ready))
            name = service.name
            worker.free[name] -= 1
            if worker.free[name]:
                ready.move_to_end(worker)
            else:
                del ready[worker]
            key = self._next_key
            self._next_key = key + 1
            request.worker, request.key = worker, key
            request.attempts += 1
            worker.requests[key] = request
            left = max(0, int((request.deadline - time.monotonic()) * 1000))
            envelope = wire.write(
                wire.REQUEST,
                worker.session,
                key,
                min(left, wire.MOST_MILLISECONDS),
                0,
                service.encoded,
            )
            if not self._to_worker((worker.identity, envelope, *request.body)):
                # This one was not sent, so that any request may wait for the next worker.
                del worker.requests[key]
                request.worker, request.attempts = None, request.attempts - 1
                waiting.appendleft(request)
                worker.free[name] += 1
                worker.gets_nothing = True
                self._give_nothing(worker)

    def _forward(self, client: Client, id_: int, kind: int, number: int = 0) -> None:
        request = client.requests.get(id_)
        if request is not None and request.worker is not None:
            worker = request.worker
            envelope = wire.write(kind, worker.session, request.key, number)
            self._to_worker((worker.identity, envelope))

    def _cancel(self, client: Client, id_: int) -> None:
        """End a request for its caller; its worker keeps the slot until it has stopped."""
        self._forward(client, id_, wire.CANCEL)
        request = client.requests.get(id_)
        if request is not None:
            self._end(request)

    def _end(self, request: Request) -> None:
        if not request.is_over:
            request.is_over = True
            request.client.requests.pop(request.id, None)
            del self._open[request]
            self._held_bytes -= request.size
            request.body = []

    def _fail(self, request: Request, error: KvasirError) -> None:
        if request in self._open:
            request.service.counts["failed"] += 1
            self._end(request)
        self._tell(request.client, wire.ERROR, request.id, body=pack_error(error))

    def _tell(
        self, client: Client, kind: int, id_: int = 0, number: int = 0, body: Sequence[bytes] = ()
    ) -> None:
        envelope = wire.write(kind, client.session, id_, number)
        if not self._to_client((client.identity, envelope, *body)):
            self._forget(client)

    def _forget(self, client: Client) -> None:
        """Forget a client that is gone, and stop what runs for it."""
        if self._clients.pop(client.identity, None) is None:
            return
        self._counts["clients_lost"] += bool(client.requests)
        for id_ in list(client.requests):
            self._cancel(client, id_)

    # From workers.

    def from_worker(self, frames: list[bytes], now: float) -> None:
        """Act on a message at the back end."""
        identity = frames[0]
        head = self._head(frames)
        if head is None:
            return
        version, kind, _, number, session, id_ = head
        worker = self._workers.get(identity)
        if worker is None or session != worker.session:
            if kind == wire.HELLO:
                self._register(identity, version, frames[2:], now)
            elif kind == wire.BYE:
                # It has left already, and asks whether all that it had sent was read.
                self._to_worker((identity, wire.write(wire.BYE, session)))
            else:
                self._counts["late"] += kind in (wire.REPLY, wire.ERROR)
                self._to_worker((identity, wire.write(wire.RESET, session, id_)))
            return
        worker.seen, worker.is_cut = now, False
        if worker.gets_nothing:
            self._give_again(worker)
        if kind == wire.REPLY or kind == wire.ERROR:
            request = worker.requests.pop(id_, None)
            if request is None:
                self._counts["late"] += 1
                return
            service = request.service
            if not request.is_over:
                service.counts["served" if kind == wire.REPLY else "failed"] += 1
                self._end(request)
                self._tell(request.client, kind, request.id, number, frames[2:])
            self._free(worker, service)
        elif kind == wire.CHUNK:
            request = worker.requests.get(id_)
            if request is not None and not request.is_over:
                request.begun = True
                self._tell(request.client, kind, request.id, number, frames[2:])
        elif kind == wire.PING:
            self._to_worker((identity, wire.write(wire.PONG, session)))
        elif kind == wire.HELLO:
            self._welcome(worker)
        elif kind == wire.BYE:
            self._dismiss(worker)
            self._to_worker((identity, wire.write(wire.BYE, session)))
        elif kind != wire.PONG:
            self.refuse()

    def _register(self, identity: bytes, version: int, body: list[bytes], now: float) -> None:
        try:
            greeting = records.read_greeting(body)
        except WireError:
            greeting = None
        if version != wire.VERSION or greeting is None:
            self.refuse()
            return
        known = self._workers.get(identity)
        if known is not None and not known.leaving:
            # It has not read the first welcome yet, or had heard nothing for long.
            known.seen = now
            self._welcome(known)
            return
        if known is not None:
            # It has begun again, and knows nothing of what it had.
            self._lose(known, "it has begun again")
        worker = self._workers[identity] = Peer(identity, now)
        slots = greeting.services
        worker.name, worker.slots, worker.free = greeting.name[:100], slots, dict(slots)
        self._welcome(worker)
        logger.info("worker %s serves %s", worker.name, ", ".join(sorted(slots)))
        for each in slots:
            service = self._services.setdefault(each, Service(each))
            service.is_known = True
            service.ready[worker] = None
            self._give(service)

    def _welcome(self, worker: Peer) -> None:
        envelope = wire.write(wire.WELCOME, worker.session, 0, self.is_open)
        self._to_worker((worker.identity, envelope))

    def _free(self, worker: Peer, service: Service) -> None:
        if worker.leaving:
            if not worker.requests:
                self._workers.pop(worker.identity, None)
            return
        worker.free[service.name] += 1
        service.ready[worker] = None
        if service.waiting:
            self._give(service)

    def _dismiss(self, worker: Peer) -> None:
        """Give a worker nothing more; it answers what it has."""
        worker.leaving = True
        self._give_nothing(worker)
        if not worker.requests:
            self._workers.pop(worker.identity, None)

    def _give_again(self, worker: Peer) -> None:
        """Give a worker requests again that could not be reached for a while, but speaks."""
        worker.gets_nothing = False
        for name, free in worker.free.items():
            if free and not worker.leaving:
                self._services[name].ready[worker] = None
                self._give(self._services[name])

    def _give_nothing(self, worker: Peer) -> None:
        for name in worker.slots:
            self._services[name].ready.pop(worker, None)

    def _lose(self, worker: Peer, why: str) -> None:
        """Forget a worker that is gone; give its requests to others, or fail them."""
        if self._workers.pop(worker.identity, None) is None:
            return
        self._counts["workers_lost"] += 1
        logger.warning("worker %s is gone: %s", worker.name, why)
        self._give_nothing(worker)
        lost, worker.requests = worker.requests, {}
        again: dict[Service, None] = {}
        for request in reversed(lost.values()):
            if request.is_over:
                continue
            request.worker = None
            service = request.service
            if request.idempotent and not request.begun and request.attempts < _MOST_ATTEMPTS:
                service.counts["retried"] += 1
                service.waiting.appendleft(request)
                again[service] = None
            else:
                cause = "its worker ended before it had answered"
                self._fail(
                    request, ComponentError(service.name, "serving", cause, kind="unreachable")
                )
        for service in again:
            self._give(service)

    def say_goodbye(self) -> None:
        """Have workers and clients look for the next broker at once."""
        for worker in self._workers.values():
            self._to_worker((worker.identity, wire.write(wire.RESET, worker.session)))
        for client in self._clients.values():
            self._to_client((client.identity, wire.write(wire.RESET, client.session)))

    # In time.

    def tick(self, now: float) -> None:
        """Do what is due: heartbeats, deadlines, peers that are silent."""
        longest = _MOST_SILENT * self._heartbeat
        for worker in list(self._workers.values()):
            if now - worker.seen > longest:
                self._lose(worker, "it does not answer")
            elif not self._to_worker((worker.identity, wire.write(wire.PING, worker.session))):
                # What it had sent before may still be unread.
                if worker.is_cut:
                    self._lose(worker, "its connection is gone")
                worker.is_cut = True
        for client in list(self._clients.values()):
            if now - client.seen > (longest if client.requests else _IDLE_SECONDS):
                self._forget(client)
        self._expire(now)
        for service in list(self._services.values()):
            # Cancelled ones would stay while nothing is given out.
            if any(each.is_over for each in service.waiting):
                service.waiting = deque(each for each in service.waiting if not each.is_over)
            if not (service.waiting or service.is_known):
                # Names come from clients, in any number.
                del self._services[service.name]

    def _expire(self, now: float) -> None:
        for request in [each for each in self._open if each.deadline < now]:
            service = request.service
            service.counts["expired"] += 1
            if request.worker is not None:
                self._forward(request.client, request.id, wire.CANCEL)
                cause, kind = "no answer in time", "timeout"
            elif any(service.name in each.slots for each in self._workers.values()):
                cause, kind = "no worker was free in time", "timeout"
            else:
                served = sorted({name for each in self._workers.values() for name in each.slots})
                cause = f"no worker serves it (served are: {', '.join(served) or 'none'})"
                kind = "unreachable"
            self._fail(request, ComponentError(service.name, "answering", cause, kind=kind))

    def statistics(self, now: float) -> Mapping[str, Any]:
        """Return what the broker does and has done, as plain data."""
        workers = self._workers.values()
        return {
            "since": self._began,
            "services": records.describe(self._services.values(), self._open, workers),
            "workers": [each.described(now) for each in workers],
            "clients": len(self._clients),
            "held_bytes": self._held_bytes,
            **self._counts,
        }
