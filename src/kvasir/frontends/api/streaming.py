"""Answers over HTTP, streamed as server-sent events or whole; a client that leaves stops them.

An answer is made in a thread of its own, so that slow generators leave the threads of other
requests alone. When the client leaves, the token of the thread's calls is set: the generation ends
within a fraction of a second, also while the generator waits for its first token.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext, suppress
from contextvars import copy_context
from typing import Any, TypeVar

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from kvasir.core.answer_stream import AnswerStream
from kvasir.core.deadline import stopping
from kvasir.core.errors import StoppedError
from kvasir.core.run import StopToken
from kvasir.core.types import AnswerEvent

T = TypeVar("T")

PING_SECONDS = 15.0
"""Proxies close connections that are silent for longer than 29 to 60 seconds."""

_LINE_END = re.compile(r"\r\n|\r|\n")
"""Not U+2028 and others that Python takes for one: JSON has them inside of texts."""
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def event_stream(
    stream: AnswerStream,
    render: Callable[[Iterator[AnswerEvent]], Iterator[str]],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a response of the events of an answer.

    Args:
        stream: The answer; closed at the end, or when the client leaves.
        render: Turns events into text of the stream; called in the thread of the answer. It turns
            errors into events: one that it raises ends the stream without its last event.
        headers: More headers of the response.
    """
    return _Streamed(stream, render, headers, "text/event-stream", ping=": ping\n\n")


def made_stream(pieces: Callable[[], Iterator[str]]) -> Response:
    """Return a response of events that an iterator makes, in a thread of its own."""
    return _Streamed(
        nullcontext(), lambda _: pieces(), None, "text/event-stream", ping=": ping\n\n"
    )


def text_stream(
    stream: AnswerStream,
    render: Callable[[Iterator[AnswerEvent]], Iterator[str]],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a response of plain text, otherwise as ``event_stream``; an error breaks it off."""
    return _Streamed(stream, render, headers, "text/plain; charset=utf-8")


def whole_response(work: Callable[[], Response]) -> Response:
    """Return a response that ``work`` makes in a thread of its own; its errors are answered."""
    return _WholeResponse(work)


def server_sent_event(data: str, *, event: str = "", number: int | None = None) -> str:
    """Return one event; each line of its data is a field of its own."""
    fields = [f"event: {event}"] if event else []
    if number is not None:
        fields.append(f"id: {number}")
    fields.extend(f"data: {line}" for line in _LINE_END.split(data))
    return "\n".join(fields) + "\n\n"


class _Streamed(Response):
    """Sends pieces as they come."""

    def __init__(
        self,
        stream: AbstractContextManager[Any],
        render: Callable[[Any], Iterator[str]],
        headers: Mapping[str, str] | None,
        media_type: str,
        *,
        ping: str = "",
    ) -> None:
        super().__init__(headers={**_HEADERS, **(headers or {})}, media_type=media_type)
        del self.headers["content-length"]
        self._stream = stream
        self._render = render
        self._ping = ping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def pieces() -> Iterator[str]:
            with self._stream:
                yield from self._render(self._stream)

        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        async with aclosing(_in_thread(pieces, receive)) as made:
            async for piece in made:
                if text := self._ping if piece is None else piece:
                    await _send_body(send, text.encode(), more=True)
        await _send_body(send, b"", more=False)


class _WholeResponse(Response):
    """Sends the response that a thread makes, or nothing if the client left meanwhile."""

    def __init__(self, work: Callable[[], Response]) -> None:
        super().__init__()
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def pieces() -> Iterator[Response]:
            yield self._work()

        async with aclosing(_in_thread(pieces, receive)) as made:
            async for response in made:
                if response is not None:
                    await response(scope, receive, send)
                    return


async def _send_body(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _in_thread(
    make: Callable[[], Iterator[T]], receive: Receive
) -> AsyncGenerator[T | None, None]:
    """Yield what an iterator gives in another thread, and None where that takes long.

    It ends when the client leaves. What is made is not held back for a slow client: an answer is
    small, and others wait for the generator.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[T] | BaseException | None] = asyncio.Queue()
    stop = StopToken()

    def put(item: tuple[T] | BaseException | None) -> None:
        # The loop is closed if the server stopped without waiting for this answer.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def work() -> None:
        try:
            with stopping(stop):
                for piece in make():
                    put((piece,))
            put(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the response
            put(error)

    threading.Thread(target=copy_context().run, args=(work,), name="answer", daemon=True).start()
    leaving = asyncio.ensure_future(_left(receive))
    try:
        while True:
            getting = asyncio.ensure_future(queue.get())
            await asyncio.wait(
                (getting, leaving), timeout=PING_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if not getting.done():
                getting.cancel()
                if leaving.done():
                    return
                yield None
                continue
            item = getting.result()
            if item is None:
                return
            if isinstance(item, StoppedError) and leaving.done():
                return
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stop.set()
        leaving.cancel()


async def _left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
