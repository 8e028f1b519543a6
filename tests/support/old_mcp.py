"""An environment with ``mcp`` 1.x, whose clients speak the protocol of 2025-11-25.

It is made once and kept in a folder of the user's cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

REQUIREMENT = "mcp>=1.23,<2"
SCRIPT = Path(__file__).with_name("old_mcp_client.py")


def old_mcp_python() -> str:
    """Return the environment's interpreter; skip the test if it can be neither found nor made."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / "kvasir-tests" / f"mcp-1-python-{version}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python, finished = folder / "bin" / "python", folder / "finished"
    with FileLock(f"{folder}.lock"):
        if not finished.exists():
            _make(folder)
            finished.touch()
    return str(python)


def call_by_old_client(given: dict[str, Any]) -> dict[str, Any]:
    """Return what the client prints."""
    done = subprocess.run(
        [old_mcp_python(), str(SCRIPT)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _make(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True)
    install = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet"]
    options = ["--disable-pip-version-check", "--retries", "1", "--timeout", "20", REQUIREMENT]
    done = subprocess.run([*install, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"'{REQUIREMENT}' cannot be installed: {last}")
