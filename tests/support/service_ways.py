"""The ways to a broker that contract suites of remote components take."""

from __future__ import annotations

import os

ALL_WAYS = [
    f"{protocol}{curve}" for protocol in ("tcp", "ipc", "inproc") for curve in ("", " curve")
]


def ways(*usual: str) -> list[str]:
    """Return the usual ways of a long suite, or all with ``KVASIR_TEST_WAYS=all``."""
    return ALL_WAYS if os.environ.get("KVASIR_TEST_WAYS") == "all" else list(usual)
