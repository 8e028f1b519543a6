"""Command and environment of Kvasir's child processes.

A child parses untrusted files. So it imports nothing from the working directory, where a file could
replace a library, and it inherits no secret of its parent.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

from kvasir.core.text import hide_passwords

_SETTING = "KVASIR__"
_SECRET = re.compile(r"(?:TOKEN|KEY|PASSWORD|PASSWD|SECRET|CREDENTIALS)\Z")


def module_command(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module, without the working directory on its path."""
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def arguments() -> list[str]:
    """Return the arguments that ``module_command`` gave to this process."""
    return sys.argv[1:]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a child process, with additional variables.

    It has the variables of this process except Kvasir's settings, variables named like secrets
    (``HF_TOKEN``, ``AWS_SECRET_ACCESS_KEY``) and URLs with a password. ``PYTHONPATH`` is the
    parent's module search path.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(_SETTING)
        and not _SECRET.search(name.upper())
        and hide_passwords(value) == value
    }
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    return {**kept, **(more or {}), "PYTHONPATH": paths}
