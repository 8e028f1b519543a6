"""What this machine has for a model: usable processors and free memory.

Source: https://docs.kernel.org/filesystems/proc.html, https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from kvasir.core.operating_system import read_proc

_LIMIT = Path("/sys/fs/cgroup/memory.max")
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB", re.MULTILINE)


def processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int | None:
    """Return the bytes that a program can still get without swapping; None if unknown.

    In a container at most its limit.
    """
    if not (found := _AVAILABLE.search(read_proc("meminfo") or "")):
        return None
    limit = _LIMIT.read_text("utf-8").strip() if _LIMIT.is_file() else ""
    available = int(found[1]) << 10
    return min(available, int(limit)) if limit.isdecimal() else available
