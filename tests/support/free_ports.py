"""Ports that stay free until a server that is about to start listens there."""

from __future__ import annotations

import itertools
import os
import re
import socket

_LOWEST, _PER_WORKER = 20_000, 1_000
"""Below the ports that a system gives to connections and to servers without one of their own."""
_WORKER = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0) % 12
_OFFSETS = itertools.cycle(range(_PER_WORKER))


def free_port() -> int:
    """Return a port of the loopback interface that nobody is given by chance meanwhile.

    Whoever asks the system for any free port may get the one that another test has just let go;
    those returned here are of no other worker, and of this one not again soon.
    """
    for offset in itertools.islice(_OFFSETS, _PER_WORKER):
        port = _LOWEST + _WORKER * _PER_WORKER + offset
        with socket.socket() as probe:
            # The connections of a server that was there before may linger.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"none of {_PER_WORKER} ports is free")
