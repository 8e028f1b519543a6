"""Long work in a request: progress as server-sent events, and a stop that keeps the result.

Events: ``work`` with the id by which it can be stopped, ``progress``, then ``result`` or ``error``.
A client that leaves stops the work, too.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any
from uuid import uuid4

from fastapi import Request
from fastapi.responses import Response

from kvasir.core.errors import KvasirError, NotFoundError, OperatorError, StoppedError
from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.services.accounts import Caller
from kvasir.core.wire import to_json
from kvasir.frontends.api.problems import describe, describe_unforeseen
from kvasir.frontends.api.streaming import Ending, Put, pushed_stream, server_sent_event

logger = logging.getLogger(__name__)

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "The events `work`, `progress`, ... and `result` or `error`.",
    }
}
"""The documented response of long work."""

_PAUSE = 0.1
"""Seconds between two events of progress."""


class Operations:
    """The long work that requests do at present, by id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, tuple[int, StopToken]] = {}

    def begin(self, caller: Caller, stop: StopToken) -> str:
        """Add work of a caller; return its id."""
        operation = str(uuid4())
        with self._lock:
            self._running[operation] = (caller.user_id, stop)
        return operation

    def end(self, operation: str) -> None:
        """Forget work that ended."""
        with self._lock:
            self._running.pop(operation, None)

    def stop(self, caller: Caller, operation: str) -> None:
        """Stop work of the caller.

        Raises:
            NotFoundError: There is none of this id.
        """
        with self._lock:
            user_id, stop = self._running.get(operation, (None, None))
        if stop is None or user_id != caller.user_id:
            raise NotFoundError(f"there is no work '{operation}' in progress")
        stop.set()


def long_work(request: Request, caller: Caller, work: Callable[[Run], Any]) -> Response:
    """Do long work in a thread; return the response of its events."""
    operations: Operations = request.app.state.operations
    stop = StopToken()
    operation = operations.begin(caller, stop)

    def produce(put: Put, ending: Ending) -> None:
        put(_event("work", {"id": operation}))
        try:
            # By its token alone: the work ends between two steps, and never inside of one.
            with ending.calling(stop.set):
                result = work(Run(stop, _Throttle(put)))
        except StoppedError as error:
            put(_event("error", describe(ending.error(error), caller)))
        except KvasirError as error:
            if isinstance(error, OperatorError):
                logger.error("%s: %s", error.code, error)
            put(_event("error", describe(error, caller)))
        except Exception as error:  # noqa: BLE001 - logged, and the client must see that it failed
            put(_event("error", describe_unforeseen(request.method, request.url.path, error)))
        else:
            put(_event("result", to_json(result)))
        finally:
            operations.end(operation)

    return pushed_stream(produce)


class _Throttle:
    """Sends progress, but not every step of a fast loop."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._stage, self._sent = "", 0.0

    def __call__(self, progress: Progress) -> None:
        is_due = progress.stage != self._stage or monotonic() - self._sent >= _PAUSE
        if is_due or progress.done == progress.total:
            self._stage, self._sent = progress.stage, monotonic()
            self._put(_event("progress", to_json(progress)))


def _event(name: str, data: Any) -> str:
    return server_sent_event(json.dumps(data, ensure_ascii=False), event=name)
