"""Draws the pictures of the manual's benchmark page from the figures in ``bench/results``.

    python bench/plots.py

A picture is put into the page where its marker is, once its figures are there.
``peers.json`` is of ``peers/run.py``, ``latency.json`` and ``throughput.json`` of
``load_lambda.py``. Needs the extra ``examples`` (matplotlib).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "kvasir"

from matplotlib import pyplot as plt  # noqa: E402

from tables import put  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
IMAGES = ROOT / "images"
PAGE = ROOT / "docs" / "benchmark.md"


def read(name: str) -> list[dict[str, Any]]:
    """Return the figures of a file."""
    found: list[dict[str, Any]] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return found


def quality_against_speed(axes: Any) -> None:
    """Draw the libraries: nDCG@10 over the median time of a search."""
    for each in read("peers"):
        axes.scatter(each["p50_ms"], each["ndcg"], s=each["tokens_per_s"] / 60)
        at = (each["p50_ms"], each["ndcg"])
        axes.annotate(each["title"], at, textcoords="offset points", xytext=(8, 7))
    axes.set_xscale("log")
    axes.margins(0.2)
    axes.set_xlabel("milliseconds of a search (median)")
    axes.set_ylabel("nDCG@10")
    axes.set_title("Quality against speed; the area is the rate of the ingest", fontsize=10)


def latency_against_rate(axes: Any) -> None:
    """Draw percentiles of the latency over the arrival rate."""
    rows = sorted(read("latency"), key=lambda each: each["rate"])
    rates = [each["rate"] for each in rows]
    for name in ("p50", "p90", "p95", "p99"):
        axes.plot(rates, [each[f"{name}_ms"] for each in rows], marker="o", label=name)
    axes.set_yscale("log")
    axes.set_xlabel("requests a second")
    axes.set_ylabel("milliseconds")
    axes.legend()
    _name(axes, "Latency of a search through the Lambda function", rows)


def throughput_against_processes(axes: Any) -> None:
    """Draw searches a second over the number of processes."""
    rows = sorted(read("throughput"), key=lambda each: each["instances"])
    numbers = [each["instances"] for each in rows]
    axes.plot(numbers, [each["a_second"] for each in rows], marker="o")
    axes.set_xticks(numbers)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("processes on two cores, the store beside them")
    axes.set_ylabel("searches a second")
    _name(axes, "Throughput against processes", rows)


def _name(axes: Any, title: str, rows: list[dict[str, Any]]) -> None:
    """Write a title, with the processor and what else it did below it."""
    load = [each["load_average"] for each in rows]
    where = f"{rows[0]['processor']}, load average {min(load):.0f} to {max(load):.0f}"
    axes.set_title(f"{title}\n{where}", fontsize=10)


PICTURES = (
    ("quality-speed", "peers", "Quality against speed", quality_against_speed),
    ("latency-rate", "latency", "Latency against the arrival rate", latency_against_rate),
    (
        "throughput-processes",
        "throughput",
        "Searches a second against processes",
        throughput_against_processes,
    ),
)
"""Name and figures of each picture, what it shows in words, and its function."""


def main() -> None:
    """Draw all pictures."""
    for name, data, title, draw in PICTURES:
        if not (RESULTS / f"{data}.json").is_file():
            print(f"{data}.json was not measured: no picture of it")
            continue
        figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
        draw(axes)
        axes.grid(alpha=0.3)
        figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)
        put(PAGE, name, f"![{title}](../images/{name}.svg)\n")


if __name__ == "__main__":
    main()
