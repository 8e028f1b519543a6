"""What happens to every request: an id, limits of size, headers, an access log, metrics, a trace.

A middleware of plain ASGI, since Starlette's base class would copy every piece of a stream.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kvasir.frontends.api.callers import UploadRoute
from kvasir.frontends.api.metrics import Metrics
from kvasir.frontends.api.problems import problem, unforeseen
from kvasir.frontends.api.readiness import Readiness
from kvasir.frontends.api.tracing import Tracing
from kvasir.frontends.process import choose_request_id, request_id

logger = logging.getLogger("kvasir.access")

_FORM_OVERHEAD = 1 << 20
"""Bytes of a multipart form around its file."""

_RETRY_SECONDS = 5
"""When a client whose request a stopping server gave up may ask again."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Of every response that does not set them itself."""


class Observing:
    """The outermost part of the application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        tracing: Tracing,
        readiness: Readiness,
        max_upload: int,
        max_body: int,
    ) -> None:
        """Wrap an application; the limits are in bytes."""
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._readiness = readiness
        self._max_upload = max_upload + _FORM_OVERHEAD
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        known = choose_request_id(headers.get("x-request-id", ""))
        scope.setdefault("state", {})["request_id"] = known
        token = request_id.set(known)
        try:
            with self._tracing.request(scope["method"], headers) as attributes:
                attributes["kvasir.request_id"] = known
                await self._answer(scope, headers, receive, send, attributes)
        finally:
            request_id.reset(token)

    async def _answer(
        self,
        scope: Scope,
        headers: Headers,
        receive: Receive,
        send: Send,
        attributes: dict[str, Any],
    ) -> None:
        started, status, limit = time.monotonic(), 0, self._limit(headers)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._complete(MutableHeaders(scope=message), scope)
            await send(message)

        try:
            if _announced(headers) > limit:
                # Before anything of it is read.
                refused = problem(413, "too_large", _too_large(limit))
                refused.headers["Connection"] = "close"
                await refused(scope, receive, send_with_headers)
            else:
                await self._app(scope, self._limited(receive, scope, limit), send_with_headers)
        except asyncio.CancelledError:
            if not self._readiness.is_draining:
                raise
            # The time for requests in progress is over.
            if not status:
                answer = problem(503, "closed", "the server is stopping: try again later")
                answer.headers["Retry-After"] = str(_RETRY_SECONDS)
                await answer(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - logged, and answered if it still can be
            answer = unforeseen(scope["method"], scope["path"], error)
            if not status:
                await answer(scope, receive, send_with_headers)
            status = 500
        finally:
            # A client that left got nothing; 499 is the number that proxies use for it.
            self._record(scope, status or 499, time.monotonic() - started, attributes)

    def _limit(self, headers: Headers) -> int:
        is_form = headers.get("content-type", "").startswith("multipart/form-data")
        return self._max_upload if is_form else self._max_body

    def _limited(self, receive: Receive, scope: Scope, limit: int) -> Receive:
        """Refuse a body that is too large for its route, which is known when it is read."""
        read = 0

        async def receive_within() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            most = limit if isinstance(scope.get("route"), UploadRoute) else self._max_body
            if read > most:
                raise HTTPException(413, _too_large(most), headers={"Connection": "close"})
            return message

        return receive_within

    def _complete(self, headers: MutableHeaders, scope: Scope) -> None:
        headers["X-Request-ID"] = scope["state"]["request_id"]
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if self._readiness.is_draining:
            # The client's next request goes to another server, or to this one when it is back.
            headers["Connection"] = "close"

    def _record(
        self, scope: Scope, status: int, seconds: float, attributes: dict[str, Any]
    ) -> None:
        method, route = scope["method"], _route(scope)
        self._metrics.requests.labels(_method(method), route, str(status)).inc()
        self._metrics.request_seconds.labels(_method(method), route).observe(seconds)
        attributes |= {"http.route": route, "http.response.status_code": status}
        caller = scope["state"].get("caller")
        client = scope.get("client")
        # Without the query, in which a client may have put anything.
        logger.info(
            "%s %s %d %.1f ms",
            method,
            scope["path"],
            status,
            1000 * seconds,
            extra={
                "method": method,
                "path": scope["path"],
                "status": status,
                "milliseconds": round(1000 * seconds, 1),
                "client": client[0] if client else "",
                "user_id": caller.user_id if caller else None,
            },
        )


def _announced(headers: Headers) -> int:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _too_large(limit: int) -> str:
    return f"the request is larger than {limit >> 20} MB"


def _route(scope: Scope) -> str:
    """Return the template of a path, such as ``/v1/jobs/{job_id}``: names would be too many."""
    route = scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", None) or "none")


def _method(method: str) -> str:
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return method if method in known else "other"
