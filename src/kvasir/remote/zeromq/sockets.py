"""Sockets with the options that every connection of ours has.

Options of note: ``LINGER`` 0, because the default hangs the end of the process; ``IMMEDIATE``, so
that nothing is sent into a connection that is not there; ``ROUTER_MANDATORY``, because a ROUTER
otherwise drops a message to a peer that has gone and reports success; ``MAXMSGSIZE``, the longest
frame that is read at all.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import zmq

from kvasir.remote.zeromq.curve_keys import KeyPair

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]

MOST_BYTES = 256 << 20
"""The longest frame by default."""
_RECONNECT_MS = 50
_MOST_RECONNECT_MS = 1000
_BACKLOG = 1024

_lock = threading.Lock()
_contexts: dict[int, Context] = {}


def shared_context() -> Context:
    """Return the context of this process: ``inproc`` addresses are known within one context."""
    with _lock:
        context = _contexts.get(os.getpid())
        if context is None:
            _contexts.clear()  # Of a parent process; it must not be used or ended here.
            context = _contexts[os.getpid()] = zmq.Context()
            context.set(zmq.MAX_SOCKETS, 16_384)
        return context


def connecting_socket(address: str, keys: KeyPair | None, most_bytes: int) -> Socket:
    """Return a DEALER that connects to a broker, and connects again by itself."""
    made = _make(zmq.DEALER, most_bytes, is_ipv6="[" in address)
    made.set(zmq.IMMEDIATE, 1)
    # Callers wait for their answers, so they bound what can be in the queues.
    made.set(zmq.SNDHWM, 0)
    made.set(zmq.RCVHWM, 0)
    made.set(zmq.RECONNECT_IVL, _RECONNECT_MS)
    made.set(zmq.RECONNECT_IVL_MAX, _MOST_RECONNECT_MS)
    if keys is not None:
        made.curve_publickey, made.curve_secretkey = keys.public, keys.secret
        made.curve_serverkey = keys.broker
    made.connect(address)
    return made


def listening_socket(
    keys: KeyPair | None, domain: str, most_bytes: int, most_sent: int, *, is_ipv6: bool
) -> Socket:
    """Return a ROUTER that is not bound yet.

    Args:
        keys: Of the broker.
        domain: In which ``Authenticators`` say who may connect.
        most_bytes: The longest frame.
        most_sent: Messages that wait for one peer.
        is_ipv6: One of its addresses will be of IPv6.
    """
    made = _make(zmq.ROUTER, most_bytes, is_ipv6=is_ipv6)
    made.set(zmq.ROUTER_MANDATORY, 1)
    made.set(zmq.SNDHWM, most_sent)
    made.set(zmq.BACKLOG, _BACKLOG)
    if keys is not None:
        made.curve_publickey, made.curve_secretkey = keys.public, keys.secret
        made.curve_server = True
        made.zap_domain = domain.encode()
    return made


def _make(kind: int, most_bytes: int, *, is_ipv6: bool) -> Socket:
    made = shared_context().socket(kind)
    made.set(zmq.LINGER, 0)
    made.set(zmq.MAXMSGSIZE, most_bytes)
    made.set(zmq.IPV6, is_ipv6)
    return made


class Outbox:
    """Items from any thread for the one thread that owns a socket, which they wake.

    ``socket`` becomes readable when there is something; the owner polls it.
    """

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._is_signalled = False
        self.socket, self._signal = socket.socketpair()
        self.socket.setblocking(False)
        self._signal.setblocking(False)

    def put(self, item: Any) -> None:
        """Add an item; after ``close`` it is dropped."""
        self._items.append(item)
        if not self._is_signalled:
            self._is_signalled = True
            with suppress(OSError):
                self._signal.send(b"\0")

    def take(self) -> Iterator[Any]:
        """Yield the items; one that is put meanwhile comes now, or wakes the owner again."""
        with suppress(OSError):
            self.socket.recv(4096)
        self._is_signalled = False
        while True:
            try:
                item = self._items.popleft()
            except IndexError:
                return
            yield item

    def close(self) -> None:
        """Close both ends."""
        self.socket.close()
        self._signal.close()
