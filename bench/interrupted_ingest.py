"""Ends an ingest of real files by Ctrl-C and by SIGKILL: what is kept, what is done again?

    python bench/interrupted_ingest.py                 700 files of Debian's manuals, about 34 MB
    python bench/interrupted_ingest.py --files 100     fewer of them
    python bench/interrupted_ingest.py FOLDER          files of your own

The default settings. First one whole ingest: how long it takes, and which remaining time it tells
when half of that is over. Then the same files into a new index: each time a further eleventh of the
passages is searchable, the process gets SIGKILL or SIGINT (Ctrl-C) in turn and is started again.
What was searchable must stay as it is, and the last run must embed only what is not in the index.
The manuals are downloaded with ``apt-get`` the first time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import kvasir
from kvasir.catalog.sql import SqlCatalog
from kvasir.core.ledger import VersionStatus
from kvasir.core.run import Progress, Run
from tables import table

PACKAGES = ("python3.11-doc", "git-doc", "sqlite3-doc", "postgresql-doc-15")
TEXT = (".html", ".txt", ".c", ".sh", ".sql")
WORK = Path(__file__).resolve().parent / "work" / "manuals"
DOCUMENTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "documents"
MOMENTS = 10
SECONDS_BETWEEN_LOOKS = 0.2


def gather(count: int, folder: Path) -> None:
    """Copy files of Debian's manuals, and office and PDF files, into a folder."""
    WORK.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        unpacked = WORK / package
        if not unpacked.exists():
            subprocess.run(["apt-get", "download", "-q", package], cwd=WORK, check=True)
            (archive,) = WORK.glob(f"{package}_*.deb")
            subprocess.run(["dpkg", "-x", archive, unpacked], check=True)
    manuals = sorted(p for p in WORK.rglob("*") if p.suffix in TEXT and p.is_file())
    office = sorted(p for p in DOCUMENTS.rglob("*") if p.is_file() and p.suffix != ".md")
    chosen = office[: count // 10]
    chosen += random.Random(7).sample(manuals, min(count - len(chosen), len(manuals)))
    for number, path in enumerate(chosen):
        target = folder / path.suffix[1:] / f"{number:04}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def ingest_whole(data: Path, folder: Path) -> None:
    """Ingest in this process and print the result and each remaining time, as JSON."""
    times: list[tuple[float, float]] = []
    with kvasir.open(data_dir=data) as collection:
        collection.index.components.embedder.embed_documents(["The first call loads the model."])
        started = time.perf_counter()

        def note(event: Progress) -> None:
            if event.remaining is not None:
                times.append((time.perf_counter() - started, event.remaining))

        report = collection.ingest(*kvasir.files(folder), run=Run(progress=note))
        total = time.perf_counter() - started
    print(
        json.dumps(
            {
                "documents": len(report.added),
                "failed": len(report.failed),
                "megabytes": report.bytes_read / 1e6,
                "chunks": report.chunks_embedded + report.chunks_repeated,
                "seconds": total,
                "processor_seconds": sum(os.times()[:4]),
                "times": times,
            }
        )
    )


def told_at(part: float, figures: dict[str, Any]) -> float:
    """Return the remaining time that was told after a part of the time, by the true one."""
    if not figures["times"]:
        sys.exit("it took too short a time to tell the remaining one: ingest more files")
    at = part * figures["seconds"]
    moment, remaining = min(figures["times"], key=lambda each: abs(each[0] - at))
    return float(remaining / (figures["seconds"] - moment))


@dataclass
class Index:
    """The catalog of an index to which another process writes."""

    data: Path

    def live(self) -> dict[str, str]:
        """Return the time when it was indexed of every document that is searchable."""
        if not (self.data / "catalog.db").exists():
            return {}
        with closing(SqlCatalog(f"sqlite:///{self.data / 'catalog.db'}")) as catalog:
            return {
                record.id: record.indexed.isoformat()
                for record in catalog.documents("default")
                if record.status is VersionStatus.LIVE
            }

    def chunks(self) -> int:
        """Return the number of passages that are searchable."""
        if not (self.data / "catalog.db").exists():
            return 0
        with closing(SqlCatalog(f"sqlite:///{self.data / 'catalog.db'}")) as catalog:
            return catalog.chunk_count("default")


def end_again_and_again(data: Path, folder: Path, chunks: int) -> list[dict[str, Any]]:
    """Ingest, end it at each moment, and start again; return what was there at each end."""
    command = [sys.executable, "-m", "kvasir", "ingest", "--json", "--set", f"data_dir={data}"]
    index = Index(data)
    ends: list[dict[str, Any]] = []
    for moment in range(1, MOMENTS + 2):
        before = index.chunks()
        process = subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE)
        number = [signal.SIGINT, signal.SIGKILL][moment % 2] if moment <= MOMENTS else None
        started = time.perf_counter()
        if number is not None:
            while process.poll() is None and index.chunks() < chunks * moment / (MOMENTS + 1):
                time.sleep(SECONDS_BETWEEN_LOOKS)
            process.send_signal(number)
        sent = time.perf_counter()
        out, _ = process.communicate()
        ends.append(
            {
                "ended by": number.name if number else "itself",
                "after s": round(sent - started, 1),
                "stopped in s": round(time.perf_counter() - sent, 2) if number else 0,
                "live": index.live(),
                "chunks before": before,
                "chunks": index.chunks(),
                "report": json.loads(out) if out else None,
                "exit": process.returncode,
            }
        )
    return ends


