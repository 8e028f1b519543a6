"""OpenVINO with its telemetry off; import it from here only.

Importing ``openvino`` loads its conversion tools, which report the import to the makers through
the package ``openvino_telemetry``, without asking and before any setting could say no. Where
that package cannot be imported the tools use a stub of their own that sends nothing.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino import opset13 as op  # noqa: E402

__all__ = ["op", "ov", "why"]


def why(error: RuntimeError) -> str:
    """Return what OpenVINO says went wrong, without the places in its source."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].rstrip(".")
