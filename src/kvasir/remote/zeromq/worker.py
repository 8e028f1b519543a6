"""Serves components to a broker: one thread for messages, and threads that compute.

    Worker("ipc:///run/user/1000/kvasir/back", [Service("embedder", operations, slots=2)])

A call runs under the deadline and the stop token of its caller, as if both were in one process. A
call that goes on long after its end (a hanging library) makes the worker leave its broker, because
its slot would stay taken for ever; ``run`` then returns, so that a supervisor can start another.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeVar

from kvasir.core.deadline import check, stopping, until
from kvasir.core.errors import (
    ComponentError,
    KvasirError,
    SettingsError,
    TooLargeError,
    WireError,
    describe_unexpected,
)
from kvasir.core.run import StopToken
from kvasir.core.wire import from_json
from kvasir.remote.zeromq import envelopes as wire
from kvasir.remote.zeromq.addresses import Address
from kvasir.remote.zeromq.curve_keys import KeyPair
from kvasir.remote.zeromq.failures import pack_error
from kvasir.remote.zeromq.links import LIVENESS, Link
from kvasir.remote.zeromq.packing import pack, unpack
from kvasir.remote.zeromq.sockets import MOST_BYTES

logger = logging.getLogger(__name__)

T = TypeVar("T")

HANG_SECONDS = 60.0


class Arguments:
    """The arguments of a call, which are read with their types."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def get(self, name: str, declared: type[T]) -> T:
        """Return an argument as ``core.wire`` reads it.

        Raises:
            WireError: It is missing or of another type.
        """
        try:
            found: T = from_json(declared, self._given[name])
        except KeyError:
            raise WireError("it is missing", (name,)) from None
        except WireError as error:
            raise error.within(name) from None
        return found

    def array(self, name: str) -> Any:
        """Return an argument that is a numpy array.

        Raises:
            WireError: It is missing or no array.
        """
        found = self._given.get(name)
        if not hasattr(found, "dtype"):
            raise WireError("it must be an array", (name,))
        return found


Operation = Callable[[Arguments], Any]
"""Returns plain data and numpy arrays, or an iterator of them, whose pieces are streamed."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a worker serves under one name.

    Attributes:
        name: By which clients call it.
        operations: What it can do, by name.
        slots: Calls that run at once; each has a thread.
        is_guarded: Who calls it reads or changes stored data: it is served only where strangers
            cannot connect.
    """

    name: str
    operations: Mapping[str, Operation]
    slots: int = 1
    is_guarded: bool = False


@dataclass(eq=False, slots=True)
class _Running:
    """A call from its arrival to its last message."""

    id: int
    session: bytes
    body: list[bytes]
    deadline: float
    stop: StopToken = field(default_factory=StopToken)
    window: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(wire.WINDOW))
    ended: float = 0.0
    """When it was cancelled; 0 if it was not."""


