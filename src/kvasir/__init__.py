"""Kvasir answers questions from your own documents and shows where each answer stands.

import kvasir

with kvasir.open("kvasir.yaml") as kb:
    kb.ingest("docs")
    print(kb.ask("What is this about?").text)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kvasir.core.environment import disable_telemetry
from kvasir.core.errors import ComponentError, KvasirError, UserError

if TYPE_CHECKING:
    from kvasir.app import App
    from kvasir.app import open_app as open

__all__ = ["App", "ComponentError", "KvasirError", "UserError", "open"]

disable_telemetry()

_APP_NAMES = {"open": "open_app", "App": "App"}


def __getattr__(name: str) -> Any:
    """Imports the application when it is first asked for, so that ``kvasir --help`` is quick."""
    if name in _APP_NAMES:
        return getattr(import_module("kvasir.app"), _APP_NAMES[name])
    raise AttributeError(f"module 'kvasir' has no attribute '{name}'")
