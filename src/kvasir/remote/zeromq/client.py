"""Calls of services through a broker: many at once over one connection, from any thread.

    client = Client("ipc:///run/user/1000/kvasir/front")
    client.call("embedder", "embed_queries", {"texts": ["one"]})

The deadline and the stop token of ``core.deadline`` hold for every call. An answer that comes after
its caller has stopped waiting is dropped by its id. After a restart of the broker, calls that may
be executed twice are sent again; others fail.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from kvasir.core.deadline import check, current_deadline
from kvasir.core.errors import (
    ClosedError,
    ComponentError,
    DeadlineExceededError,
    TooLargeError,
)
from kvasir.remote.zeromq import envelopes as wire
from kvasir.remote.zeromq.addresses import Address
from kvasir.remote.zeromq.calls import Call
from kvasir.remote.zeromq.curve_keys import KeyPair
from kvasir.remote.zeromq.failures import unpack_error
from kvasir.remote.zeromq.links import Link
from kvasir.remote.zeromq.packing import pack
from kvasir.remote.zeromq.sockets import MOST_BYTES

CALL_SECONDS = 120.0
"""How long a call may take by default; a stream may be silent for so long."""
WHOLE_SECONDS = 86_400.0
"""How long a whole stream may take, and work that goes on for as long as there is data."""
PATIENCE_SECONDS = 10.0
"""How long a call waits for a broker that does not answer."""


class Client:
    """A connection to the front end of a broker; safe to use from several threads.

    Attributes:
        name: What it is called in messages.
    """

    def __init__(
        self,
        address: str,
        *,
        keys: KeyPair | None = None,
        timeout: float = CALL_SECONDS,
        patience: float = PATIENCE_SECONDS,
        heartbeat: float = 1.0,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Connect in the background.

        Args:
            address: Of the front end.
            keys: Keys of this client, if the broker has some.
            timeout: Seconds that a call may take, unless it says otherwise.
            patience: Seconds that a call waits for a broker that does not answer.
            heartbeat: As of the broker.
            most_bytes: The longest frame, as of the broker.

        Raises:
            SettingsError: The address is none.
        """
        self.name = f"the service at {Address.parse(address)}"
        self._timeout, self._patience, self._most_bytes = timeout, patience, most_bytes
        self._has_keys, self._heartbeat = keys is not None, heartbeat
        self._is_closed = False
        self._pending: dict[int, Call] = {}
        self._held: dict[Call, float] = {}
        """Calls that wait for a session, and since when."""
        self._last_id = 0
        self._session = b""
        self._link = Link(
            address,
            self,
            keys=keys,
            heartbeat=heartbeat,
            most_bytes=most_bytes,
            name="service client",
        )
        self._link.start()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def is_usable(self) -> bool:
        """False after its end, and in a process that was forked from this one."""
        is_over = self._is_closed or self._link.has_ended
        return not is_over and self._link.is_of_this_process

    def close(self) -> None:
        """End the connection; calls in progress fail."""
        self._is_closed = True
        self._link.close()
        self.ended()

    def start(
        self,
        service: str,
        operation: str,
        arguments: Mapping[str, Any],
        *,
        idempotent: bool = True,
        timeout: float | None = None,
    ) -> Call:
        """Send a call and return at once.

        Args:
            service: Name of the service.
            operation: What it is to do.
            arguments: Plain data and numpy arrays.
            idempotent: It may be executed again if its worker dies.
            timeout: Seconds that it may take.

        Raises:
            TooLargeError: A frame is longer than the broker reads.
            ClosedError: The client is closed.
        """
        return self._start(service, operation, arguments, idempotent, timeout, streams=False)

    def call(
        self,
        service: str,
        operation: str,
        arguments: Mapping[str, Any],
        *,
        idempotent: bool = True,
        timeout: float | None = None,
    ) -> Any:
        """Return the result of a call: ``start``, then ``Call.result``."""
        return self._start(
            service, operation, arguments, idempotent, timeout, streams=False
        ).result()

    def stream(
        self,
        service: str,
        operation: str,
        arguments: Mapping[str, Any],
        *,
        idempotent: bool = True,
        timeout: float | None = None,
        silence: float | None = None,
    ) -> Generator[Any, None, None]:
        """Yield the pieces of a streamed answer; closing the generator stops the work.

        Args:
            service: Name of the service.
            operation: What it is to do.
            arguments: Plain data and numpy arrays.
            idempotent: It may be executed again as long as no piece has come.
            timeout: Seconds that the whole may take; by default a day.
            silence: Seconds until the next piece.

        Raises:
            KvasirError: As ``Call.result``.
        """
        whole = WHOLE_SECONDS if timeout is None else timeout
        call = self._start(service, operation, arguments, idempotent, whole, streams=True)
        yield from call.pieces(operation, self._timeout if silence is None else silence)

    def statistics(self) -> dict[str, Any]:
        """Return what the broker says of its services, workers and requests."""
        call = self._prepare(wire.STATISTICS, "", "reading statistics", [], True, None, False)
        self._link.post(("send", call, 0))
        found: dict[str, Any] = call.result()
        return found

    def post(self, item: tuple[str, Call, int]) -> None:
        """Hand work to the thread of the connection."""
        if not self._is_closed:
            self._link.post(item)

    def _start(
        self,
        service: str,
        operation: str,
        arguments: Mapping[str, Any],
        idempotent: bool,
        timeout: float | None,
        *,
        streams: bool,
    ) -> Call:
        check(operation)
        body = pack([operation, arguments])
        longest = max(map(len, body))
        if longest > self._most_bytes:
            raise TooLargeError(
                f"a call of {self.name} has {longest:,} bytes, and {self._most_bytes:,} are allowed"
            )
        call = self._prepare(wire.REQUEST, service, operation, body, idempotent, timeout, streams)
        self._link.post(("send", call, 0))
        return call

    def _prepare(
        self,
        kind: int,
        service: str,
        operation: str,
        body: list[bytes],
        idempotent: bool,
        timeout: float | None,
        streams: bool,
    ) -> Call:
        if self._is_closed:
            raise _closed()
        end = time.monotonic() + (self._timeout if timeout is None else timeout)
        outer = current_deadline()
        deadline = end if outer is None else min(end, outer)
        return Call(
            self,
            kind,
            service,
            operation,
            body,
            deadline,
            grace=self._heartbeat,
            idempotent=idempotent,
            streams=streams,
        )

    # In the thread of the connection.

    def greeting(self) -> Sequence[bytes]:
        """Return nothing: a client has nothing to say of itself."""
        return ()

    def opened(self, session: bytes) -> None:
        """Send again what an earlier session lost, and what waited."""
        if session != self._session:
            self._session = session
            lost, self._pending = self._pending, {}
            for call in lost.values():
                if call.idempotent and not call.expected:
                    self._held.setdefault(call, time.monotonic())
                else:
                    cause = "the connection was lost while it was running"
                    call.finish(
                        ComponentError(call.service, "answering", cause, kind="unreachable")
                    )
        held, self._held = self._held, {}
        for call in held:
            self._send(call)

    def not_accepted(self, id_: int) -> None:
        """Send a request again, in the next session."""
        call = self._pending.get(id_)
        # One whose pieces have come was accepted, whatever a broker says.
        if call is not None and not call.expected:
            del self._pending[id_]
            self._hold(call)

    def posted(self, item: tuple[str, Call, int]) -> None:
        """Send a call, its end, or that its reader wants more."""
        what, call, number = item
        if what == "send":
            self._send(call)
        elif what == "more":
            if self._pending.get(call.id) is call:
                self._link.send(wire.MORE, call.id, number)
        else:
            self._held.pop(call, None)
            if self._pending.pop(call.id, None) is not None:
                self._link.send(wire.CANCEL, call.id)

    def received(self, kind: int, number: int, id_: int, service: bytes, body: list[bytes]) -> None:
        """Hand an answer, or a piece of it, to its call."""
        if kind == wire.CHUNK:
            call = self._pending.get(id_)
            if call is None or call.chunks is None:
                return
            if number != call.expected:
                del self._pending[id_]
                cause = f"piece {call.expected} of the answer is missing"
                call.finish(ComponentError(call.service, "answering", cause))
                self._link.send(wire.CANCEL, id_)
                return
            call.expected += 1
            call.chunks.put(body)
            return
        call = self._pending.pop(id_, None)
        if call is None:
            return  # Nobody waits for it any more.
        if kind == wire.REPLY:
            missing = call.chunks is not None and number != call.expected
            cause = "the end of the answer is missing"
            call.finish(ComponentError(call.service, "answering", cause) if missing else body)
        elif kind == wire.ERROR:
            call.finish(unpack_error(body))

    def ended(self) -> None:
        """End all calls."""
        for call in (*self._pending.values(), *self._held):
            call.finish(_closed())

    def dropped(self, item: tuple[str, Call, int]) -> None:
        """End a call that came too late."""
        what, call, _ = item
        if what == "send":
            call.finish(_closed())

    def ticked(self, now: float) -> None:
        """End what has waited too long."""
        for call, since in list(self._held.items()):
            if now - since > self._patience or call.deadline < now:
                del self._held[call]
                unknown = ", or it does not know the key of this client" if self._has_keys else ""
                cause = f"nothing answers there{unknown}"
                call.finish(ComponentError(self.name, "connecting", cause, kind="unreachable"))
        for id_, call in list(self._pending.items()):
            if call.deadline + self._patience < now:
                del self._pending[id_]
                call.finish(DeadlineExceededError(call.service))

    def needs_broker(self) -> bool:
        """Return True while a call waits for its answer, or for a broker that takes it."""
        return bool(self._pending or self._held)

    def _send(self, call: Call) -> None:
        if call.is_done:
            return
        now = time.monotonic()
        if not self._link.session:
            self._hold(call)
            return
        self._last_id += 1
        call.id, call.session = self._last_id, self._link.session
        left = max(0, min(int((call.deadline - now) * 1000), wire.MOST_MILLISECONDS))
        flags = wire.IDEMPOTENT if call.idempotent else 0
        self._pending[call.id] = call
        if not self._link.send(
            call.kind, call.id, left, call.body, flags=flags, service=call.service.encode()
        ):
            del self._pending[call.id]
            self._hold(call)

    def _hold(self, call: Call) -> None:
        self._held[call] = time.monotonic()


def _closed() -> ClosedError:
    return ClosedError("the connection to the service is closed")
