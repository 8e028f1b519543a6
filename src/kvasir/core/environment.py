"""Switches in the environment that keep the libraries Kvasir uses from reporting to their makers.

They are set when Kvasir is imported, because the libraries read them when they are imported.
Beside the settings, the command line and ``models``, no other module reads or writes the
environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

TELEMETRY_SWITCHES: Mapping[str, str] = MappingProxyType(
    {
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "RAGAS_DO_NOT_TRACK": "true",
    }
)
"""Variable and the value that switches the telemetry of its library off."""


def disable_telemetry() -> None:
    """Switch the telemetry of all libraries off, for this process and its children."""
    os.environ.update(TELEMETRY_SWITCHES)
