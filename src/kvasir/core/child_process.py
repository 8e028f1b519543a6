"""How Kvasir starts Python in a process of its own: which modules it finds, and what it knows.

A child parses what strangers wrote. So it imports nothing from the working directory, where a
file could lie in place of a library, and it inherits no secret of its parent.
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
    """Return the environment of a child process.

    Args:
        more: Variables to add.

    Returns:
        The present variables without Kvasir's settings, without those whose name ends like a
        secret's (``HF_TOKEN``, ``AWS_SECRET_ACCESS_KEY``) and without addresses that hold a
        password; and the parent's own search path for modules as ``PYTHONPATH``.
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
