"""Long work at a server: its progress comes as events, and a stop is sent to it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from contextvars import copy_context
from typing import Any

from kvasir.core.errors import ComponentError, KvasirError, StoppedError
from kvasir.core.run import Progress, Run
from kvasir.core.wire import from_json
from kvasir.remote.client import ServerClient

_STOP_SECONDS = 15.0
"""How long a stopped server may take to end its present step."""

_Item = tuple[str, Any] | BaseException | None


def long_work(
    client: ServerClient, path: str, operation: str, content: Mapping[str, Any], run: Run
) -> Any:
    """Do long work at the server; return its result as plain data.

    When the run is stopped, the server ends the work and gives the result that it has then.

    Raises:
        StoppedError: The run was stopped, and there is no result.
    """
    run.check()
    items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
    left = threading.Event()

    def read() -> None:
        try:
            with closing(client.events(path, operation, content)) as events:
                for event in events:
                    items.put(event)
                    if left.is_set():
                        return
            items.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            items.put(error)

    context = copy_context()
    threading.Thread(target=context.run, args=(read,), name=operation, daemon=True).start()
    try:
        return _follow(client, items, operation, run)
    finally:
        left.set()


def _follow(client: ServerClient, items: queue.SimpleQueue[_Item], operation: str, run: Run) -> Any:
    work, patience = "", None
    with run.stop.calling(lambda: items.put(("stopped", None))):
        while True:
            try:
                item = items.get(timeout=patience)
            except queue.Empty:
                raise StoppedError from None
            if item is None:
                broken = "it ended the work without a result"
                raise ComponentError(client.name, operation, broken, kind="unreachable")
            if isinstance(item, BaseException):
                raise item
            event, data = item
            if event == "work":
                work = data["id"]
            elif event == "progress":
                run.progress(from_json(Progress, data))
            elif event == "result":
                return data
            if run.stop.is_set() and work and patience is None:
                patience = _STOP_SECONDS
                with suppress(KvasirError):
                    # Where it cannot be told, it notices that nobody listens any more.
                    client.post(f"/v1/operations/{work}/stop", "stopping")
