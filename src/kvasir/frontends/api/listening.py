"""How the socket at which the service listens is closed without losing a request."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

_SO_ATTACH_FILTER = 26
"""Of Linux (socket(7)); Python has no name for it."""
_IGNORE_NEW_CONNECTIONS = (
    # struct sock_filter: code, jump if true, jump if false, operand. See Linux's
    # Documentation/networking/filter.rst; the packet begins with the TCP header.
    (0x30, 0, 0, 13),  # Load the byte of the TCP flags.
    (0x45, 0, 1, 0x02),  # Is SYN among them?
    (0x06, 0, 0, 0),  # Yes: drop the packet.
    (0x06, 0, 0, 0xFFFFFFFF),  # No: keep all of it.
)
_HANDSHAKE_SECONDS = 0.1
"""For the last step of connections that have begun."""


async def take_last_connections(listeners: Sequence[socket.socket]) -> list[socket.socket]:
    """Accept what the system has connected already; the caller closes the listeners at once.

    A connection that the system makes after the last look would be reset when its listener
    closes, and its client could not know whether the request was heard. So new connections are
    ignored first (Linux), which leaves their clients trying until the port is closed or served
    again, and those that have begun get the time to end. Elsewhere the queue is made as short as
    the system allows, which leaves a gap of microseconds.
    """
    loop = asyncio.get_running_loop()
    for listener in listeners:
        if not _ignore_new_connections(listener):
            listener.listen(0)
    await asyncio.sleep(_HANDSHAKE_SECONDS)
    taken: list[socket.socket] = []
    for listener in listeners:
        loop.remove_reader(listener.fileno())
        taken.extend(_accept_all(listener))
    return taken


def _ignore_new_connections(listener: socket.socket) -> bool:
    """Have the system drop the first packet of every new connection; return False if it cannot."""
    if sys.platform != "linux" or listener.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    steps = _IGNORE_NEW_CONNECTIONS
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HP", len(steps), ctypes.addressof(code))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:  # A system that imitates Linux need not have it.
        return False
    return True


def _accept_all(listener: socket.socket) -> Iterator[socket.socket]:
    with suppress(BlockingIOError):
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            yield connection
