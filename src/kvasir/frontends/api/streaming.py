"""Answers as server-sent events.

An answer is generated in a thread of its own, which a client that leaves stops: the stream of
events is closed as soon as its present step ends.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import copy_context

from fastapi.responses import StreamingResponse

from kvasir.core.answer_stream import AnswerStream
from kvasir.core.types import AnswerEvent

Put = Callable[[str], bool]
"""Sends a piece of text; False if the client left."""

PING_SECONDS = 15.0
"""Proxies close connections that are silent for longer than 29 to 60 seconds."""

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def event_stream(
    stream: AnswerStream, render: Callable[[Iterator[AnswerEvent]], Iterator[str]]
) -> StreamingResponse:
    """Return a response of the events of an answer.

    Args:
        stream: The answer; closed at the end, or when the client leaves.
        render: Turns events into text of the stream; called in the thread of the answer.
    """

    def produce(put: Put) -> None:
        for piece in render(stream):
            if not put(piece):
                return

    return pushed_stream(produce, stream.close)


def pushed_stream(produce: Callable[[Put], None], close: Callable[[], None]) -> StreamingResponse:
    """Return a response of the text that a function in a thread of its own sends.

    Args:
        produce: Sends text until it ends, or until sending returns False: the client left.
        close: Ends it; called at the end and when the client leaves.
    """
    body = _pump(produce, close)
    return StreamingResponse(body, media_type="text/event-stream", headers=_HEADERS)


def server_sent_event(data: str, *, event: str = "", number: int | None = None) -> str:
    """Return one event; each line of its data is a field of its own."""
    fields = [f"event: {event}"] if event else []
    if number is not None:
        fields.append(f"id: {number}")
    fields.extend(f"data: {line}" for line in data.splitlines() or [""])
    return "\n".join(fields) + "\n\n"


async def _pump(produce: Callable[[Put], None], close: Callable[[], None]) -> AsyncIterator[str]:
    """Yield what a function in another thread sends, and comments while it sends nothing."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
    left = threading.Event()
    room = threading.Semaphore(64)

    def put(item: str | BaseException | None) -> bool:
        # A slow client holds the generator back.
        while not room.acquire(timeout=0.2):
            if left.is_set():
                return False
        if not left.is_set():
            loop.call_soon_threadsafe(queue.put_nowait, item)
        return not left.is_set()

    def work() -> None:
        try:
            produce(put)
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
                yield ": ping\n\n"
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
