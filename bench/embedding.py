"""Embedding throughput and latency, against sentence-transformers' defaults in the same run.

    python bench/embedding.py [--texts 600] [--rounds 3] [--json]

Texts of about 250 tokens are cut from real corpora. The engines take turns in small slices,
because other work on the machine would otherwise fall on one of them; the ratio of their total
times is what counts, the absolute figures only describe the machine. Needs the extra ``torch``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer

from kvasir.components.embedders.openvino import OpenVinoEmbedder
from kvasir.core.types import Matrix

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "data" / "chunking"
WORDS = 190
SLICE = 100
QUERIES = (
    "who was the first to climb the mountain",
    "What is the effect of interest rates on bond prices?",
    "how do I reset my password",
    "symptoms of vitamin D deficiency in children",
    "why did the senate reject the bill",
)
Embed = Callable[[list[str]], Matrix]


def main() -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=1, help="times each text is embedded")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--corpora", type=Path, default=CORPORA, help="folder of Markdown files")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    texts = cut(options.corpora, options.texts)
    if len(texts) < options.texts:
        sys.exit(f"{options.corpora} holds {len(texts)} texts of {WORDS} words")
    figures = measure(texts, options.rounds, options.queries)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures)
    return 0


def cut(folder: Path, count: int) -> list[str]:
    """Return texts of 190 words, about 250 tokens, in turns from every file of a folder."""
    files = []
    for path in sorted(folder.glob("*.md")):
        words = path.read_text("utf-8").split()
        files.append(
            [" ".join(words[at : at + WORDS]) for at in range(0, len(words) - WORDS, WORDS)]
        )
    longest = max((len(file) for file in files), default=0)
    return [file[row] for row in range(longest) for file in files if row < len(file)][:count]


def measure(texts: list[str], rounds: int, queries: int) -> dict[str, Any]:
    """Return all figures of one run."""
    ours = OpenVinoEmbedder()
    theirs = SentenceTransformer(str(ours.model.folder.path), device="cpu")

    def reference(batch: list[str]) -> Matrix:
        vectors: Matrix = theirs.encode(batch, show_progress_bar=False)
        return vectors

    engines: dict[str, Embed] = {"kvasir": ours.embed_documents, "reference": reference}
    for embed in engines.values():
        embed(texts[:SLICE])
    seconds = dict.fromkeys(engines, 0.0)
    ratios, worst = [], 1.0
    for _ in range(rounds):
        for start in range(0, len(texts), SLICE):
            spent, vectors = {}, {}
            for name, embed in engines.items():
                began = time.perf_counter()
                vectors[name] = embed(texts[start : start + SLICE])
                spent[name] = time.perf_counter() - began
                seconds[name] += spent[name]
            ratios.append(spent["reference"] / spent["kvasir"])
            cosines = np.einsum("ij,ij->i", vectors["kvasir"], vectors["reference"])
            worst = min(worst, float(cosines.min()))
    tokens = [min(count, ours.max_tokens) for count in ours.count_tokens(texts)]
    latency = {name: latencies(engines[name], queries) for name in engines}
    query_cosines = np.einsum(
        "ij,ij->i",
        np.concatenate([ours.embed_queries([query]) for query in QUERIES]),
        reference(list(QUERIES)),
    )
    return {
        "texts": len(texts),
        "tokens_per_text": sum(tokens) / len(tokens),
        "texts_per_second": {n: rounds * len(texts) / s for n, s in seconds.items()},
        "tokens_per_second": {n: rounds * sum(tokens) / s for n, s in seconds.items()},
        "ratio": seconds["reference"] / seconds["kvasir"],
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "cosine_min": worst,
        "query_cosine_min": float(query_cosines.min()),
        "query_ms": latency,
    }


def latencies(embed: Embed, count: int) -> dict[str, float]:
    """Return percentiles of one query's embedding, milliseconds."""
    spent = []
    for index in range(count):
        began = time.perf_counter()
        embed([QUERIES[index % len(QUERIES)]])
        spent.append((time.perf_counter() - began) * 1000)
    return {"p50": float(np.percentile(spent, 50)), "p99": float(np.percentile(spent, 99))}


def show(figures: dict[str, Any]) -> None:
    """Print the figures as a table."""
    table = Table(title=f"{figures['texts']} texts of {figures['tokens_per_text']:.0f} tokens")
    for title in ("engine", "texts/s", "tokens/s", "one query, p50", "p99"):
        table.add_column(title, justify="left" if title == "engine" else "right")
    titles = {"kvasir": "Kvasir (openvino)", "reference": "sentence-transformers, defaults"}
    for name, title in titles.items():
        table.add_row(
            title,
            f"{figures['texts_per_second'][name]:.1f}",
            f"{figures['tokens_per_second'][name]:,.0f}",
            f"{figures['query_ms'][name]['p50']:.2f} ms",
            f"{figures['query_ms'][name]['p99']:.2f} ms",
        )
    console = Console()
    console.print(table)
    console.print(
        f"ratio {figures['ratio']:.2f} (slices {figures['ratio_min']:.2f} to "
        f"{figures['ratio_max']:.2f}), lowest cosine {figures['cosine_min']:.5f}, "
        f"of queries {figures['query_cosine_min']:.5f}"
    )


if __name__ == "__main__":
    sys.exit(main())
