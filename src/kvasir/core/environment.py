"""The environment of the process: its command, and switches that turn telemetry off.

The switches are set when Kvasir is imported, because libraries read them when they are imported.
Apart from the settings, the front doors, ``models`` and ``core/child_process.py``, no other module
reads or writes the environment.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_PROGRAM = "kvasir"
_COMMAND = re.compile(r"[a-z][a-z-]{1,19}")

TELEMETRY_SWITCHES: Mapping[str, str] = MappingProxyType(
    {
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "RAGAS_DO_NOT_TRACK": "true",
    }
)
"""Variables and values that turn the telemetry of libraries off."""


def disable_telemetry() -> None:
    """Turn the telemetry of all libraries off, for this process and its children."""
    os.environ.update(TELEMETRY_SWITCHES)


def running_command() -> str:
    """Return the program, with the subcommand if it is Kvasir; never an option or a value."""
    path = Path(sys.argv[0] or "python")
    program = path.parent.name if path.stem == "__main__" else path.stem
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    known = program == _PROGRAM and _COMMAND.fullmatch(command)
    return f"{program} {command}" if known else program[:80]
