"""The HTTP client of Kvasir's own server, over a Unix socket or an address.

Problem documents become the errors that the server raised. A deadline of the caller ends the
waiting.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import httpx

from kvasir.core.deadline import check, limited
from kvasir.core.error_forms import error_from
from kvasir.core.errors import (
    ComponentError,
    KvasirError,
    TooLargeError,
    WireError,
    describe_unexpected,
)
from kvasir.core.leases import OwnerProcess
from kvasir.core.run import Run
from kvasir.core.text import hide_passwords

READ_SECONDS = 60.0
"""Longest silence of the server; streams send something every 15 seconds."""
CONNECT_SECONDS = 5.0
_PIECE = 1 << 18

SETTINGS_HEADER = "Kvasir-Settings"

Event = tuple[str, Any]
"""Name and data of a server-sent event."""


class ServerClient:
    """Sends requests to one server; safe to use from several threads.

    Attributes:
        name: What it is called in messages.
    """

    def __init__(
        self,
        address: str,
        *,
        socket: str = "",
        token: str = "",
        name: str = "",
        settings: Mapping[str, Any] | None = None,
        transport: httpx.BaseTransport | None = None,
        most_connections: int = 100,
    ) -> None:
        """Connect to nothing yet.

        Args:
            address: Where the server is, such as ``https://kb.example.org``.
            socket: Path of its Unix socket, in place of the address.
            token: A login's token or an API key.
            name: What it is called in messages.
            settings: Settings for every request, by dotted key; the server wants an administrator.
            transport: What carries the requests, if not HTTP.
            most_connections: At the same time; a request beyond them waits.
        """
        self.name = name or f"the server at {hide_passwords(address)}"
        self._process = OwnerProcess()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if settings:
            headers[SETTINGS_HEADER] = json.dumps(dict(settings))
        # TLS takes a while to prepare, and a local socket must not go through a proxy.
        is_safe = address.startswith("https://") and not socket
        if socket:
            transport = httpx.HTTPTransport(uds=socket)
        self._http = httpx.Client(
            base_url="http://kvasir" if socket else address,
            headers=headers,
            transport=transport,
            trust_env=transport is None,
            verify=is_safe,
            limits=httpx.Limits(max_connections=most_connections, max_keepalive_connections=20),
        )

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        if self._process.is_this:
            self._http.close()

    def get(self, path: str, operation: str, **parameters: Any) -> Any:
        """Return the JSON of a resource."""
        return self.send("GET", path, operation, params=parameters).json()

    def post(self, path: str, operation: str, content: Any = None) -> Any:
        """Send JSON; return the JSON of the answer, None if it is empty."""
        answer = self.send("POST", path, operation, json=content)
        return answer.json() if answer.content else None

    def send(self, method: str, path: str, operation: str, **content: Any) -> httpx.Response:
        """Send a request; ``content`` as of ``httpx.Client.request``.

        Raises:
            KvasirError: What the server raised.
            ComponentError: It does not answer.
        """
        self._process.check()
        with self._failures(operation):
            answer = self._http.request(method, path, timeout=_timeout(), **content)
        self._check(answer, operation)
        return answer

    def download(
        self, path: str, operation: str, write: Callable[[bytes], object], run: Run
    ) -> None:
        """Write a resource's bytes as they come; the server may be silent for long.

        Raises:
            StoppedError: The run was stopped.
            ComponentError: The server does not answer, or broke off.
        """
        self._process.check()
        timeout = httpx.Timeout(None, connect=limited(CONNECT_SECONDS))
        with (
            self._failures(operation),
            self._http.stream("GET", path, timeout=timeout) as answer,
        ):
            if answer.is_error:
                answer.read()
            self._check(answer, operation)
            for piece in answer.iter_bytes(_PIECE):
                run.check()
                write(piece)

    def events(
        self,
        path: str,
        operation: str,
        content: Any = None,
        *,
        method: str = "POST",
        is_left: Callable[[], bool] = lambda: False,
        **more: Any,
    ) -> Generator[Event, None, None]:
        """Yield the server-sent events of an answer; closing the generator leaves the server.

        An event ``error`` is raised. Errors as of ``send``.

        Args:
            path: The resource.
            operation: What is done, for messages.
            content: Sent as JSON; None sends nothing.
            method: The method of the request.
            is_left: Asked with each line, also of a silent server's comments; True ends it.
            more: As of ``httpx.Client.stream``.
        """
        self._process.check()
        with (
            self._failures(operation),
            self._http.stream(method, path, json=content, timeout=_timeout(), **more) as answer,
        ):
            if answer.is_error:
                answer.read()
            self._check(answer, operation)
            lines = takewhile(lambda _: not is_left(), answer.iter_lines())
            for event, data in _events(lines):
                check(operation)
                if event == "error":
                    raise _error(data)
                yield event, data

    def _check(self, answer: httpx.Response, operation: str) -> None:
        if not answer.is_error:
            return
        try:
            problem = answer.json()
        except ValueError:
            problem = None
        if isinstance(problem, dict) and isinstance(problem.get("code"), str):
            raise _error(problem)
        if answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            # Of a proxy in front of the server, which has a limit of its own.
            raise TooLargeError("it is larger than the server allows")
        raise ComponentError(self.name, operation, f"HTTP status {answer.status_code}")

    @contextmanager
    def _failures(self, operation: str) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            check(operation)
            slow = "it does not answer in time"
            raise ComponentError(self.name, operation, slow, kind="timeout") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            cause = hide_passwords(describe_unexpected(error))
            raise ComponentError(self.name, operation, cause, kind="unreachable") from error
        except (ValueError, UnicodeError) as error:
            raise WireError(f"this cannot be sent: {error}") from error


def is_unreachable(error: ComponentError, *, at_once: bool) -> bool:
    """Return True if a server is gone; with ``at_once`` only if nothing was sent to it."""
    kinds = (httpx.ConnectError, httpx.ConnectTimeout) if at_once else httpx.TransportError
    return isinstance(error.__cause__, kinds)


def _timeout() -> httpx.Timeout:
    return httpx.Timeout(limited(READ_SECONDS), connect=limited(CONNECT_SECONDS))


def _error(problem: Mapping[str, Any]) -> KvasirError:
    fields = problem.get("fields")
    detail = str(problem.get("detail", "the server says no more"))
    return error_from(str(problem["code"]), detail, fields if isinstance(fields, dict) else {})


def _events(lines: Iterator[str]) -> Iterator[Event]:
    """Read events; comments and fields that are not used are left out.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    event, data = "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield event, json.loads("\n".join(data))
            event, data = "", []
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data.append(value)
