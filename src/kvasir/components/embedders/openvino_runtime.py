"""OpenVINO with its telemetry off; import it only from here.

Importing ``openvino`` reports the import to its vendor through ``openvino_telemetry`` before any
setting can prevent it. Where that package cannot be imported, OpenVINO uses a stub that sends
nothing.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino import opset13 as op  # noqa: E402

__all__ = ["op", "ov", "why"]


def why(error: RuntimeError) -> str:
    """Return OpenVINO's error message without the positions in its source."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].rstrip(".")
