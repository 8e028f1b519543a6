"""Kvasir for clients of the Model Context Protocol: ``kvasir mcp``, and ``/mcp`` of the server.

The protocol's library is an optional dependency, imported when it is used.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from kvasir.core.errors import MissingExtraError

_LIBRARY = ("mcp", "mcp_types")


def load() -> ModuleType:
    """Import and return ``kvasir.frontends.mcp.serving``.

    Raises:
        MissingExtraError: The library is not installed.
    """
    try:
        return importlib.import_module("kvasir.frontends.mcp.serving")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _LIBRARY:
            raise
        raise MissingExtraError("the Model Context Protocol", "mcp") from error
