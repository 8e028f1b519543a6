"""Runs the benchmarks and writes ``bench/RESULTS.md``: what ``make bench`` does.

    python bench/run.py                             everything; about an hour on two cores
    python bench/run.py stores ingest               some parts; the others keep their figures
    python bench/run.py --sizes 10000,100000 store  without the largest collection
    python bench/run.py --quick                     a minute or two: does it all work?

Parts: embedding, reranking, store, retrieval, answers, stores, ingest, cold_start, generation,
wire, remote_embedding, rwkv. Each runs alone in a process group of its own, which is ended with it.
Figures are kept in ``bench/work/results``; those of a quick run never reach ``RESULTS.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import answers
import cold_start
import generation
import ingest
import remote_embedding
import rwkv
import stores
import wire
from tables import milliseconds, reranking_table, table

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "RESULTS.md"
KEPT = BENCH / "work" / "results"
QUICK = BENCH / "work" / "quick"
PACKAGES = (
    "kvasir", "numpy", "openvino", "qdrant-edge-py", "pymilvus", "milvus-lite", "chromadb",
    "sentence-transformers", "torch", "xllamacpp", "pyzmq", "rwkv", "gguf",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One benchmark.

    Attributes:
        title: Its heading.
        full: Arguments of the whole run; ``SIZES`` stands for the sizes asked for.
        quick: Arguments of the quick run.
        render: Figures to Markdown.
        to_file: The script writes JSON to the file after ``--json`` rather than to its output.
    """

    title: str
    full: tuple[str, ...]
    quick: tuple[str, ...]
    render: Callable[[Any], str]
    to_file: bool = False


def embedding_table(figures: dict[str, Any]) -> str:
    """Return the figures of ``embedding.py`` as Markdown."""
    titles = {"kvasir": "Kvasir (OpenVINO)", "reference": "sentence-transformers, defaults"}
    rows = [
        [
            title,
            f"{figures['texts_per_second'][name]:.1f}",
            f"{figures['tokens_per_second'][name]:,.0f}",
            milliseconds(figures["query_ms"][name]),
        ]
        for name, title in titles.items()
    ]
    return (
        f"{figures['texts']} texts of {figures['tokens_per_text']:.0f} tokens, in turns: "
        f"{figures['ratio']:.2f} times the throughput, lowest cosine {figures['cosine_min']:.5f}.\n"
        "One question as p50 / p99 in milliseconds.\n\n"
        + table(["engine", "texts/s", "tokens/s", "one question ms"], rows)
    )


def store_tables(figures: list[dict[str, Any]]) -> str:
    """Return the figures of ``store.py`` as Markdown."""
    heads = [f"{result['chunks']:,} chunks" for result in figures]
    rows: list[list[object]] = [
        ["written, chunks/s", *(f"{result['insert_per_s']:,}" for result in figures)],
        ["building the graph, s", *(result["graph_s"] for result in figures)],
        ["opening, s", *(result["open_s"] for result in figures)],
        ["memory, MB: own + mapped", *(_both(result["memory_mb"]) for result in figures)],
        ["disk, MB", *(result["disk_mb"] for result in figures)],
        *(
            [f"{name}, ms", *(milliseconds(result[key]) for result in figures)]
            for name, key in (
                ("hybrid without a graph", "hybrid_without_graph_ms"),
                ("hybrid while the graph is built", "hybrid_while_building_ms"),
            )
        ),
        *(
            [f"{name}, ms", *(milliseconds(result["queries_ms"][name]) for result in figures)]
            for name in figures[0]["queries_ms"]
        ),
        *(
            [f"recall@10, {name}", *(f"{result['recall_at_10'][name]:.4f}" for result in figures)]
            for name in figures[0]["recall_at_10"]
        ),
    ]
    return "Latency as p50 / p99, the store alone.\n\n" + table(["", *heads], rows)


def retrieval_table(figures: list[dict[str, Any]]) -> str:
    """Return the figures of ``retrieval.py`` as Markdown."""
    heads = ["chunks", "embedding ms", "hybrid ms", "dense ms", "filtered ms", "while building ms"]
    keys = ("embedding_ms", "hybrid_ms", "dense_ms", "filtered_ms", "while_building_ms")
    rows = [
        [
            f"{row['chunks']:,}",
            *(milliseconds(row[key]) for key in keys),
            f"{row['peak_memory_gb']:.2f}",
        ]
        for row in figures
    ]
    return "A whole search, from the question as text to ten passages, p50 / p99.\n\n" + table(
        [*heads, "peak memory GB"], rows
    )


def _both(memory: dict[str, int]) -> str:
    return f"{memory['own']} + {memory['mapped']}"


