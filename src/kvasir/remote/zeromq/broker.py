"""The broker between clients and workers: one thread with a front end and a back end.

    with Broker("ipc:///run/user/1000/kvasir/front", "ipc:///run/user/1000/kvasir/back"):
        ...

It reads no message beyond the envelope, and imports no component.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self
from uuid import uuid4

import zmq

from kvasir.core.errors import ComponentError
from kvasir.remote.zeromq.addresses import Address, check_bind
from kvasir.remote.zeromq.curve_keys import AUTHENTICATORS, BROKER, ROLES, AllowedKeys, load_keys
from kvasir.remote.zeromq.dispatching import Dispatcher
from kvasir.remote.zeromq.dispatching_records import Limits
from kvasir.remote.zeromq.sockets import Outbox, Socket, listening_socket, shared_context

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
_AT_ONCE = 256
"""Messages that are read from one side before the other has its turn."""
_KEYS_SECONDS = 2.0
"""How often the folders of public keys are looked at."""


class Broker:
    """Listens at a front end and a back end; close it, or use it in a ``with``.

    Attributes:
        front_end: Where clients connect, with the ports that the system chose.
        back_end: Where workers connect.
    """

    def __init__(
        self,
        front_end: str | Sequence[str],
        back_end: str | Sequence[str],
        *,
        keys: Path | None = None,
        limits: Limits | None = None,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Bind the addresses and start the thread.

        Args:
            front_end: One or several addresses for clients.
            back_end: For workers.
            keys: Folder with CURVE keys; an address that other machines reach needs it.
            limits: What it takes on.
            heartbeat: Seconds between two signs of life; a worker that is silent for ten of them
                is gone.

        Raises:
            SettingsError: An address or a key is unusable.
            ComponentError: An address is taken.
        """
        self._limits = limits or Limits()
        self._heartbeat = heartbeat
        self._keys = keys
        self._own = load_keys(keys, BROKER) if keys else None
        self._allowed: list[AllowedKeys] = []
        self._outbox = Outbox()
        self._is_closing = self._is_open = False
        self._ends: list[Socket] = []
        try:
            self.front_end = self._bind(front_end, "client")
            self.back_end = self._bind(back_end, "worker")
        except BaseException:
            self._close_sockets()
            raise
        self._dispatcher = Dispatcher(
            self._limits, heartbeat, _sender(self._ends[0]), _sender(self._ends[1])
        )
        self._dispatcher.is_open = self._is_open
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self, wait_seconds: float = 0.0) -> None:
        """Refuse new requests, wait for those in progress, and end; a second call does nothing."""
        self._dispatcher.is_stopping = True
        end = time.monotonic() + wait_seconds
        while self._dispatcher.open_requests and time.monotonic() < end:
            time.sleep(0.02)
        self._is_closing = True
        self._outbox.put(None)
        self._thread.join()

    @property
    def is_running(self) -> bool:
        """False after ``close``, or if the thread has failed."""
        return self._thread.is_alive()

    def _bind(self, addresses: str | Sequence[str], role: str) -> tuple[str, ...]:
        parsed = [
            Address.parse(each)
            for each in ([addresses] if isinstance(addresses, str) else addresses)
        ]
        domain = f"{role}-{uuid4().hex}"
        if self._keys:
            # Before anything is bound: whoever connects must be checked.
            self._allowed.append(AllowedKeys(self._keys / ROLES[role]))
            AUTHENTICATORS.allow(shared_context(), domain, self._allowed[-1])
        limits = self._limits
        end = listening_socket(
            self._own,
            domain,
            limits.message_bytes,
            2 * limits.requests,
            is_ipv6=any(":" in each.host for each in parsed),
        )
        self._ends.append(end)
        bound = []
        for address in parsed:
            self._is_open |= self._keys is None and not address.is_of_one_user
            check_bind(address, has_keys=self._keys is not None)
            try:
                end.bind(str(address))
            except zmq.ZMQError as error:
                raise ComponentError(f"the address {address}", "listening", error) from error
            bound.append(end.get_string(zmq.LAST_ENDPOINT))
        return tuple(bound)

    def _run(self) -> None:
        front, back = self._ends
        poller = zmq.Poller()
        for each in (front, back, self._outbox.socket):
            poller.register(each, zmq.POLLIN)
        dispatcher = self._dispatcher
        from_client, from_worker = dispatcher.from_client, dispatcher.from_worker
        next_tick = time.monotonic()
        next_keys = next_tick + _KEYS_SECONDS
        try:
            while not self._is_closing:
                poller.poll(max(0, int((next_tick - time.monotonic()) * 1000) + 1))
                now = time.monotonic()
                # Answers first: they free what the next requests need.
                self._drain(back, from_worker, now)
                self._drain(front, from_client, now)
                if now >= next_tick:
                    next_tick = now + self._heartbeat / 2
                    dispatcher.tick(now)
                if now >= next_keys:
                    next_keys = now + _KEYS_SECONDS
                    for allowed in self._allowed:
                        allowed.refresh()
            dispatcher.say_goodbye()
        except Exception:
            logger.exception("the broker has failed")
            raise
        finally:
            self._close_sockets()

    def _drain(self, end: Socket, act: Callable[[list[bytes], float], None], now: float) -> None:
        receive, at_once = end.recv_multipart, zmq.NOBLOCK
        with suppress(zmq.Again):
            for _ in range(_AT_ONCE):
                frames = receive(at_once)
                try:
                    act(frames, now)
                except zmq.ZMQError:
                    raise  # The sockets are unusable.
                except Exception:
                    # One message of one peer must not end the calls of all others.
                    logger.exception("a message could not be acted on")
                    self._dispatcher.refuse()

    def _close_sockets(self) -> None:
        for each in self._ends:
            # What was answered last still goes out.
            each.close(linger=500)
        self._outbox.close()


def _sender(end: Socket) -> Callable[[Sequence[bytes]], bool]:
    send, at_once, gone = end.send_multipart, zmq.NOBLOCK, (zmq.EHOSTUNREACH, zmq.EAGAIN)

    def send_all(frames: Sequence[bytes]) -> bool:
        try:
            send(frames, at_once)
        except zmq.ZMQError as error:
            if error.errno not in gone:
                raise
            return False
        return True

    return send_all
