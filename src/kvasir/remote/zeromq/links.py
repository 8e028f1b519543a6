"""The connection of a client or a worker to a broker: one thread, one socket, one session.

The thread only moves messages, so that it answers heartbeats also while a component computes. A
broker that was restarted, or that forgot the connection, does not know its session; then the link
opens another one and its owner sends again what was lost.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

import zmq

from kvasir.core.errors import SettingsError
from kvasir.core.leases import OwnerProcess
from kvasir.remote.zeromq import envelopes as wire
from kvasir.remote.zeromq.curve_keys import KeyPair
from kvasir.remote.zeromq.sockets import Outbox, connecting_socket

logger = logging.getLogger(__name__)

LIVENESS = 3
"""A broker that is silent for this many heartbeats is gone."""
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.25
"""Seconds between two attempts to open a session; they double."""
_BYE_MS = 200
"""How long what was sent last may take; the process does not wait for it."""
_NEW_SOCKET_SECONDS = 1.0
"""After this long without a session another socket is made: a socket whose key was refused does
not try again by itself."""
_AT_ONCE = 256
"""Messages that are read before posted items get their turn."""


class LinkOwner(Protocol):
    """What a link works for; every method is called in the link's thread."""

    def greeting(self) -> Sequence[bytes]:
        """Return the header of the message that opens a session."""

    def opened(self, session: bytes) -> None:
        """Take note of a new session; what was sent in earlier ones is lost."""

    def received(self, kind: int, number: int, id_: int, service: bytes, body: list[bytes]) -> None:
        """Act on a message of the present session; ``service`` is that of a request."""

    def not_accepted(self, id_: int) -> None:
        """Take note that the broker did not accept a request."""

    def posted(self, item: Any) -> None:
        """Act on an item of ``post``."""

    def ticked(self, now: float) -> None:
        """Do what is due from time to time, at least once in a heartbeat."""

    def ended(self) -> None:
        """Take note that the thread ends, by ``close`` or by a failure."""

    def dropped(self, item: Any) -> None:
        """Take note of an item that came after the end; also called in the thread that posts."""

    def needs_broker(self) -> bool:
        """Return True while a broker that is silent must be noticed."""


