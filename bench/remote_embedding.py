"""Texts per second through one remote worker, against the same embedder in the process.

    python bench/remote_embedding.py [--texts 10000] [--quick] [--json]

The texts, of about 60 words, are made of a small vocabulary with different lengths. Both embed
slices of them in turns, because other work on the machine would otherwise fall on one of them; the
ratio of their total times is what counts. Broker and worker have a process each.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from kvasir.components.embedders.openvino import OpenVinoEmbedder
from kvasir.remote.zeromq.embedding import RemoteEmbedder, embedder_service
from kvasir.remote.zeromq.worker import Worker
from tables import table
from wire import running, serve_broker

RATIO = 0.9
SLICES = 5
WORDS = (Path(__file__).resolve().parents[1] / "docs" / "documents.md").read_text("utf-8").split()


def serve_embedder(back: str, ready: Any, stop: Any) -> None:
    """Serve the default embedder in this process."""
    with Worker(back, [embedder_service(OpenVinoEmbedder(), slots=2)]):
        ready.put(None)
        stop.wait()


def make_texts(count: int) -> list[str]:
    """Return texts of 20 to 100 words."""
    chosen = random.Random(7)
    return [" ".join(chosen.choices(WORDS, k=chosen.randint(20, 100))) for _ in range(count)]


def measure(count: int) -> dict[str, Any]:
    """Return texts per second of both, and how far their vectors differ."""
    texts = make_texts(count)
    with (
        tempfile.TemporaryDirectory() as folder,
        running(serve_broker, f"ipc://{folder}/f", f"ipc://{folder}/b") as ((front, back), _, _),
        running(serve_embedder, back),
    ):
        engines = {"in the process": OpenVinoEmbedder(), "remote": RemoteEmbedder(front)}
        seconds = dict.fromkeys(engines, 0.0)
        for engine in engines.values():
            engine.embed_documents(texts[:64])
        cosine = 1.0
        for number in range(SLICES):
            part = texts[number::SLICES]
            vectors = {}
            # Whoever comes second finds a warmer machine.
            for name in list(engines)[:: 1 if number % 2 else -1]:
                began = time.perf_counter()
                vectors[name] = engines[name].embed_documents(part)
                seconds[name] += time.perf_counter() - began
            one, other = vectors.values()
            cosine = min(cosine, float(np.einsum("ij,ij->i", one, other).min()))
        engines["remote"].close()
    return {
        "texts": count,
        "texts_per_second": {name: count / each for name, each in seconds.items()},
        "ratio": seconds["in the process"] / seconds["remote"],
        "cosine_min": cosine,
    }


def render(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    rows = [[name, f"{rate:,.0f}"] for name, rate in figures["texts_per_second"].items()]
    return (
        f"{figures['texts']:,} texts in turns: {figures['ratio']:.2f} times the rate in the "
        f"process, lowest cosine {figures['cosine_min']:.5f}.\n\n" + table(["", "texts/s"], rows)
    )


def main() -> int:
    """Measure; return 1 if the remote worker is slower than it may be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="only see that everything works")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    figures = measure(200 if given.quick else given.texts)
    print(json.dumps(figures, indent=1) if given.json else render(figures))
    return 0 if figures["ratio"] >= RATIO or given.quick else 1


if __name__ == "__main__":
    sys.exit(main())