class Worker:
    """Takes requests from the back end of a broker until ``close``.

    Attributes:
        name: What it is called in statistics: host and process by default.
    """

    def __init__(
        self,
        address: str,
        services: Sequence[Service],
        *,
        keys: KeyPair | None = None,
        name: str = "",
        heartbeat: float = 1.0,
        hang_seconds: float = HANG_SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Connect in the background, and start the threads.

        Args:
            address: Of the back end.
            services: What it serves.
            keys: Keys of this worker, if the broker has some.
            name: What it is called in statistics.
            heartbeat: As of the broker.
            hang_seconds: How long a call may go on after its deadline or its cancellation.
            most_bytes: The longest frame, as of the broker.

        Raises:
            SettingsError: The address is none, two services have one name, or a service that gives
                access to stored data would be reached without keys by other users.
        """
        self.name = name or f"{platform.node()}:{os.getpid()}"
        where = Address.parse(address)
        self._services = {each.name: each for each in services}
        if len(self._services) != len(services) or not services:
            raise SettingsError("a worker needs services of different names")
        self._guarded = ", ".join(each.name for each in services if each.is_guarded)
        self._refused: SettingsError | None = None
        if self._guarded and keys is None and not where.is_of_one_user:
            raise _needs_keys(self._guarded, str(where))
        self._queues: dict[str, SimpleQueue[_Running | None]] = {}
        self._running: dict[int, _Running] = {}
        self._changed = threading.Condition()
        self._held: list[tuple[str, _Running, Sequence[Any]]] = []
        """What is to be sent when the broker is heard again."""
        self._patience = LIVENESS * heartbeat
        self._hang_seconds, self._most_bytes = hang_seconds, most_bytes
        self._is_leaving = False
        self._said_bye = threading.Event()
        self._ended = StopToken()
        self._link = Link(
            address,
            self,
            keys=keys,
            heartbeat=heartbeat,
            most_bytes=most_bytes,
            name="service worker",
        )
        for each in services:
            self._queues[each.name] = SimpleQueue()
            for number in range(each.slots):
                threading.Thread(
                    target=self._serve, args=(each,), name=f"{each.name} {number}", daemon=True
                ).start()
        self._link.start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, stop: StopToken, wait_seconds: float = 30.0) -> bool:
        """Serve until the token is set; return False if a call hangs.

        Args:
            stop: Ends the work: no more requests are taken, those in progress are answered.
            wait_seconds: How long they may take.

        Raises:
            SettingsError: The broker lets in other users, and a service gives access to stored
                data.
        """
        with stop.calling(self._ended.set):
            self._ended.wait()
        if self._refused is not None:
            raise self._refused
        if not stop.is_set():
            return False
        self.close(wait_seconds)
        return True

    def close(self, wait_seconds: float = 0.0) -> None:
        """Take no more requests, wait for those in progress and until they are read, and end."""
        end = time.monotonic() + wait_seconds
        if self._say_bye(end):
            with self._changed:
                self._changed.wait_for(lambda: not self._running, max(0.0, end - time.monotonic()))
            # The reply to the second one comes after the broker has read the answers.
            self._say_bye(end)
        self._link.close()
        for running in list(self._running.values()):
            running.stop.set()
        for each in self._services.values():
            for _ in range(each.slots):
                self._queues[each.name].put(None)
        self._ended.set()

    def _say_bye(self, end: float) -> bool:
        """Return whether the broker has replied; without one nobody does."""
        self._said_bye.clear()
        self._link.post(("bye", None, ()))
        while time.monotonic() < end and not self._said_bye.wait(0.1):
            silent = time.monotonic() - self._link.lost_at
            if not self._link.session and silent > self._patience:
                break
        return self._said_bye.is_set()

    # In the thread of the connection.

    def greeting(self) -> Sequence[bytes]:
        """Return what it serves."""
        slots = {name: each.slots for name, each in self._services.items()}
        return pack({"services": slots, "name": self.name})

    def opened(self, session: bytes) -> None:
        """Stop the calls of earlier sessions: nobody takes their answers any more."""
        logger.info("%s: connected to the broker", self.name)
        for running in list(self._running.values()):
            if running.session != session:
                self._stop(running)
        if self._guarded and self._link.is_open:
            self._refused = _needs_keys(self._guarded, "the broker")
            logger.error("%s: %s", self.name, self._refused)
            self._is_leaving = True
            self._ended.set()
        held, self._held = self._held, []
        for item in held:
            self.posted(item)
        if self._is_leaving:
            self._link.send(wire.BYE)

    def not_accepted(self, id_: int) -> None:
        """Do nothing: the next session is opened by itself."""

    def received(self, kind: int, number: int, id_: int, service: bytes, body: list[bytes]) -> None:
        """Start or stop a call, or let a stream go on."""
        if kind == wire.REQUEST:
            self._accept(number, id_, service.decode(), body)
        elif kind == wire.CANCEL:
            running = self._running.get(id_)
            if running is not None:
                self._stop(running)
        elif kind == wire.MORE:
            running = self._running.get(id_)
            if running is not None and 0 < number <= wire.WINDOW:
                running.window.release(number)
        elif kind == wire.BYE:
            self._said_bye.set()

    def posted(self, item: tuple[str, _Running | None, Sequence[Any]]) -> None:
        """Send what a call has to say, unless its session is over.

        While the broker is silent it is held back: the session may go on.
        """
        what, running, message = item
        if running is None:
            if what == "bye":
                self._is_leaving = True
                self._link.send(wire.BYE)
            return
        if running.session == self._link.session:
            kind, number, body = message
            self._link.send(kind, running.id, number, body)
        if not self._link.session:
            self._held.append((what, running, message))
            return
        if what == "end":
            with self._changed:
                self._running.pop(running.id, None)
                self._changed.notify_all()

    def ended(self) -> None:
        """End ``run``: nothing comes any more."""
        self._ended.set()

    def dropped(self, item: Any) -> None:
        """Do nothing: nobody takes the answer."""

    def ticked(self, now: float) -> None:
        """Leave the broker if a call goes on long after its end."""
        for running in list(self._running.values()):
            end = min(running.ended or float("inf"), running.deadline)
            if now > end and not running.ended:
                self._stop(running)
            if now > end + self._hang_seconds and not self._ended.is_set():
                logger.error("%s: a call hangs; this worker takes no more", self.name)
                self._is_leaving = True
                self._link.send(wire.BYE)
                self._ended.set()

    def needs_broker(self) -> bool:
        """Return True: a worker always waits for requests."""
        return True

    def _accept(self, number: int, id_: int, name: str, body: list[bytes]) -> None:
        running = _Running(id_, self._link.session, body, time.monotonic() + number / 1000)
        self._running[id_] = running
        queue = self._queues.get(name)
        if queue is None or self._refused is not None:
            error = self._refused or ComponentError(
                name, "serving", "this worker does not serve it"
            )
            self.posted(("end", running, (wire.ERROR, 0, pack_error(error))))
        else:
            queue.put(running)

    def _stop(self, running: _Running) -> None:
        if not running.ended:
            running.ended = time.monotonic()
            running.window.release(wire.WINDOW)
            # Callbacks run here, in the thread of the connection; those of calls are short.
            running.stop.set()

    # In the threads that compute.

    def _serve(self, service: Service) -> None:
        queue = self._queues[service.name]
        while (running := queue.get()) is not None:
            kind, number, body = self._execute(service, running)
            self._link.post(("end", running, (kind, number, body)))

    def _execute(self, service: Service, running: _Running) -> tuple[int, int, Sequence[bytes]]:
        """Run a call; return its last message."""
        operation = ""
        try:
            with until(running.deadline), stopping(running.stop):
                operation, act, arguments = _read(service, running.body)
                check(operation)
                result = act(arguments)
                if isinstance(result, Iterator):
                    return wire.REPLY, self._stream(running, result, operation), ()
                return wire.REPLY, 0, self._pack(result)
        except KvasirError as error:
            return wire.ERROR, 0, pack_error(error)
        except Exception as error:
            logger.exception("%s: %s has failed", service.name, operation)
            failed = ComponentError(service.name, operation, describe_unexpected(error))
            return wire.ERROR, 0, pack_error(failed)

    def _stream(self, running: _Running, pieces: Iterator[Any], operation: str) -> int:
        """Send pieces as their reader takes them; return how many."""
        sent = 0
        try:
            for piece in pieces:
                running.window.acquire(timeout=max(0.0, running.deadline - time.monotonic()))
                check(operation)
                self._link.post(("piece", running, (wire.CHUNK, sent, self._pack(piece))))
                sent += 1
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
        return sent

    def _pack(self, value: Any) -> list[bytes]:
        frames = pack(value)
        if max(map(len, frames)) > self._most_bytes:
            raise TooLargeError(
                f"an answer has {max(map(len, frames)):,} bytes, and {self._most_bytes:,} are "
                "allowed"
            )
        return frames


def _needs_keys(services: str, where: str) -> SettingsError:
    return SettingsError(
        f"{services} gives access to stored data, and without keys every user of the machine "
        f"reaches {where} over tcp: use CURVE keys, or ipc:// addresses at "
        "both ends of the broker"
    )


def _read(service: Service, body: Sequence[bytes]) -> tuple[str, Operation, Arguments]:
    form = unpack(body)
    if not (isinstance(form, list) and len(form) == 2 and isinstance(form[1], dict)):
        raise WireError("expected an operation and its arguments")
    operation = from_json(str, form[0])
    act = service.operations.get(operation)
    if act is None:
        known = ", ".join(sorted(service.operations))
        raise WireError(f"{service.name} has no operation '{operation}' (there are: {known})")
    return operation, act, Arguments(form[1])
