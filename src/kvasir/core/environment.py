"""Command and environment of this process and its children; turns telemetry off.

The switches are set when Kvasir is imported, because libraries read them when they are imported.
Apart from the settings, the front doors and ``models``, no other module reads or writes the
environment.

A child parses untrusted files. So it imports nothing from the working directory, where a file could
replace a library, and it inherits no secret of its parent.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from kvasir.core.operating_system import read_proc
from kvasir.core.text import hide_passwords

_PROGRAM = "kvasir"
_COMMAND = re.compile(r"[a-z][a-z-]{1,19}")
_SETTING = "KVASIR__"
_SECRET = re.compile(r"(?:TOKEN|KEY|PASSWORD|PASSWD|SECRET|CREDENTIALS)\Z")

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


@contextmanager
def passive_openmp(spins: int = 0) -> Iterator[bool]:
    """Let the threads of an OpenMP runtime that is loaded in the block wait without computing.

    A thread that waits actively for one of its team takes the processor that the other one needs.
    Yields False if they will wait actively nevertheless: another library, such as PyTorch, has
    loaded the runtime before, or the environment says so.
    Source: https://gcc.gnu.org/onlinedocs/libgomp/OMP_005fWAIT_005fPOLICY.html

    Args:
        spins: Looks before a thread sleeps, of some nanoseconds each: it wakes up later than a wait
            that is shorter than that would take. The runtime's own default is 300,000.
    """
    name, count = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
    policy = os.environ.get(name)
    if policy is not None:
        yield policy.casefold() == "passive"
        return
    is_loaded = "libgomp" in (read_proc("self/maps") or "")
    added = {name: "passive"}
    if spins and count not in os.environ:
        added[count] = str(spins)
    os.environ.update(added)
    try:
        yield not is_loaded
    finally:
        for each in added:
            del os.environ[each]


def running_command() -> str:
    """Return the program, with the subcommand if it is Kvasir; never an option or a value."""
    path = Path(sys.argv[0] or "python")
    program = path.parent.name if path.stem == "__main__" else path.stem
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    known = program == _PROGRAM and _COMMAND.fullmatch(command)
    return f"{program} {command}" if known else program[:80]


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
