"""How long a whole command takes, from starting the process to its end, and its memory.

    python bench/cold_start.py [--runs 9] [--json]

Each command runs as a process of its own on an index of 7,000 passages, in turns, after one run
that warms the disk's cache; the median counts. Processor seconds are those of all threads: on a
machine that does nothing else a command takes no longer than them. Memory is the largest of the
process, pages of mapped files included.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from kvasir.frontends.cli.main import COMMANDS as SUBCOMMANDS
from tables import table

MANUAL = Path(__file__).resolve().parent.parent / "docs"
COMMANDS = {
    "kvasir --help": ["--help"],
    **{f"kvasir {name} --help": [name, "--help"] for name in SUBCOMMANDS},
    "kvasir documents list": ["documents", "list"],
    "kvasir search": ["search", "{words}"],
    "kvasir ask": ["ask", "What is {words}?"],
}
LIMITS = {"--help": 0.3, "documents list": 0.5, "search": 1.2}
"""Seconds within which the commands whose names end so should be done."""
MOST_MEMORY = 350
"""MB that ``kvasir ask`` should not exceed."""
PASSAGES, QUICK_PASSAGES = 7_000, 300
_PASSAGES_A_FILE = 100
_WORDS = 60


@dataclass(frozen=True)
class Spent:
    """What one process took."""

    seconds: float
    processor: float
    megabytes: float


def measure(runs: int, passages: int) -> dict[str, Any]:
    """Return the figures of each command."""
    with tempfile.TemporaryDirectory(prefix="kvasir-bench-") as folder:
        words = write_notes(Path(folder) / "notes", passages)
        _run(["ingest", "notes"], folder)
        commands = {
            name: [argument.format(words=words) for argument in arguments]
            for name, arguments in COMMANDS.items()
        }
        for arguments in commands.values():
            _run(arguments, folder)
        spent: dict[str, list[Spent]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, arguments in commands.items():
                spent[name].append(_run(arguments, folder))
    return {name: _figures(each) for name, each in spent.items()}


def write_notes(folder: Path, passages: int) -> str:
    """Write Markdown files of so many sections, each one passage; return a question's words.

    The sections are parts of the English manual, from a seed: most collections have one language.
    """
    folder.mkdir()
    pages = [page for page in sorted(MANUAL.glob("*.md")) if not page.name.startswith("servicio")]
    words = " ".join(page.read_text() for page in pages).split()
    words = [word for word in words if word.isalpha()]
    starts = random.Random(passages).sample(range(len(words) - _WORDS), passages)
    texts = [" ".join(words[start : start + _WORDS]) for start in starts]
    for first in range(0, passages, _PASSAGES_A_FILE):
        part = texts[first : first + _PASSAGES_A_FILE]
        sections = [f"# Section {first + number}\n\n{text}.\n" for number, text in enumerate(part)]
        (folder / f"{first:06d}.md").write_text("\n".join(sections))
    return " ".join(texts[passages // 2].split()[:6])


def _figures(spent: list[Spent]) -> dict[str, float]:
    seconds = [each.seconds for each in spent]
    return {
        "median": median(seconds),
        "min": min(seconds),
        "max": max(seconds),
        "processor": median(each.processor for each in spent),
        "megabytes": median(each.megabytes for each in spent),
        "runs": len(spent),
    }


def _run(arguments: list[str], folder: str) -> Spent:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("KVASIR__")}
    inherited["KVASIR__DATA_DIR"] = "kvasir-data"
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "kvasir", *arguments],
        cwd=folder,
        env=inherited,
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 5):  # 5: the documents do not hold the answer
        raise SystemExit(f"{' '.join(arguments)} ended with {code}")
    seconds = time.perf_counter() - start
    return Spent(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)


def misses(figures: dict[str, Any]) -> list[str]:
    """Return the commands that are not within their limits."""
    missed = [
        name
        for name, row in figures.items()
        for end, seconds in LIMITS.items()
        if name.endswith(end) and row["median"] > seconds
    ]
    return missed + [
        name
        for name, row in figures.items()
        if name.endswith("ask") and row["megabytes"] > MOST_MEMORY
    ]


def render(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    keys = ("median", "min", "max", "processor")
    rows = [
        [name, *(f"{row[key]:.2f}" for key in keys), f"{row['megabytes']:.0f}", _wanted(name)]
        for name, row in figures.items()
    ]
    head = ["command", "median s", "min", "max", "processor s", "memory MB", "wanted"]
    return f"A whole process, on an index of {PASSAGES:,} passages:\n\n" + table(head, rows)


def _wanted(name: str) -> str:
    if name.endswith("ask"):
        return f"under {MOST_MEMORY} MB"
    limits = (seconds for end, seconds in LIMITS.items() if name.endswith(end))
    return f"under {next(limits)} s"


def main() -> int:
    """Read the arguments and measures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="two runs on a small index")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    sizes = (2, QUICK_PASSAGES) if given.quick else (given.runs, PASSAGES)
    figures = measure(*sizes)
    print(json.dumps(figures, indent=1) if given.json else render(figures))
    missed = [] if given.quick else misses(figures)
    if missed:
        print(f"not within the limits: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
