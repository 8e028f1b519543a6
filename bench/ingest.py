"""Ingests real files from end to end: how fast, and where the time goes.

    python bench/ingest.py [PATH...] [--json]

The default settings with an empty data folder: reading, extracting in child processes,
splitting, embedding, writing store and catalog. A thread reads, extracts and splits while the
main one embeds and writes; ``extract`` is the time that it waited for the child processes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import kvasir
from corpus import memory
from tables import table

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SOURCES = (DATA / "chunking", DATA / "documents")
QUICK = (DATA / "documents" / "md", DATA / "documents" / "html")


def measure(sources: list[Path]) -> dict[str, Any]:
    """Return the figures of one ingest, with the model loaded before."""
    with (
        tempfile.TemporaryDirectory(prefix="kvasir-bench-") as folder,
        kvasir.open(data_dir=folder) as app,
    ):
        app.index.components.embedder.embed_documents(["The first call loads the model."])
        report = app.ingest(*kvasir.files(*sources))
        again = app.ingest(*kvasir.files(*sources))
    total = report.seconds["total"]
    chunks = report.chunks_embedded + report.chunks_reused + report.chunks_repeated
    return {
        "documents": len(report.added),
        "failed": len(report.failed),
        "mb": round(report.bytes_read / 1e6, 2),
        "chunks": chunks,
        "seconds": round(total, 2),
        "mb_per_s": round(report.bytes_read / 1e6 / total, 3),
        "chunks_per_s": round(chunks / total, 1),
        "stages_s": {k: round(v, 2) for k, v in report.seconds.items() if k != "total"},
        "again_s": round(again.seconds["total"], 2),
        "peak_mb": memory()["peak"],
    }


def render(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    total = figures["seconds"]
    stages = figures["stages_s"].items()
    return (
        f"{figures['documents']} documents of {figures['mb']} MB became {figures['chunks']} chunks "
        f"in {total} s: {figures['mb_per_s']} MB/s, {figures['chunks_per_s']} chunks/s. "
        f"The same again, nothing changed: {figures['again_s']} s. "
        f"Peak memory {figures['peak_mb']} MB.\n\n"
        "Reading, extracting and splitting go on beside embedding and writing, so the shares can "
        "sum up to more than 100 %.\n\n"
        + table(
            ["stage", "seconds", "share"],
            [[name, spent, f"{100 * spent / total:.0f} %"] for name, spent in stages],
        )
    )


def main() -> int:
    """Read the arguments and measures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", type=Path, nargs="*")
    parser.add_argument("--quick", action="store_true", help="a few files only")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    sources = given.sources or [*(QUICK if given.quick else SOURCES)]
    if missing := [str(path) for path in sources if not path.exists()]:
        sys.exit(f"there is nothing at {', '.join(missing)}: name files or folders to ingest")
    figures = measure(sources)
    print(json.dumps(figures, indent=1) if given.json else render(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