PARTS = {
    "embedding": Part(
        "Embedding", ("--json",), ("--texts", "100", "--queries", "20", "--json"), embedding_table
    ),
    "reranking": Part(
        "Reranking", ("--json",), ("--questions", "1", "--hits", "4", "--json"), reranking_table
    ),
    "store": Part("The default store", ("SIZES",), ("2000",), store_tables, to_file=True),
    "retrieval": Part(
        "Searching", ("--sizes", "SIZES"), ("--sizes", "1000"), retrieval_table, to_file=True
    ),
    "answers": Part(
        "Extractive answers",
        ("--json",),
        ("--chunks", "1000", "--rows", "500", "--answers", "20", "--json"),
        answers.render,
    ),
    "stores": Part(
        "The stores compared", ("--json", "--write"), ("--quick", "--json"), stores.render
    ),
    "ingest": Part("Ingesting", ("--json",), ("--quick", "--json"), ingest.render),
    "cold_start": Part("Starting", ("--json",), ("--quick", "--json"), cold_start.render),
    "generation": Part(
        "A language model in the process",
        ("--json",),
        ("--tokens", "16", "--runs", "1", "--json"),
        generation.render,
    ),
    "wire": Part("Services over ZeroMQ", ("--json",), ("--quick", "--json"), wire.render),
    "remote_embedding": Part(
        "Embedding by a service", ("--json",), ("--quick", "--json"), remote_embedding.render
    ),
    "rwkv": Part(
        "RWKV",
        (),
        ("--layers", "2", "--width", "128", "--tokens", "60", "--write", "16"),
        rwkv.table,
        to_file=True,
    ),
}


def machine() -> dict[str, Any]:
    """Describe the machine and what runs on it."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": installed,
        "load": round(os.getloadavg()[0], 1),
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def run_part(name: str, arguments: list[str], kept: Path) -> bool:
    """Run one part and keep its figures; say whether it went well."""
    part, figures = PARTS[name], kept / f"{name}.json"
    draft = figures.with_suffix(".new")
    draft.unlink(missing_ok=True)
    command = [sys.executable, str(BENCH / f"{name}.py"), *arguments]
    before = machine()
    if part.to_file:
        code = _run([*command, "--json", str(draft)], None)
    else:
        with draft.open("w", encoding="utf-8") as output:
            code = _run(command, output)
    said = draft.read_text("utf-8") if draft.exists() else ""
    draft.unlink(missing_ok=True)
    if not said.strip():
        return False
    figures.write_text(json.dumps({"machine": before, "figures": json.loads(said)}, indent=1))
    return code == 0


def _run(command: list[str], output: IO[str] | None) -> int:
    """Run a command; whatever it started in its process group ends with it."""
    child = subprocess.Popen(command, stdout=output, start_new_session=True)
    try:
        # Not yet reaped, so that no other process group can have its number.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    finally:
        _end(child.pid)
    return child.wait()


def _end(group: int) -> None:
    """End whatever is left of a process group that was started here."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def report(kept: Path, page: str) -> str:
    """Return the page with the figures that are kept.

    Args:
        kept: Folder of the parts' figures.
        page: The page as it is. Sections of parts without figures, and those of benchmarks that
            are no part, stay as they are.
    """
    results = {
        name: json.loads((kept / f"{name}.json").read_text())
        for name in PARTS
        if (kept / f"{name}.json").exists()
    }
    sections = {}
    for section in re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]:
        sections[section.splitlines()[0].removeprefix("## ")] = section.strip()
    for name, each in results.items():
        sections[PARTS[name].title] = _section(name, each)
    newest = max((each["machine"] for each in results.values()), key=lambda m: m["when"])
    packages = ", ".join(f"{name} {number}" for name, number in newest["packages"].items())
    head = f"""# Results

The parts of `make bench` are written by it, each with its machine; the other sections name the
command that measures them. What carries over to other machines are the proportions.

- Memory: {newest["memory_gb"]} GB
- System: {newest["system"]}, Python {newest["python"]}
- Packages: {packages}"""
    return "\n\n".join([head, *sections.values()]) + "\n"


def _section(name: str, result: dict[str, Any]) -> str:
    """Return a part's figures with its heading, its command and its machine."""
    ran_on = result["machine"]
    command = f"`python bench/{name}.py`, {ran_on['when']}"
    where = f"{ran_on['processor']}, {ran_on['cores']} cores"
    return (
        f"## {PARTS[name].title}\n\n{command}, {where}, load before: {ran_on['load']}\n\n"
        f"{PARTS[name].render(result['figures']).strip()}"
    )


def main() -> int:
    """Read the arguments and run the parts; 1 when one of them failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--sizes", default="10000,100000,300000", help="of store and retrieval")
    parser.add_argument("--quick", action="store_true", help="only see that everything works")
    given = parser.parse_args()
    if unknown := [name for name in given.parts if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    kept = QUICK if given.quick else KEPT
    kept.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in given.parts or PARTS:
        print(f"--- {name}", flush=True)
        part = PARTS[name]
        arguments = list(part.quick if given.quick else part.full)
        if "SIZES" in arguments:
            at = arguments.index("SIZES")
            sizes = [given.sizes] if name == "retrieval" else given.sizes.split(",")
            arguments[at : at + 1] = sizes
        if not run_part(name, arguments, kept):
            failed.append(name)
    page = kept / "RESULTS.md" if given.quick else RESULTS
    page.write_text(report(kept, RESULTS.read_text("utf-8")), "utf-8")
    print(f"written to {page}")
    if failed:
        print(f"failed, or below what it must reach: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
