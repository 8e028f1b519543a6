"""The index of a service: ``RemoteCollection`` over ZeroMQ in place of HTTP.

A request of the HTTP interface travels as one call, and its answer as a stream: first status and
headers, then the body in pieces. So there is one interface of a collection, whatever carries it.
Whoever may connect to the broker has every right on the collections, unless a request brings a
token of its own; so the index is served with CURVE keys, or over ``ipc`` alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any

import httpx
import numpy as np

from kvasir.core.errors import ComponentError
from kvasir.remote.client import ServerClient
from kvasir.remote.zeromq.components import RemoteComponent

ROLE = "index"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, so that another worker may answer after one has died."""


class IndexConnection(RemoteComponent, httpx.BaseTransport):
    """Carries the requests of an HTTP client to a service."""

    role = ROLE

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the body of the answer is read as it comes."""
        asked = {
            "method": request.method,
            "target": request.url.raw_path.decode("ascii"),
            "headers": [[name.decode(), value.decode()] for name, value in request.headers.raw],
            "body": np.frombuffer(request.read(), dtype=np.uint8),
        }
        silence = request.extensions.get("timeout", {}).get("read") or self._timeout
        pieces = self._client.stream(
            self._service,
            "request",
            asked,
            idempotent=request.method in _SAFE,
            silence=silence,
        )
        head = next(pieces, None)
        if not (isinstance(head, list) and len(head) == 2):
            pieces.close()
            raise self._malformed("the answer does not begin with its status")
        return httpx.Response(
            self._read(int, head[0]),
            headers=self._read(list[tuple[str, str]], head[1]),
            stream=_Body(pieces, self._malformed),
        )


class _Body(httpx.SyncByteStream):
    """The body of an answer, which arrives in pieces."""

    def __init__(self, pieces: Generator[Any, None, None], malformed: Any) -> None:
        self._pieces, self._malformed = pieces, malformed

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if not isinstance(piece, np.ndarray):
                error: ComponentError = self._malformed("a piece of the body is no array of bytes")
                raise error
            yield piece.tobytes()

    def close(self) -> None:
        """Stop the answer."""
        self._pieces.close()


def connect_to_index(
    address: str,
    settings: Mapping[str, Any],
    *,
    service: str = ROLE,
    keys: str = "",
    key: str = "client",
    token: str = "",
) -> ServerClient:
    """Return a client for ``RemoteService``; errors as of ``RemoteComponent``."""
    return ServerClient(
        "http://kvasir",
        token=token,
        name=f"the index at {address}",
        settings=settings,
        transport=IndexConnection(address, service, keys, key),
    )
