"""Serves the HTTP interface of an ``App`` to workers of ZeroMQ, without a socket of HTTP."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator, MutableMapping
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar
from urllib.parse import unquote

import numpy as np
from fastapi import FastAPI

from kvasir.app import App
from kvasir.core.deadline import check, current_stop, remaining
from kvasir.core.errors import WireError
from kvasir.core.run import StopToken
from kvasir.frontends.api.application import make_application
from kvasir.remote.zeromq.components import describing
from kvasir.remote.zeromq.indexing import ROLE
from kvasir.remote.zeromq.worker import Arguments, Service

_AHEAD = 16
"""Pieces of a body that wait for their reader."""
_START_SECONDS = 60.0

T = TypeVar("T")
Message = MutableMapping[str, Any]


class IndexService:
    """Runs the application in an event loop of its own; close it, or use it in a ``with``."""

    def __init__(self, app: App) -> None:
        """Start the application.

        Raises:
            SettingsError: A setting is unusable.
        """
        self._token = secrets.token_urlsafe(32)
        # Clients may be on other machines.
        self._api: FastAPI = make_application(
            app, owner_token=self._token, owner_is_local=False, on_demand=True
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="index service", daemon=True
        )
        self._thread.start()
        self._is_closed = False
        self._lifespan = self._api.router.lifespan_context(self._api)
        self._run(self._lifespan.__aenter__()).result(_START_SECONDS)

    def __enter__(self) -> IndexService:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the application; a second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._run(self._lifespan.__aexit__(None, None, None)).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def service(self, name: str = ROLE, slots: int = 8) -> Service:
        """Return the service; each slot answers one request."""
        operations = {"describe": describing(ROLE, []), "request": self._request}
        return Service(name, operations, slots, is_guarded=True)

    def _request(self, given: Arguments) -> Iterator[Any]:
        """Yield status and headers of the answer, then its body in pieces."""
        scope = self._scope(given)
        body = given.array("body").tobytes()
        answer: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)
        gone = asyncio.Event()
        stop = current_stop() or StopToken()
        serving = self._run(self._serve(scope, body, answer, gone))
        try:
            while (piece := self._wait(self._run(answer.get()), stop)) is not None:
                yield piece
            self._wait(serving, stop)
        finally:
            if not serving.done():
                self._loop.call_soon_threadsafe(gone.set)
                serving.cancel()

    @staticmethod
    def _wait(work: Future[T], stop: StopToken) -> T:
        """Return the result of work in the loop, which is cancelled when its caller leaves.

        Raises:
            StoppedError: The caller has left.
            DeadlineExceededError: Its deadline has passed.
        """

        def cancel() -> None:
            work.cancel()

        with stop.calling(cancel):
            try:
                return work.result(remaining())
            except (CancelledError, TimeoutError):
                work.cancel()
                check("answering")
                raise

    def _scope(self, given: Arguments) -> dict[str, Any]:
        target = given.get("target", str)
        if not target.startswith("/") or not target.isascii():
            raise WireError("it must be a path", ("target",))
        path, _, query = target.partition("?")
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in given.get("headers", list[tuple[str, str]])
        ]
        if not any(name == b"authorization" for name, _ in headers):
            headers.append((b"authorization", f"Bearer {self._token}".encode()))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": given.get("method", str),
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": headers,
            "client": None,
            "server": ("kvasir", None),
            "state": {},
        }

    async def _serve(
        self,
        scope: dict[str, Any],
        body: bytes,
        answer: asyncio.Queue[Any],
        gone: asyncio.Event,
    ) -> None:
        waiting = [body]

        async def receive() -> Message:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(), "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    [name.decode("latin-1"), value.decode("latin-1")]
                    for name, value in message.get("headers", ())
                ]
                await answer.put([message["status"], headers])
            elif message.get("body"):
                await answer.put(np.frombuffer(bytes(message["body"]), dtype=np.uint8))

        try:
            await self._api(scope, receive, send)
        finally:
            # A reader that has left takes nothing more.
            if not gone.is_set():
                await answer.put(None)

    def _run(self, work: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)
