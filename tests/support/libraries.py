"""Libraries that take seconds to import: only a worker that runs their tests imports them.

Every worker collects all tests, and so imports all modules of tests.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest


class Library:
    """A module that is imported when one of its names is first used."""

    _mock_name = None  # pytest asks every object of a module for it.

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # pytest looks for such names while it collects.
            raise AttributeError(name)
        return getattr(import_module(self._name), name)


def library(name: str, needs: str = "", extra: str = "") -> Library:
    """Return a module for later use; skip the tests of the calling module where it is missing.

    ``needs`` names the package that must be installed, where it is not the module's own.
    """
    package = needs or name.partition(".")[0]
    if find_spec(package) is None:
        reason = f"the extra {extra!r} is not installed" if extra else f"{package} is not installed"
        pytest.skip(reason, allow_module_level=True)
    return Library(name)
