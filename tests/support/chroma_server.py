"""``chroma run`` on a free port of the loopback interface."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from free_ports import free_port


@contextmanager
def chroma_server(folder: Path, port: int | None = None) -> Iterator[str]:
    """Give the address of a server that keeps its data in a folder; at a free port by default."""
    port = port or free_port()
    # What the program chroma calls, without importing all of chromadb, which takes seconds.
    program = "import sys, chromadb_rust_bindings as chroma; chroma.cli(sys.argv)"
    arguments = ["run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdout=log,
            stderr=log,
            env=environment,
            cwd=folder,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api/v2/heartbeat", process)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=60).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"chroma run does not answer at {url}")