class Link:
    """Connects to a broker, again and again, until ``close``.

    Attributes:
        session: The present session; empty while there is none.
        is_open: The broker lets in every user of its machine.
        has_ended: The thread has ended, by ``close`` or by a failure.
        lost_at: Since when there is none, on the clock of ``time.monotonic``.
    """

    def __init__(
        self,
        address: str,
        owner: LinkOwner,
        *,
        keys: KeyPair | None,
        heartbeat: float,
        most_bytes: int,
        name: str,
    ) -> None:
        self.session = self._known = b""
        self.is_open = False
        self.lost_at = time.monotonic()
        self._owner = owner
        self._heartbeat = heartbeat
        self._process = OwnerProcess()
        self._outbox = Outbox()
        self._is_closing = self.has_ended = False
        # ``_known`` is also kept while the broker is silent and ``session`` is empty.
        self._pause, self._next_hello = _FIRST_PAUSE, 0.0
        self._heard = self._pinged = 0.0
        self._next_tick = 0.0
        self._address, self._keys, self._most_bytes = address, keys, most_bytes
        self._poller = zmq.Poller()
        self._poller.register(self._outbox.socket, zmq.POLLIN)
        try:
            self._socket = connecting_socket(address, keys, most_bytes)
        except zmq.ZMQError as error:
            self._outbox.close()
            raise SettingsError(f"'{address}' cannot be connected to: {error}") from error
        self._poller.register(self._socket, zmq.POLLIN)
        self._connected_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, once its owner is ready."""
        self._thread.start()

    @property
    def is_of_this_process(self) -> bool:
        """False in a process that was forked from the one that made it."""
        return self._process.is_this

    def post(self, item: Any) -> None:
        """Hand an item to the link's thread; callable from any thread."""
        self._process.check()
        self._outbox.put(item)
        if self.has_ended:
            self._drop()

    def close(self) -> None:
        """End the thread and the connection; a second call does nothing."""
        if self._process.is_this and not self._is_closing:
            self._is_closing = True
            self._outbox.put(None)
            if threading.current_thread() is not self._thread:
                self._thread.join()

    def send(
        self,
        kind: int,
        id_: int = 0,
        number: int = 0,
        body: Sequence[bytes] = (),
        *,
        flags: int = 0,
        service: bytes = b"",
    ) -> bool:
        """Send a message in the link's thread; return False if there is no session any more."""
        if not self.session and kind != wire.HELLO:
            return False
        # A broker that was only silent for long knows the session still.
        session = self.session or self._known or wire.NO_SESSION
        frame = wire.write(kind, session, id_, number, flags, service)
        try:
            self._socket.send_multipart((frame, *body), zmq.NOBLOCK)
        except zmq.Again:
            self._lose()
            return False
        return True

    def _run(self) -> None:
        poll = self._poller.poll
        try:
            while not self._is_closing:
                poll(max(0, int(self._wait() * 1000) + 1))
                self._read()
                for item in self._outbox.take():
                    if item is not None:
                        self._owner.posted(item)
                now = time.monotonic()
                if now >= self._next_tick or not self.session:
                    self._tick(now)
        except Exception:
            logger.exception("the connection to a broker has failed")
            raise
        finally:
            try:
                self.send(wire.BYE)
                self._socket.close(linger=_BYE_MS)
            finally:
                # In this order: what is posted from now on is dropped here or by who posts it.
                self.has_ended = True
                self._owner.ended()
                self._drop()
                self._outbox.close()

    def _drop(self) -> None:
        for item in self._outbox.take():
            if item is not None:
                self._owner.dropped(item)

    def _wait(self) -> float:
        due = self._next_tick if self.session else min(self._next_tick, self._next_hello)
        return due - time.monotonic()

    def _read(self) -> None:
        receive, read = self._socket.recv_multipart, wire.read
        for _ in range(_AT_ONCE):
            try:
                frames = receive(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                magic, version, kind, _, number, session, id_ = read(frames[0])
            except struct.error:
                continue
            if magic != wire.MAGIC or version != wire.VERSION:
                continue
            self._heard = time.monotonic()
            if kind == wire.RESET:
                self._owner.not_accepted(id_)
                if session == self._known:
                    self._known = b""
                    self._lose()
                continue
            if session != self._known and kind != wire.WELCOME:
                continue
            if kind == wire.WELCOME:
                self.is_open = number == wire.OPEN
            if not self.session:
                # Opened now, or still known to a broker that was silent for long.
                self._open(session)
            if kind == wire.PING:
                self.send(wire.PONG)
            elif kind != wire.PONG and kind != wire.WELCOME:
                self._owner.received(kind, number, id_, frames[0][wire.SIZE :], frames[1:])

    def _open(self, session: bytes) -> None:
        self.session = self._known = session
        self._pause, self._pinged = _FIRST_PAUSE, 0.0
        self._owner.opened(session)

    def _lose(self) -> None:
        if self.session:
            self.session, self.lost_at, self._next_hello = b"", time.monotonic(), 0.0

    def _replace_socket(self, now: float) -> None:
        self._poller.unregister(self._socket)
        self._socket.close()
        self._socket = connecting_socket(self._address, self._keys, self._most_bytes)
        self._poller.register(self._socket, zmq.POLLIN)
        self._connected_at, self._known = now, b""

    def _tick(self, now: float) -> None:
        if not self.session and now >= self._next_hello:
            self.send(wire.HELLO, body=self._owner.greeting())
            self._next_hello = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            if now - max(self._connected_at, self.lost_at) > _NEW_SOCKET_SECONDS:
                self._replace_socket(now)
        if now < self._next_tick:
            return
        self._next_tick = now + self._heartbeat / 2
        if self.session and self._owner.needs_broker():
            if self._pinged and self._heard < self._pinged:
                if now - self._pinged > LIVENESS * self._heartbeat:
                    self._lose()
            elif now - self._heard >= self._heartbeat / 2:
                self._pinged = now
                self.send(wire.PING)
        self._owner.ticked(now)
