"""AWS Lambda: the handler ``kvasir.frontends.aws_lambda.handler``, of the extra ``aws``."""

from __future__ import annotations

import gc
from typing import Any


def __getattr__(name: str) -> Any:
    """Make ``handler`` when the runtime asks for it, in the function's initialization."""
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # What is made now stays: to look for garbage in it takes a tenth of the start.
    gc.disable()
    try:
        from kvasir.frontends.aws_lambda.process import from_settings

        made = globals()["handler"] = from_settings()
    finally:
        gc.freeze()
        gc.enable()
    return made
