"""How long a whole command takes, from starting the process to its end.

    python bench/cold_start.py [--runs 9] [--json]

Each command runs as a process of its own on a small index, in turns, after one run that warms
the disk's cache; the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from tables import table

MANUAL = Path(__file__).resolve().parent.parent / "docs"
COMMANDS = {
    "kvasir --help": ["--help"],
    "kvasir search": ["search", "--json", "how are documents split into chunks"],
    "kvasir ask": ["ask", "--json", "How do I repair an index?"],
}


def measure(runs: int) -> dict[str, Any]:
    """Return median, least and most seconds of each command."""
    with tempfile.TemporaryDirectory(prefix="kvasir-bench-") as folder:
        _run(["ingest", str(MANUAL / "maintenance.md"), str(MANUAL / "splitting.md")], folder)
        for arguments in COMMANDS.values():
            _run(arguments, folder)
        spent: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(runs):
            for name, arguments in COMMANDS.items():
                spent[name].append(_run(arguments, folder))
    return {
        name: {"median": median(s), "min": min(s), "max": max(s), "runs": runs}
        for name, s in spent.items()
    }


def _run(arguments: list[str], folder: str) -> float:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("KVASIR__")}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "kvasir", *arguments],
        cwd=folder,
        env=inherited,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )
    return time.perf_counter() - start


def render(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    keys = ("median", "min", "max")
    rows = [[name, *(f"{row[key]:.2f}" for key in keys)] for name, row in figures.items()]
    return "Seconds of a whole process:\n\n" + table(["command", *keys], rows)


def main() -> int:
    """Read the arguments and measures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="two runs")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(2 if given.quick else given.runs)
    print(json.dumps(figures, indent=1) if given.json else render(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
