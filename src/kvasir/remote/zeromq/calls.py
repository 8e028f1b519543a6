"""One call of a service, from its start to its result."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from kvasir.core.deadline import current_deadline, current_stop
from kvasir.core.errors import ComponentError, DeadlineExceededError, StoppedError
from kvasir.core.run import StopToken
from kvasir.remote.zeromq import envelopes as wire
from kvasir.remote.zeromq.packing import unpack


class CallOwner(Protocol):
    """The connection of a call."""

    name: str
    """What it is called in messages."""

    def post(self, item: tuple[str, Call, int]) -> None:
        """Hand work to the thread of the connection."""


class Call:
    """One call; its result may be asked for several times, from any thread."""

    __slots__ = (
        "_decoded",
        "_done",
        "_end",
        "_final",
        "_operation",
        "_owner",
        "body",
        "chunks",
        "deadline",
        "expected",
        "id",
        "idempotent",
        "kind",
        "service",
        "session",
    )

    def __init__(
        self,
        owner: CallOwner,
        kind: int,
        service: str,
        operation: str,
        body: list[bytes],
        deadline: float,
        *,
        grace: float,
        idempotent: bool,
        streams: bool,
    ) -> None:
        # A broker that knows why there is no answer has a moment to say so.
        self._end = min(deadline + grace, current_deadline() or float("inf"))
        self.kind, self.service, self.body = kind, service, body
        self.deadline, self.idempotent = deadline, idempotent
        self.id, self.session, self.expected = 0, b"", 0
        self.chunks: SimpleQueue[list[bytes] | None] | None = SimpleQueue() if streams else None
        self._owner, self._operation = owner, operation
        self._done = threading.Event()
        self._final: list[bytes] | Exception = []
        self._decoded: tuple[Any] | None = None

    def result(self) -> Any:
        """Wait for the answer and return it.

        Raises:
            KvasirError: What the component raised.
            ComponentError: The service is busy, unreachable or too slow.
            DeadlineExceededError: The deadline of the caller has passed.
            StoppedError: The stop token of the caller was set.
        """
        stop = current_stop()
        if stop is None or self._done.is_set():
            self._wait()
        else:
            with stop.calling(self._leave):
                self._wait()
        if isinstance(self._final, Exception):
            raise self._final
        if self._decoded is None:
            self._decoded = (unpack(self._final),)
        return self._decoded[0]

    @property
    def is_done(self) -> bool:
        """True if there is a result, or nobody waits for one any more."""
        return self._done.is_set()

    def cancel(self) -> None:
        """Stop the work for this call; the result is then ``StoppedError``."""
        self._leave()

    def finish(self, final: list[bytes] | Exception) -> None:
        """Set the outcome, once."""
        if not self._done.is_set():
            self._final = final
            self.body = []
            self._done.set()
            if self.chunks is not None:
                self.chunks.put(None)

    def pieces(self, operation: str, silence: float) -> Generator[Any, None, None]:
        """Yield the pieces of a stream as they come; closing the generator stops the work."""
        assert self.chunks is not None
        stop, read = current_stop(), 0
        try:
            while True:
                piece = self._piece(operation, silence, stop)
                if piece is None:
                    break
                read += 1
                if read % (wire.WINDOW // 2) == 0:
                    self._owner.post(("more", self, wire.WINDOW // 2))
                yield unpack(piece)
            if isinstance(self._final, Exception):
                raise self._final
        finally:
            if not self._done.is_set():
                self._leave()

    def _piece(self, operation: str, silence: float, stop: StopToken | None) -> list[bytes] | None:
        assert self.chunks is not None
        end = min(time.monotonic() + silence, current_deadline() or float("inf"))
        left = max(0.0, end - time.monotonic())
        try:
            if stop is None:
                return self.chunks.get(timeout=left)
            with stop.calling(self._leave):
                return self.chunks.get(timeout=left)
        except Empty:
            raise self._too_slow() from None

    def _wait(self) -> None:
        if not self._done.wait(max(0.0, self._end - time.monotonic())):
            self._leave(self._too_slow())

    def _too_slow(self) -> ComponentError:
        end = current_deadline()
        if end is not None and end <= time.monotonic():
            return DeadlineExceededError(self._operation)
        return ComponentError(
            self._owner.name, self._operation, "no answer in time", kind="timeout"
        )

    def _leave(self, error: Exception | None = None) -> None:
        self.finish(error or StoppedError())
        self._owner.post(("cancel", self, 0))
