"""Worker processes: ``kvasir worker``, or ``celery -A`` this package's ``celery_app``."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Make ``celery_app`` when a worker asks for it, from the settings of the working directory."""
    if name != "celery_app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kvasir.frontends.worker.process import from_settings

    made = globals()["celery_app"] = from_settings()
    return made
