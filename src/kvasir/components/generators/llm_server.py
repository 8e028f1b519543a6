"""Base of the generators on servers: streamed lines, retries, readable errors.

A request is repeated only until the first line of its answer is yielded. API keys are removed from
every error message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from itertools import chain
from ssl import SSLContext
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from kvasir.components.generators.stoppable_connections import make_stoppable
from kvasir.core.deadline import check, limited, remaining, sleep
from kvasir.core.errors import (
    ComponentError,
    DeadlineExceededError,
    ModelNotFoundError,
    SettingsError,
)
from kvasir.core.types import Message

T = TypeVar("T")

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 30.0
_LONGEST_CONNECT = 10.0
_NO_TIME = 0.05
"""A transport error with less than this many seconds left is reported as the deadline's."""
_LONGEST_MESSAGE = 300
_LINE_END = re.compile(rb"[\r\n]")


@cache
def _certificates() -> SSLContext:
    # Reading the trusted certificate authorities takes 50 ms.
    return httpx.create_ssl_context()


def chat_messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return the messages of a prompt as both chat APIs expect them."""
    return [{"role": message.role, "content": message.content} for message in messages]


class RepeatedRequests:
    """A generator with a model on a server: checks its options, repeats requests, reads errors."""

    component = ""
    """The generator's name, for errors."""
    remedy = ""
    """What to do when the server cannot be reached."""
    http: Any = httpx
    """The module of the HTTP client, whose errors are caught."""

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str | None,
        temperature: float | None,
        max_tokens: int,
        timeout: float,
        retries: int,
        backoff: float,
    ) -> None:
        """Check the options of every server; no connection is made yet.

        ``base_url`` is the prefix of all paths. ``timeout`` is the longest wait for the next byte
        and ``backoff`` that before the first of the retries, doubled each time, both in seconds.

        Raises:
            SettingsError: A value is unusable.
        """
        if max_tokens < 1:
            raise SettingsError(f"max_tokens must be at least 1, not {max_tokens}")
        if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).netloc:
            raise SettingsError(
                f"generator.base_url must begin with http:// or https://: '{base_url}'"
            )
        if timeout <= 0 or retries < 0 or backoff < 0:
            raise SettingsError("timeout must be above 0, retries and backoff at least 0")
        self.answer_tokens = max_tokens
        self._model = model
        self._temperature = temperature
        self._base_url = base_url.rstrip("/")
        self._key = api_key
        self._timeout = timeout
        self._retries = retries
        self._backoff = backoff

    def _repeated(
        self, request: Callable[[], Generator[T, None, None]], operation: str
    ) -> Generator[T, None, None]:
        """Yield what a request yields; repeat it while the server is busy and nothing has come.

        Raises:
            DeadlineExceededError: The deadline passed.
            StoppedError: The token of the call was set; the connection is closed then.
            ComponentError: The server cannot be reached, failed, or broke off.
            SettingsError: The server refuses the key.
            ModelNotFoundError: It does not have the model.
        """
        attempt = 0
        while True:
            begun = False
            try:
                with closing(request()) as pieces:
                    for piece in pieces:
                        begun = True
                        yield piece
                        check(operation)
                return
            except (self.http.TransportError, BusyError) as error:
                left = remaining()
                if left is not None and left < _NO_TIME and not isinstance(error, BusyError):
                    raise DeadlineExceededError(operation) from error
                if begun or attempt >= self._retries:
                    raise self._unreachable(error, operation, begun) from error
                sleep(self._wait(error, attempt))
                attempt += 1

    def _failure(self, operation: str, cause: str, kind: str = "failed") -> ComponentError:
        cause = f"{self._base_url}: {self._clean(cause)}"
        return ComponentError(self.component, operation, cause, kind=kind)

    def _refused(self, response: Any, operation: str) -> Exception:
        status, message = response.status_code, self._message(response)
        if status in (401, 403):
            return SettingsError(
                f"{self._base_url} refuses access ({status}): set generator.api_key, "
                "or KVASIR__GENERATOR__API_KEY, to a key that is valid there"
            )
        if status == 404:
            return ModelNotFoundError(
                f"{self._base_url} does not know the model or the path ({message}): check "
                "generator.model and generator.base_url"
            )
        if status in _RETRIED:
            return BusyError(f"status {status}: {message}", response.headers.get("retry-after"))
        return self._failure(operation, f"status {status}: {message}")

    def _reported(self, error: Any, operation: str) -> Exception:
        """Return the exception of an error that stands in the body of a good status."""
        found = error.get("message") or json.dumps(error) if isinstance(error, dict) else error
        code = str(error.get("code")) if isinstance(error, dict) else ""
        message = self._clean(str(found))
        if code.isascii() and code.isdigit() and int(code) in _RETRIED:
            return BusyError(f"status {code}: {message}", None)
        return self._failure(operation, message)

    def _unreachable(self, error: Exception, operation: str, begun: bool) -> ComponentError:
        if isinstance(error, BusyError):
            return self._failure(operation, str(error), "busy")
        if isinstance(error, (self.http.ConnectError, self.http.ConnectTimeout)):
            return self._failure(operation, f"nothing answers there; {self.remedy}", "unreachable")
        if isinstance(error, self.http.TimeoutException):
            cause = "no answer in time; the model may be loading: ask again or raise timeout"
            return self._failure(operation, cause, "timeout")
        what = "broke off in the middle of the answer" if begun else "broke off"
        return self._failure(operation, f"{what} ({error}); look at the server's log")

    def _wait(self, error: Exception, attempt: int) -> float:
        asked = error.retry_after if isinstance(error, BusyError) else None
        seconds = self._backoff * 2.0**attempt if asked is None else asked
        return min(seconds, _LONGEST_WAIT)

    def _message(self, response: Any) -> str:
        try:
            found = response.json()
            found = found.get("error", found) if isinstance(found, dict) else found
            found = found.get("message", found) if isinstance(found, dict) else found
        except ValueError:
            found = response.text
        return self._clean(str(found))

    def _clean(self, text: str) -> str:
        text = text.replace(self._key, "***") if self._key else text
        return " ".join(text.split())[:_LONGEST_MESSAGE]


