"""Kept states of the generator ``rwkv`` in the product: prefill saved, disk used, the same answers.

    python bench/rwkv_states.py [--chunks 2000] [--questions 100] [--layers 4] [--width 256]

``kvasir serve`` answers the same questions about made notes once without kept states and twice with
them. Then the first of them are asked twice with ``kvasir ask``, each time in a process of its own
that finds the states of the others on the disk; the first time there are none. The model has random
weights and the World vocabulary, so its answers say nothing, but they must be the same each time,
greedy. Ends with 1 if one is not. Times are medians of whole answers. Needs the extras ``torch``
and ``server``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import torch

import kvasir
from kvasir.rwkv.initial import small_rwkv7
from kvasir.rwkv.weights import save_pth
from kvasir.settings.loading import load_settings
from load import COLLECTION, serving

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
KEPT, READ = 'kvasir_prompt_tokens state="kept"', 'kvasir_prompt_tokens state="read"'


def main() -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=2000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--top-k", type=int, default=3)
    parser.add_argument("--words", type=int, default=100, help="of a chunk")
    parser.add_argument("--notes", type=int, default=1, help="of a file; hits beside are joined")
    parser.add_argument("--precision", default="f16")
    parser.add_argument("--commands", type=int, default=10, help="questions of 'kvasir ask'")
    given = parser.parse_args()
    with contextlib.suppress(PermissionError):  # Other programs disturb less then.
        os.nice(-15)
    with tempfile.TemporaryDirectory() as folder:
        return run(given, Path(folder))


def run(given: argparse.Namespace, folder: Path) -> int:
    """Ingest, ask, and print the figures; 1 if an answer is not the same."""
    model = random_model(given.layers, given.width)
    save_pth(model.state_dict(), folder / "model.pth")
    write_notes(folder / "notes", given.chunks, given.words, given.notes)
    rng = random.Random(1)
    questions = [
        f"When must the {rng.choice(PARTS)} of {rng.choice(THINGS)} {rng.randint(0, given.chunks)} "
        f"be {rng.choice(DEEDS).removeprefix('is ')}?"
        for _ in range(given.questions)
    ]
    plain_file = write_settings(given, folder, 0)
    with kvasir.App(load_settings(plain_file)) as app, app.collection(COLLECTION) as collection:
        collection.ingest(*kvasir.files(folder / "notes"))
        print(f"{collection.chunk_count():,} chunks", flush=True)
    with serving(plain_file) as server:
        plain, seconds = ask(server, questions)
    print(f"without kept states: {statistics.median(seconds) * 1000:.0f} ms an answer", flush=True)
    differing = 0
    kept_file = write_settings(given, folder, 20_000)
    with serving(kept_file) as server:
        before = {KEPT: 0.0, READ: 0.0}
        for name in ("first", "second"):
            answers, seconds = ask(server, questions)
            now = server.metrics()
            kept, read = (now[key] - before[key] for key in (KEPT, READ))
            before = now
            states = sum(
                f.stat().st_size for f in (folder / "data" / "rwkv-states").rglob("*.state")
            )
            same = sum(a == b for a, b in zip(answers, plain, strict=True))
            differing += len(plain) - same
            print(
                f"{name} time: {kept / (kept + read):.1%} of {kept + read:,.0f} tokens of prompts "
                f"saved, {states / 1e6:,.1f} MB on disk, "
                f"{statistics.median(seconds) * 1000:.0f} ms an answer, "
                f"{same} of {len(plain)} answers as without",
                flush=True,
            )
    shutil.rmtree(folder / "data" / "rwkv-states")
    for name, file in (("without", plain_file), ("first time", kept_file), ("again", kept_file)):
        found = [asked(file, question) for question in questions[: given.commands]]
        same = sum(text == answer for (text, *_), answer in zip(found, plain, strict=False))
        differing += given.commands - same
        kept, read = (sum(each[at] for each in found) for at in (1, 2))
        print(
            f"kvasir ask, {name}: {kept / max(1, kept + read):.1%} of {kept + read:,} tokens of "
            f"prompts saved, {same} of {given.commands} answers as without",
            flush=True,
        )
    return 1 if differing else 0


def random_model(layers: int, width: int) -> torch.nn.Module:
    """Return an RWKV-7 whose answers depend on all that it read."""
    model = small_rwkv7(65_536, layers, width)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.named_parameters():
        if tensor.ndim == 2 and "r_k" not in name:
            tensor.data.copy_(torch.randn(tensor.shape, generator=generator) * width**-0.5)
    return model


def write_notes(folder: Path, count: int, words: int, of_file: int) -> None:
    """Write some notes a file; with one, each file is a chunk."""
    rng = random.Random(0)
    folder.mkdir()
    for number in range(count):
        lines = [f"# {rng.choice(THINGS)} {number}\n"]
        while sum(len(line.split()) for line in lines) < words:
            lines.append(
                f"The {rng.choice(PARTS)} {rng.choice(DEEDS)} after {rng.randint(2, 900)} "
                f"hours, or when its {rng.choice(PARTS)} shows {rng.randint(2, 99)} marks."
            )
        with (folder / f"{number // of_file:05}.md").open("a", encoding="utf-8") as file:
            file.write("\n".join([lines[0], " ".join(lines[1:]), ""]))


def write_settings(given: argparse.Namespace, folder: Path, cache_mb: int) -> Path:
    """Write the settings of a run."""
    values = {
        "data_dir": str(folder / "data"),
        "generator": {
            "type": "rwkv",
            "model": str(folder / "model.pth"),
            "options": {
                "max_tokens": 16,
                "cache_mb": cache_mb,
                "cache_precision": given.precision,
            },
        },
        "chat": {"rag": {"retriever": {"top_k": given.top_k}}},
        "answer": {"refuse": False},
        "collection": COLLECTION,
        "server": {"metrics": "open"},
        "accounts": {"rate_limits": {"questions": "", "login": "", "registration": ""}},
    }
    file = folder / f"settings-{cache_mb}.json"
    file.write_text(json.dumps(values), "utf-8")
    return file


def ask(server: Any, questions: list[str]) -> tuple[list[str], list[float]]:
    """Return the answers of a server, and the seconds of each."""
    answers, seconds = [], []
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.address, headers=headers, timeout=300) as client:
        for question in questions:
            start = time.perf_counter()
            found = client.post(
                f"/v1/collections/{COLLECTION}/answers", json={"question": question}
            ).raise_for_status()
            seconds.append(time.perf_counter() - start)
            answers.append(found.json()["text"])
    return answers, seconds


def asked(file: Path, question: str) -> tuple[str, int, int]:
    """Return the answer of ``kvasir ask``, and its prompt's tokens: from kept states, and read."""
    command = [sys.executable, "-m", "kvasir", "--config", str(file), "ask", "--json", "--why"]
    done = subprocess.run([*command, question], capture_output=True, text=True, check=False)
    said = re.search(r"prompt: ([\d,]+) tokens from kept states, ([\d,]+) read", done.stderr)
    kept, read = (int(each.replace(",", "")) for each in said.groups()) if said else (0, 0)
    return json.loads(done.stdout)["text"], kept, read


if __name__ == "__main__":
    sys.exit(main())
