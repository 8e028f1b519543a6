"""Kept states of the generator ``rwkv``: prefill saved, disk used, and time to the first token.

    python bench/rwkv_states.py [--chunks 2000] [--questions 100] [--layers 6] [--width 384]

A collection of made notes is asked the same questions twice with kept states, and once without. The
model has random weights and the World vocabulary, so its answers say nothing, but they must be the
same each time, greedy. Times are medians of this machine. Needs the extra ``torch``.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import kvasir
from kvasir.core.types import Text
from kvasir.rwkv.initial import small_rwkv7
from kvasir.rwkv.weights import save_pth
from kvasir.settings.loading import load_settings
from kvasir.settings.schema import Settings

THINGS = (
    "pump",
    "mill",
    "engine",
    "turbine",
    "filter",
    "valve",
    "boiler",
    "crane",
    "belt",
    "lathe",
)
PARTS = ("bearing", "seal", "shaft", "motor", "cover", "gear", "sensor", "cable", "switch", "rail")
DEEDS = ("is cleaned", "is replaced", "is oiled", "is inspected", "is tightened", "is measured")


def main() -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=2000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--top-k", type=int, default=3)
    parser.add_argument("--words", type=int, default=200, help="of a chunk")
    parser.add_argument("--precision", default="f16")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(given, Path(folder))
    return 0


def run(given: argparse.Namespace, folder: Path) -> None:
    """Ingest, ask three times, and print the figures."""
    model = random_model(given.layers, given.width)
    save_pth(model.state_dict(), folder / "model.pth")
    write_notes(folder / "notes", given.chunks, given.words)
    rng = random.Random(1)
    questions = [
        f"When must the {rng.choice(PARTS)} of {rng.choice(THINGS)} {rng.randint(0, given.chunks)} "
        f"be {rng.choice(DEEDS).removeprefix('is ')}?"
        for _ in range(given.questions)
    ]
    with kvasir.App(settings(given, folder, 0)) as app, app.collection() as collection:
        collection.ingest(*kvasir.files(folder / "notes"))
        plain, seconds = ask(collection, questions)
    print(f"without kept states: {statistics.median(seconds) * 1000:.0f} ms to the first token")
    for name in ("first", "second"):
        with kvasir.App(settings(given, folder, 20_000)) as app, app.collection() as collection:
            answers, seconds = ask(collection, questions)
            cache: Any = app.generator.cache  # type: ignore[attr-defined]
            total = cache.kept_tokens + cache.read_tokens
            same = sum(a == b for a, b in zip(answers, plain, strict=True))
            print(
                f"{name} time: {cache.kept_tokens / total:.1%} of {total:,} tokens of prompts "
                f"saved, {cache.used >> 20:,} MB on disk, "
                f"{statistics.median(seconds) * 1000:.0f} ms to the first token, "
                f"{same} of {len(plain)} answers as without"
            )


def random_model(layers: int, width: int) -> torch.nn.Module:
    """Return an RWKV-7 whose answers depend on all that it read."""
    model = small_rwkv7(65_536, layers, width)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.named_parameters():
        if tensor.ndim == 2 and "r_k" not in name:
            tensor.data.copy_(torch.randn(tensor.shape, generator=generator) * width**-0.5)
    return model


def write_notes(folder: Path, count: int, words: int) -> None:
    """Write one note a chunk, ten a file."""
    rng = random.Random(0)
    folder.mkdir()
    for start in range(0, count, 10):
        notes = []
        for number in range(start, min(start + 10, count)):
            lines = [f"# {rng.choice(THINGS)} {number}\n"]
            while sum(len(line.split()) for line in lines) < words:
                lines.append(
                    f"The {rng.choice(PARTS)} {rng.choice(DEEDS)} after {rng.randint(2, 900)} "
                    f"hours, or when its {rng.choice(PARTS)} shows {rng.randint(2, 99)} marks."
                )
            notes.append(" ".join(lines[:1]) + "\n" + " ".join(lines[1:]))
        (folder / f"{start:05}.md").write_text("\n\n".join(notes), "utf-8")


def settings(given: argparse.Namespace, folder: Path, cache_mb: int) -> Settings:
    """Return the settings of a run."""
    values = {
        "data_dir": folder / "data",
        "generator.type": "rwkv",
        "generator.model": str(folder / "model.pth"),
        "generator.options": {
            "max_tokens": 16,
            "cache_mb": cache_mb,
            "cache_precision": given.precision,
        },
        "chat.rag.retriever.top_k": given.top_k,
        "answer.refuse": False,
    }
    return load_settings({}, values)


def ask(collection: kvasir.Collection, questions: list[str]) -> tuple[list[str], list[float]]:
    """Return the answers, and the seconds to the first piece of each."""
    answers, seconds = [], []
    for question in questions:
        start, text = time.perf_counter(), ""
        first: float | None = None
        for event in collection.stream(question):
            if isinstance(event, Text):
                first = first or time.perf_counter() - start
                text += event.text
        answers.append(text)
        seconds.append(first or time.perf_counter() - start)
    return answers, seconds


if __name__ == "__main__":
    sys.exit(main())