class ServerGenerator(RepeatedRequests):
    """A generator with a model on a server, identified by its base URL."""

    def __init__(
        self,
        model: str,
        base_url: str,
        api_key: str | None,
        temperature: float | None,
        max_tokens: int,
        timeout: float,
        retries: int,
        backoff: float,
    ) -> None:
        """Check the options, as ``RepeatedRequests``; no connection is made yet."""
        super().__init__(
            model, base_url, api_key, temperature, max_tokens, timeout, retries, backoff
        )
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = make_stoppable(self._make_client(headers))

    def _make_client(self, headers: Mapping[str, str]) -> httpx.Client:
        """Return the client that connects to the server."""
        return httpx.Client(headers=headers, verify=_certificates())

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def _lines(
        self, path: str, body: Mapping[str, Any], operation: str
    ) -> Generator[str, None, None]:
        """Post JSON and yield the non-empty lines of the response; closing this disconnects.

        Errors as of ``_repeated``.
        """
        return self._repeated(lambda: self._post(path, body, operation), operation)

    def _post(
        self, path: str, body: Mapping[str, Any], operation: str
    ) -> Generator[str, None, None]:
        seconds = limited(self._timeout)
        limits = httpx.Timeout(seconds, connect=min(_LONGEST_CONNECT, seconds))
        url = self._base_url + path
        with self._client.stream("POST", url, json=body, timeout=limits) as response:
            if response.status_code >= 400:
                response.read()
                raise self._refused(response, operation)
            self._check_kind(response, operation)
            yield from _split(response.iter_bytes())

    def _check_kind(self, response: httpx.Response, operation: str) -> None:
        """Refuse what is no reply of an API: a redirection, or a page for browsers."""
        if response.is_redirect:
            place = response.headers.get("location", "another address")
            cause = f"it redirects to {place}: correct generator.base_url"
            raise self._failure(operation, cause)
        if response.headers.get("content-type", "").lower().startswith("text/html"):
            cause = "a web page came back instead of an answer: correct generator.base_url"
            raise self._failure(operation, cause)


def _split(pieces: Iterator[bytes]) -> Iterator[str]:
    """Yield non-empty lines.

    CR, LF or both end one, as in server-sent events; JSON may contain other breaks.
    """
    rest = b""
    for piece in chain(pieces, (b"\n",)):
        *whole, rest = _LINE_END.split(rest + piece)
        decoded = (line.decode("utf-8", errors="replace").strip("\ufeff \t") for line in whole)
        yield from filter(None, decoded)


class BusyError(Exception):
    """The server failed in a way that a repetition may solve."""

    def __init__(self, message: str, retry_after: str | None) -> None:
        super().__init__(message)
        try:
            self.retry_after = None if retry_after is None else max(0.0, float(retry_after))
        except ValueError:
            self.retry_after = None  # A date.
