"""Connections whose reads end when the token of the call is set.

A language model may take a minute to its first token. When the client of an answer leaves
meanwhile, the connection to the model's server must close: the server generates until then.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from kvasir.core.deadline import current_stop

_SLICE = 0.2
"""Seconds after which a read looks at the token."""


def make_stoppable(client: httpx.Client) -> httpx.Client:
    """Return the client; its reads raise ``StoppedError`` when the token of a call is set."""
    # httpx has no parameter for the network backend, and a transport of our own would not use the
    # proxies of the environment.
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            pool = transport._pool
            pool._network_backend = _StoppableBackend(pool._network_backend)
    return client


class _StoppableBackend(httpcore.NetworkBackend):
    """Makes stoppable connections."""

    def __init__(self, network: httpcore.NetworkBackend) -> None:
        self._network = network

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        made = self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return _StoppableStream(made)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _StoppableStream(self._network.connect_unix_socket(path, timeout, socket_options))

    def sleep(self, seconds: float) -> None:
        self._network.sleep(seconds)


class _StoppableStream(httpcore.NetworkStream):
    """Reads in slices of time; one without a byte can be repeated, also within TLS."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        stop = current_stop()
        if stop is None:
            return self._stream.read(max_bytes, timeout)
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            stop.raise_if_set()
            left = _SLICE if end is None else min(_SLICE, max(0.0, end - time.monotonic()))
            try:
                return self._stream.read(max_bytes, left)
            except httpcore.ReadTimeout:
                if end is not None and time.monotonic() >= end:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _StoppableStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
