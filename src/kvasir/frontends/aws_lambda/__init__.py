"""AWS Lambda: the handler ``kvasir.frontends.aws_lambda.handler``, of the extra ``aws``."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Make ``handler`` when the runtime asks for it, in the function's initialization."""
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kvasir.frontends.aws_lambda.process import from_settings

    made = globals()["handler"] = from_settings()
    return made
