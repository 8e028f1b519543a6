"""Waits for changes of files and folders, with the library watchfiles."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import watchfiles

from kvasir.core.run import StopToken

_LOOK_SECONDS = 0.5
"""Between two looks at the files that were given by name."""
_QUIET_SECONDS = 0.2
"""Changes are taken together until there is none for this time, at most for four times as long."""


def changes(paths: Sequence[str], own: Sequence[str], stop: StopToken) -> Iterator[None]:
    """Yield once at the start, and whenever files or folders changed, until a stop.

    Kvasir's own files do not count, so that an ingest does not lead to the next.
    """
    folders = [path for path in paths if Path(path).is_dir()]
    files = [path for path in paths if path not in folders]

    def is_foreign(_: watchfiles.Change, path: str) -> bool:
        return not any(
            path == each or path.startswith((each + os.sep, each + ".", each + "-")) for each in own
        )

    seen = None
    watcher = (
        watchfiles.watch(
            *folders,
            watch_filter=is_foreign,
            stop_event=stop,
            debounce=int(4000 * _QUIET_SECONDS),
            step=int(1000 * _QUIET_SECONDS),
            rust_timeout=int(1000 * _LOOK_SECONDS),
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        if folders
        else _every(_LOOK_SECONDS, stop)
    )
    for changed in watcher:
        if stop.is_set():
            return
        former, seen = seen, [_state(path) for path in files]
        if changed or former != seen:
            yield


def _every(seconds: float, stop: StopToken) -> Iterator[bool]:
    while not stop.wait(seconds):
        yield False


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
