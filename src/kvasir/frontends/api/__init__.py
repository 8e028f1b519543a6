"""The HTTP service: ``kvasir serve``, or ``uvicorn kvasir.frontends.api:app``."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Make ``app`` when a server asks for it, from the settings of the working directory."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kvasir.frontends.api.application import from_settings

    made = globals()["app"] = from_settings()
    return made
