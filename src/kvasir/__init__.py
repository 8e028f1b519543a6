"""Kvasir answers questions from your own documents and shows where each answer stands.

import kvasir

with kvasir.open("kvasir.yaml") as kb:
    kb.ingest(*kvasir.files("docs"))
    print(kb.ask("What is this about?").text)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kvasir.core.environment import disable_telemetry

if TYPE_CHECKING:
    from kvasir.app import App
    from kvasir.app import open_collection as open
    from kvasir.collection import Collection
    from kvasir.core.errors import ComponentError, KvasirError, OperatorError, RequestError
    from kvasir.frontends.cli.paths import files
    from kvasir.settings.loading import load_settings

__all__ = [
    "App",
    "Collection",
    "ComponentError",
    "KvasirError",
    "OperatorError",
    "RequestError",
    "files",
    "load_settings",
    "open",
]

disable_telemetry()

_LAZY = {
    "ComponentError": ("kvasir.core.errors", "ComponentError"),
    "KvasirError": ("kvasir.core.errors", "KvasirError"),
    "OperatorError": ("kvasir.core.errors", "OperatorError"),
    "RequestError": ("kvasir.core.errors", "RequestError"),
    "open": ("kvasir.app", "open_collection"),
    "App": ("kvasir.app", "App"),
    "Collection": ("kvasir.collection", "Collection"),
    "files": ("kvasir.frontends.cli.paths", "files"),
    "load_settings": ("kvasir.settings.loading", "load_settings"),
}


def __getattr__(name: str) -> Any:
    """Import the application when it is first asked for, so that ``kvasir --help`` is quick."""
    if name in _LAZY:
        module, attribute = _LAZY[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'kvasir' has no attribute '{name}'")
