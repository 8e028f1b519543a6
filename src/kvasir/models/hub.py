"""Fetches models from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from kvasir.core.errors import ModelNotFoundError
from kvasir.models.folders import ModelFolder


def pull(name: str, token: str | None, data_dir: Path | str | None) -> ModelFolder:
    """Not reachable yet."""
    raise ModelNotFoundError("downloads are not possible")
