"""The environment of the process: how it was started, and the switches of telemetry.

The switches keep the libraries that Kvasir uses from reporting to their makers. They are set when
Kvasir is imported, because the libraries read them when they are imported. Beside the settings,
the front doors, ``models`` and ``core/child_process.py``, no other module reads or writes the
environment.
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
"""Variable and the value that switches the telemetry of its library off."""


def disable_telemetry() -> None:
    """Switch the telemetry of all libraries off, for this process and its children."""
    os.environ.update(TELEMETRY_SWITCHES)


def running_command() -> str:
    """Return the program, and the subcommand where it is ours; never an option or a value."""
    path = Path(sys.argv[0] or "python")
    program = path.parent.name if path.stem == "__main__" else path.stem
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    known = program == _PROGRAM and _COMMAND.fullmatch(command)
    return f"{program} {command}" if known else program[:80]
