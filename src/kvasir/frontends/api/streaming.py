"""Responses that a thread makes: answers, streamed or whole, and the progress of long work.

The thread is of its own, so that slow generators leave the threads of other requests alone. When
the client leaves, a token is set. For an answer it ends the thread's calls: the generation ends
within a fraction of a second, also while the generator waits for its first token. The same happens
when the credential does not hold any more, which is looked at every second; the client gets the
error then.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from kvasir.core.answer_stream import AnswerStream
from kvasir.core.daemon_threads import start_daemon
from kvasir.core.deadline import stopping
from kvasir.core.errors import KvasirError, StoppedError
from kvasir.core.run import StopToken
from kvasir.core.types import AnswerEvent
from kvasir.frontends.api.callers import withdrawn

T = TypeVar("T")
Put = Callable[[str], None]
"""Sends a piece of text; does nothing if the client left."""

PING_SECONDS = 15.0
"""Proxies close connections that are silent for longer than 29 to 60 seconds."""

CHECK_SECONDS = 1.0
"""Between two looks at the credential of a request in progress."""

_LINE_END = re.compile(r"\r\n|\r|\n")
"""Not U+2028 and others that Python takes for one: JSON has them inside of texts."""
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_EVENTS, _PING = "text/event-stream", ": ping\n\n"


class Ending(StopToken):
    """Set when nobody waits any more for a response, or may not have it.

    Attributes:
        why: The error of a credential that does not hold any more; None if the client left.
    """

    why: KvasirError | None = None

    def error(self, stopped: StoppedError) -> KvasirError:
        """Return the error for the client in place of the one of the token."""
        return self.why or stopped


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
    return _Streamed(rendering(stream, render), headers, _EVENTS, ping=_PING)


def text_stream(
    stream: AnswerStream,
    render: Callable[[Iterator[AnswerEvent]], Iterator[str]],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a response of plain text, otherwise as ``event_stream``; an error breaks it off."""
    return _Streamed(rendering(stream, render), headers, "text/plain; charset=utf-8")


def pushed_stream(produce: Callable[[Put, Ending], None]) -> Response:
    """Return a response of the events that a function sends, in a thread of its own.

    The function gets the token of the response, and should end soon after it is set.
    """
    return _Streamed(produce, None, _EVENTS, ping=_PING)


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


def rendering(
    stream: AnswerStream, render: Callable[[Iterator[AnswerEvent]], Iterator[str]]
) -> Callable[[Put, Ending], None]:
    """Return the function that sends the events of an answer; see ``event_stream``."""

    def produce(put: Put, ending: Ending) -> None:
        with stopping(ending), stream:
            for piece in render(_until(ending, stream)):
                put(piece)

    return produce


def _until(ending: Ending, events: Iterator[AnswerEvent]) -> Iterator[AnswerEvent]:
    try:
        yield from events
    except StoppedError as error:
        raise ending.error(error) from None


class _Streamed(Response):
    """Sends pieces as they come."""

    def __init__(
        self,
        produce: Callable[[Put, Ending], None],
        headers: Mapping[str, str] | None,
        media_type: str,
        *,
        ping: str = "",
    ) -> None:
        super().__init__(headers={**_HEADERS, **(headers or {})}, media_type=media_type)
        del self.headers["content-length"]
        self._produce = produce
        self._ping = ping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        async with aclosing(_in_thread(self._produce, Request(scope, receive))) as made:
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
        def produce(put: Callable[[Response], None], ending: Ending) -> None:
            try:
                with stopping(ending):
                    put(self._work())
            except StoppedError as error:
                raise ending.error(error) from None

        async with aclosing(_in_thread(produce, Request(scope, receive))) as made:
            async for response in made:
                if response is not None:
                    await response(scope, receive, send)
                    return


async def _send_body(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _in_thread(
    produce: Callable[[Callable[[T], None], Ending], None], request: Request
) -> AsyncGenerator[T | None, None]:
    """Yield what a function in another thread puts, and None where that takes long.

    It ends when the client leaves or its credential does not hold any more. What is made is not
    held back for a slow client: an answer is small, and others wait for the generator.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[T] | BaseException | None] = asyncio.Queue()
    ending = Ending()

    def put(item: tuple[T] | BaseException | None) -> None:
        # The loop is closed if the server stopped without waiting for this answer.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def work() -> None:
        try:
            produce(lambda piece: put((piece,)), ending)
            put(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the response
            put(error)

    start_daemon(partial(copy_context().run, work))
    leaving = asyncio.ensure_future(_left(request.receive))
    watching = asyncio.ensure_future(_watch(request, ending))
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
        ending.set()
        leaving.cancel()
        watching.cancel()


async def _watch(request: Request, ending: Ending) -> None:
    """Set the token when the credential does not hold any more."""
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        if (why := await withdrawn(request)) is not None:
            ending.why = why
            ending.set()
            return


async def _left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
