"""Answers as server-sent events.

An answer is generated in a thread of its own, which a client that leaves stops: the stream of
events is closed as soon as its present step ends.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import copy_context
from typing import TypeVar

from fastapi.responses import StreamingResponse

from kvasir.core.answer_stream import AnswerStream
from kvasir.core.types import AnswerEvent

T = TypeVar("T")

PING_SECONDS = 15.0
"""Proxies close connections that are silent for longer than 29 to 60 seconds."""

_LINE_END = re.compile(r"\r\n|\r|\n")
"""Not U+2028 and others that Python takes for one: JSON has them inside of texts."""
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def event_stream(
    stream: AnswerStream, render: Callable[[Iterator[AnswerEvent]], Iterator[str]]
) -> StreamingResponse:
    """Return a response of the events of an answer.

    Args:
        stream: The answer; closed at the end, or when the client leaves.
        render: Turns events into text of the stream; called in the thread of the answer.
    """
    body = _pump(lambda: render(stream), stream.close)
    return StreamingResponse(body, media_type="text/event-stream", headers=_HEADERS)


def text_stream(
    stream: AnswerStream, render: Callable[[Iterator[AnswerEvent]], Iterator[str]]
) -> StreamingResponse:
    """Return a response of plain text, otherwise as ``event_stream``; an error breaks it off."""
    body = _pump(lambda: render(stream), stream.close, ping="")
    return StreamingResponse(body, media_type="text/plain; charset=utf-8", headers=_HEADERS)


def server_sent_event(data: str, *, event: str = "", number: int | None = None) -> str:
    """Return one event; each line of its data is a field of its own."""
    fields = [f"event: {event}"] if event else []
    if number is not None:
        fields.append(f"id: {number}")
    fields.extend(f"data: {line}" for line in _LINE_END.split(data))
    return "\n".join(fields) + "\n\n"


async def _pump(
    make: Callable[[], Iterator[str]], close: Callable[[], None], *, ping: str = ": ping\n\n"
) -> AsyncIterator[str]:
    """Yield what an iterator in another thread gives, and comments while it gives nothing."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
    left = threading.Event()
    room = threading.Semaphore(64)

    def put(item: str | BaseException | None) -> None:
        # A slow client holds the generator back.
        while not room.acquire(timeout=0.2):
            if left.is_set():
                return
        if not left.is_set():
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def work() -> None:
        try:
            for piece in make():
                if left.is_set():
                    return
                put(piece)
            put(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the response
            put(error)
        finally:
            close()

    context = copy_context()
    threading.Thread(target=context.run, args=(work,), name="answer", daemon=True).start()
    try:
        while True:
            try:
                item = await asyncio.wait_for(queue.get(), PING_SECONDS)
            except TimeoutError:
                if ping:
                    yield ping
                continue
            room.release()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()
        close()
