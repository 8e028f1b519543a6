"""Works at an index that another process has open: how long searches take beside its ingest.

    python bench/shared_index.py [--files 300] [--chat] [--json]

One process ingests files (or, with ``--chat``, has a chat open); another one searches, asks, lists,
adds and deletes through it. The first figures are of one connection that stays open, as an
application's; the others of whole commands.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from kvasir.core.types import Source
from kvasir.remote.owner import OwnerRecord
from kvasir.remote.service import RemoteService, connect_to_owner
from kvasir.settings.schema import Settings
from kvasir.sharing import owner_of
from tables import table

QUESTIONS = (f"How are documents split into {number} chunks?" for number in count(2))
"""All different, since the vectors of recent questions are remembered."""
ENVIRONMENT = os.environ | {"KVASIR__DATA_DIR": "kvasir-data"}
MANUAL = Path(__file__).resolve().parent.parent / "docs"


def measure(files: int, *, chat: bool) -> dict[str, Any]:
    """Return figures of every kind of call, and how many failed."""
    with tempfile.TemporaryDirectory(prefix="kvasir-bench-") as name:
        folder = Path(name)
        settings = Settings(data_dir=folder / "kvasir-data")
        _command(folder, "ingest", str(MANUAL / "splitting.md"))
        _write_files(folder / "many", files)
        holder = _start_holder(folder, chat=chat)
        try:
            record = _await_owner(settings, holder)
            return _work_beside(folder, settings, record, holder, chat=chat)
        finally:
            holder.terminate()
            holder.wait(60)


def _work_beside(
    folder: Path,
    settings: Settings,
    record: OwnerRecord,
    holder: subprocess.Popen[bytes],
    *,
    chat: bool,
) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {}
    failed: list[str] = []

    def timed(name: str, call: Callable[[], object]) -> None:
        start = time.perf_counter()
        try:
            call()
        except Exception as error:  # noqa: BLE001 - counted, and shown
            # When the ingest ends, a connection ends with it; a command goes on alone then.
            if owner_of(settings) is not None:
                failed.append(f"{name}: {error}")
        seconds.setdefault(name, []).append(time.perf_counter() - start)

    note = Source("upload:beside", "text/plain"), b"Mead is made of honey."
    begin = time.perf_counter()
    with (
        RemoteService(
            lambda chosen: connect_to_owner(record, chosen), collection=settings.collection
        ) as service,
        service.collection() as collection,
    ):
        rounds = 0
        while holder.poll() is None and (not chat or time.perf_counter() - begin < 30):
            for _ in range(10):
                timed("search", lambda: collection.search(next(QUESTIONS)))
            timed("ask", lambda: collection.ask(next(QUESTIONS)))
            timed("list", lambda: collection.documents(limit=100))
            if rounds % 10 == 0:
                timed("add", lambda: collection.ingest(note))
                timed("delete", lambda: collection.delete("upload:beside"))
                timed("kvasir search", lambda: _command(folder, "search", next(QUESTIONS)))
                timed("kvasir documents list", lambda: _command(folder, "documents", "list"))
            rounds += 1
    return {
        "calls": {name: _figures(spent) for name, spent in seconds.items()},
        "failed": failed,
        "seconds": time.perf_counter() - begin,
    }


def _figures(spent: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(spent, [50, 99])
    return {"calls": len(spent), "p50": float(p50), "p99": float(p99), "most": max(spent)}


def _write_files(folder: Path, count: int) -> None:
    """Write files of some pages each: the manual's, with another beginning."""
    pages = sorted(MANUAL.glob("*.md"))
    folder.mkdir()
    for number in range(count):
        text = pages[number % len(pages)].read_text("utf-8")
        (folder / f"{number:04}.md").write_text(f"# Copy {number}\n\nNumber {number}.\n\n{text}")


def _start_holder(folder: Path, *, chat: bool) -> subprocess.Popen[bytes]:
    if chat:
        # A chat needs a terminal; what counts is that the index is open and nothing else is done.
        program = (
            "import kvasir, sys\n"
            f"with kvasir.open() as kb: kb.search({next(QUESTIONS)!r}); sys.stdin.read()\n"
        )
        arguments = ["-c", program]
    else:
        arguments = ["-m", "kvasir", "ingest", "many"]
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _await_owner(settings: Settings, holder: subprocess.Popen[bytes]) -> OwnerRecord:
    while (record := owner_of(settings)) is None:
        if holder.poll() is not None:
            raise SystemExit("the ingest ended before it served its index: take more --files")
        time.sleep(0.02)
    return record


def _command(folder: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "kvasir", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        check=True,
        timeout=300,
    )


def render(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    rows = [
        [name, each["calls"], *(f"{each[key] * 1000:.0f}" for key in ("p50", "p99", "most"))]
        for name, each in found["calls"].items()
    ]
    failed = f"{len(found['failed'])} calls failed." + "".join(f"\n- {e}" for e in found["failed"])
    shown = table(["call", "calls", "p50 ms", "p99 ms", "most ms"], rows)
    return f"{shown}\n\n{failed} The other process worked for {found['seconds']:.0f} s."


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = measure(chosen.files, chat=chosen.chat)
    print(json.dumps(found, indent=2) if chosen.json else render(found))


if __name__ == "__main__":
    main()
