"""Waits for changes of files and folders, with the library watchfiles."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from stat import S_ISDIR

import watchfiles

from kvasir.core.run import StopToken

_LOOK_SECONDS = 0.5
"""Between two looks at the files that were given by name."""
_QUIET_SECONDS = 0.2
"""Changes are taken together until there is none for this time, at most for four times as long."""


def changes(
    paths: Callable[[], Sequence[str]], own: Sequence[str], stop: StopToken
) -> Iterator[None]:
    """Yield once at the start, and whenever files or folders changed, until a stop.

    Kvasir's own files do not count, so that an ingest does not lead to the next. A folder that is
    replaced, removed or made again is followed as before.

    Args:
        paths: Returns the files and folders to follow; they may become more or fewer.
        own: Kvasir's own files and folders.
        stop: Ends the waiting.
    """
    while not stop.is_set():
        watched = _folders(paths())
        seen: dict[str, tuple[int, int] | None] | None = None
        with closing(_looks([*watched], own, stop)) as looks:
            for changed in looks:
                if stop.is_set():
                    return
                followed = paths()
                # The system follows a folder, not its path: after a change of it, watch again.
                deleted = {path for change, path in changed if change is watchfiles.Change.deleted}
                if _folders(followed) != watched or not deleted.isdisjoint(watched):
                    break
                former = seen
                seen = {path: _state(path) for path in followed if path not in watched}
                if changed or former != seen:
                    yield


def _folders(paths: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the paths that are folders, each with what tells it from a later one."""
    found = {}
    for path in paths:
        with suppress(OSError):
            state = Path(path).stat()
            if S_ISDIR(state.st_mode):
                found[path] = state.st_dev, state.st_ino
    return found


def _looks(
    folders: Sequence[str], own: Sequence[str], stop: StopToken
) -> Generator[set[tuple[watchfiles.Change, str]], None, None]:
    """Yield the changes in folders, at least every ``_LOOK_SECONDS``; ends if one is removed."""

    def is_foreign(_: watchfiles.Change, path: str) -> bool:
        return not any(
            path == each or path.startswith((each + os.sep, each + ".", each + "-")) for each in own
        )

    if not folders:
        while not stop.wait(_LOOK_SECONDS):
            yield set()
        return
    # FileNotFoundError: a folder was removed since it was looked at.
    with suppress(FileNotFoundError):
        yield from watchfiles.watch(
            *folders,
            watch_filter=is_foreign,
            stop_event=stop,
            debounce=int(4000 * _QUIET_SECONDS),
            step=int(1000 * _QUIET_SECONDS),
            rust_timeout=int(1000 * _LOOK_SECONDS),
            yield_on_timeout=True,
            raise_interrupt=False,
        )


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
