"""The connection of the web client to the API: one for the process, with a credential a request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from kvasir.core.errors import KvasirError, RequestError
from kvasir.frontends.locality import is_asked_as_loopback, is_own_origin
from kvasir.remote.client import Event, ServerClient

_SIGNED_IN_SECONDS = 30.0
"""How long a token that the API knew is not asked about again."""
_MOST_TOKENS = 10_000
_MOST_CONNECTIONS = 1000
"""Each answer that somebody reads has one."""
_CHECK_SECONDS = 5.0
"""Between two looks whether this machine's user needs no sign-in."""


@dataclass
class Connection:
    """Where the API is, and who may use it without signing in.

    Attributes:
        address: The API's address.
        owner_token: Returns the token of the data folder's owner; empty if there is none here.
        is_local: True if only this machine reaches the web client, and its user need not sign in.
    """

    address: str
    owner_token: Callable[[], str] = lambda: ""
    is_local: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: tuple[float, str] = (float("-inf"), "")
    _signed_in: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = ServerClient(self.address, most_connections=_MOST_CONNECTIONS)

    def token_for(self, signed_in: str, headers: Mapping[str, str]) -> str:
        """Return the token with which a browser asks; empty if it has to sign in.

        A cookie may be of another server: browsers keep one for all ports of a machine.

        Args:
            signed_in: The token of its sign-in, empty without one.
            headers: Of the browser's request; their names match in any case.

        Raises:
            KvasirError: The API does not answer.
        """
        if signed_in and self.is_signed_in(signed_in):
            return signed_in
        return self.token_without_sign_in(headers)

    def token_without_sign_in(self, headers: Mapping[str, str]) -> str:
        """Return the owner's token where nobody has to sign in, otherwise an empty text.

        That is where only this machine reaches the client, a browser has asked for it by such an
        address without a proxy, and the server has one user at most.

        Args:
            headers: Of the browser's request; their names match in any case.

        Raises:
            KvasirError: The API does not answer.
        """
        if not (self.is_local and is_asked_as_loopback(headers) and is_own_origin(headers)):
            return ""
        with self._lock:
            until, token = self._known
            if time.monotonic() < until:
                return token
            token = self.owner_token()
            if token and not self._has_one_user(token):
                token = ""
            self._known = time.monotonic() + _CHECK_SECONDS, token
            return token

    def is_signed_in(self, token: str) -> bool:
        """Return True if the API takes a login's token.

        Raises:
            KvasirError: The API does not answer.
        """
        now = time.monotonic()
        with self._lock:
            if now < self._signed_in.get(token, 0.0):
                return True
        try:
            Api(self, token).get("/v1/users/me")
        except RequestError:
            return False
        with self._lock:
            if len(self._signed_in) >= _MOST_TOKENS:
                self._signed_in.clear()
            self._signed_in[token] = now + _SIGNED_IN_SECONDS
        return True

    def _has_one_user(self, token: str) -> bool:
        return len(Api(self, token).get("/v1/users", limit=2)) <= 1


class Api:
    """Requests to the API by one caller; errors are raised as the server raised them."""

    def __init__(self, connection: Connection, token: str) -> None:
        """Use a credential of a caller."""
        self._client = connection.client
        self._headers = {"Authorization": f"Bearer {token}"}

    def send(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send a request; ``content`` as of ``httpx.Client.request``.

        Raises:
            KvasirError: What the server raised, or that it does not answer.
        """
        return self._client.send(method, path, "asking", headers=self._headers, **content)

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON of a resource."""
        return self.send("GET", path, params=parameters).json()

    def post(self, path: str, content: Any = None) -> Any:
        """Send JSON; return the JSON of the answer, None if it is empty."""
        answer = self.send("POST", path, json=content)
        return answer.json() if answer.content else None

    def events(self, path: str, **content: Any) -> Generator[Event, None, None]:
        """Yield the server-sent events of a resource; close the generator to leave.

        Args:
            path: The resource.
            content: As of ``ServerClient.events``; ``method`` is GET by default.
        """
        given = {"method": "GET", "headers": self._headers} | content
        return self._client.events(path, "following", **given)


def part(name: str) -> str:
    """Return a name as a part of an address."""
    return quote(name, safe="")


_connection: Connection | None = None


def use(connection: Connection) -> None:
    """Use a connection for every page of this process."""
    global _connection
    _connection = connection


def current() -> Connection:
    """Return the connection of this process.

    Raises:
        KvasirError: The client was not started by ``kvasir ui``.
    """
    if _connection is None:
        raise KvasirError("start the web client by 'kvasir ui'")
    return _connection
