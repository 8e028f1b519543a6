"""Replaces the model of the workers of llm while they run: base, state and adapter.

Each worker has a service of its own for it, because a broker gives a request to any worker. Files
are those of an allow-list in the settings of the worker. What was loaded last is written down in
the data folder, for workers that start later.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvasir.core.errors import ComponentError, KvasirError, RequestError, WireError
from kvasir.core.protocols import Reloadable
from kvasir.core.wire import dumps, loads, to_json
from kvasir.remote.zeromq.client import Client
from kvasir.remote.zeromq.worker import Arguments, Service

logger = logging.getLogger(__name__)

SERVICE = "reload@"
"""Begins the names of the services; the worker's name follows."""
RECORD = "llm-model.json"
_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What is to be loaded: None for what is there, an empty name for none."""

    base: str | None = None
    state: str | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class ReloadedModel:
    """What was loaded last, and the settings that it took the place of."""

    of: str
    files: ModelFiles


def read_reloaded(folder: Path, of: str) -> ModelFiles:
    """Return what was loaded last in place of the same settings."""
    found = _record(folder)
    return found.files if found is not None and found.of == of else ModelFiles()


def forget_reloaded(folder: Path, of: str) -> None:
    """Delete what was loaded in place of other settings: it does not come back with them."""
    found = _record(folder)
    if found is not None and found.of != of:
        logger.info("the settings name another model than that which was loaded last")
        (folder / RECORD).unlink(missing_ok=True)


def _record(folder: Path) -> ReloadedModel | None:
    """Return the record; None if there is none that can be read."""
    try:
        return loads(ReloadedModel, (folder / RECORD).read_bytes())
    except (OSError, WireError):
        return None


def reload_service(
    generator: Reloadable,
    worker: str,
    allowed: Mapping[str, str],
    keep: Callable[[ModelFiles], None],
) -> Service:
    """Return the service of one worker.

    Args:
        generator: Whose model is replaced.
        worker: Its name.
        allowed: Names of what may be loaded, with their files or names on the hub.
        keep: Gets what was loaded.
    """

    def reload(given: Arguments) -> Any:
        asked = given.get("files", ModelFiles)
        files = ModelFiles(
            _allowed("base", asked.base, allowed),
            _allowed("state", asked.state, allowed),
            _allowed("adapter", asked.adapter, allowed),
        )
        generator.reload(files.base, files.state, files.adapter)
        keep(files)
        return to_json(files)

    return Service(SERVICE + worker, {"reload": reload}, is_guarded=True)


def _allowed(kind: str, name: str | None, allowed: Mapping[str, str]) -> str | None:
    """Return what a name stands for.

    Raises:
        RequestError: It may not be loaded.
    """
    if not name:
        return name
    if name not in allowed:
        known = ", ".join(sorted(allowed)) or "nothing"
        raise RequestError(f"{kind} '{name}' may not be loaded: llm.reloadable has {known}")
    return allowed[name]


def keeping(folder: Path, of: str) -> Callable[[ModelFiles], None]:
    """Return what writes down a change, over those before it."""

    def keep(files: ModelFiles) -> None:
        before = read_reloaded(folder, of)
        both = ModelFiles(
            *(
                old if new is None else new
                for new, old in (
                    (files.base, before.base),
                    (files.state, before.state),
                    (files.adapter, before.adapter),
                )
            )
        )
        partial = folder / f"{RECORD}.{os.getpid()}"
        partial.write_text(dumps(ReloadedModel(of, both)) + "\n", "utf-8")
        partial.replace(folder / RECORD)

    return keep


def reload_workers(client: Client, files: ModelFiles) -> Sequence[str]:
    """Replace the model of all workers, one after the other; return their names.

    Raises:
        RequestError: A file is not on the allow-list.
        ComponentError: No worker has a model that can be replaced, or one has failed.
    """
    workers = [
        name.removeprefix(SERVICE)
        for each in client.statistics()["workers"]
        if not each["leaving"]
        for name in each["services"]
        if name.startswith(SERVICE)
    ]
    if not workers:
        cause = "no worker of llm has a model that can be replaced: it must be an RWKV model"
        raise ComponentError("llm", "reloading", cause, kind="unreachable")
    for number, worker in enumerate(workers):
        try:
            client.call(
                SERVICE + worker,
                "reload",
                {"files": to_json(files)},
                idempotent=False,
                timeout=_SECONDS,
            )
        except KvasirError as error:
            if not number:
                raise
            cause = (
                f"{worker}: {error}; {', '.join(workers[:number])} have the new model already: "
                "reload again, or name the files of before"
            )
            kind = error.kind if isinstance(error, ComponentError) else "failed"
            raise ComponentError("llm", "reloading", cause, kind=kind) from error
    return workers