def check(ends: list[dict[str, Any]], whole: dict[str, Any]) -> list[str]:
    """Return what is not as it must be."""
    wrong = []
    last = ends[-1]["report"]
    for end, later in pairwise(ends):
        lost = [key for key, indexed in end["live"].items() if later["live"].get(key) != indexed]
        if lost:
            wrong.append(f"{len(lost)} documents that were searchable were lost or done again")
    if len(last["unchanged"]) != len(ends[-2]["live"]):
        wrong.append(f"{len(last['unchanged'])} of {len(ends[-2]['live'])} were left alone")
    if len(ends[-1]["live"]) != whole["documents"]:
        wrong.append(f"{len(ends[-1]['live'])} of {whole['documents']} documents are there")
    if last["chunks_embedded"] > ends[-1]["chunks"] - ends[-2]["chunks"]:
        wrong.append(f"the last run embedded {last['chunks_embedded']} passages")
    return wrong


def render(ends: list[dict[str, Any]]) -> str:
    """Return the ends as Markdown."""
    rows: list[list[object]] = []
    former = 0
    for end in ends:
        report, count = end["report"], len(end["live"])
        told = f"{len(report['unchanged'])} + {len(report['added'])}" if report else ""
        embedded = f"{report['chunks_embedded']:,}" if report else ""
        more = end["chunks"] - end["chunks before"]
        rows.append(
            [
                *(end["ended by"], end["after s"], end["stopped in s"]),
                *(former, count - former, told, f"{more:,}", embedded),
            ]
        )
        former = count
    heads = ["ended by", "after s", "stopped in s", "documents kept", "new documents"]
    return table([*heads, "report: unchanged + added", "new passages", "embedded"], rows)


def main() -> int:
    """Read the arguments, measure and check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--files", type=int, default=700)
    parser.add_argument("--whole", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell's background job ignores Ctrl-C, and so would the programs that it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if given.whole:
        ingest_whole(given.whole, given.folder)
        return 0
    with tempfile.TemporaryDirectory(prefix="kvasir-bench-") as name:
        folder = given.folder
        if folder is None:
            folder = Path(name) / "manuals"
            gather(given.files, folder)
        load = os.getloadavg()[0]
        whole_run = [sys.executable, __file__, str(folder), "--whole", str(Path(name) / "whole")]
        done = subprocess.run(whole_run, stdout=subprocess.PIPE, text=True, check=True)
        whole = json.loads(done.stdout)
        print(
            f"{whole['documents']} documents of {whole['megabytes']:.1f} MB became "
            f"{whole['chunks']:,} passages in {whole['seconds']:.0f} s "
            f"({whole['processor_seconds']:.0f} s of processor; load before {load:.1f}); "
            f"{whole['failed']} failed. Remaining time that was told, by the true one: "
            + ", ".join(f"{told_at(part, whole):.2f} at {part:.0%}" for part in (0.25, 0.5, 0.75)),
            flush=True,
        )
        ends = end_again_and_again(Path(name) / "ended", folder, whole["chunks"])
        doctor = [sys.executable, "-m", "kvasir", "doctor", "--set", f"data_dir={name}/ended"]
        code = subprocess.run(doctor, capture_output=True, check=False).returncode
        print(f"\n{render(ends)}\n\nkvasir doctor: exit {code}")
        wrong = check(ends, whole)
        print("\n".join(wrong) or "What was searchable stayed, and the last run did the rest.")
        return 1 if wrong or code else 0


if __name__ == "__main__":
    sys.exit(main())
