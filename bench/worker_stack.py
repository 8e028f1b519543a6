"""Runs the whole Celery stack: broker, store server, ``kvasir serve`` and workers.

    python bench/worker_stack.py [--broker redis|rabbitmq] [--store chroma|qdrant]
        [--model default|phobert] [--documents 300] [--workers split|two]

Documents are uploaded by ``POST /uploadfile/``, then questions are answered by
``POST /completion/``. Printed are the times, the answers that are right, the largest sum of
proportional memory (PSS) of all processes, and the disk that everything takes. ``phobert`` is a
model of PhoBERT's size (12 layers of 768, 64,001 tokens) with random weights, with which the
keywords alone find passages. The store ``qdrant`` speaks Qdrant's REST over the embedded engine,
for the official client. Workers are one for each kind of queue, as in the manual, or two that do
everything.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from celery_stack import CeleryStack, wait_for
from chroma_server import chroma_server
from own_brokers import BROKERS, own_broker
from qdrant_server import qdrant_server
from service_process import launch
from small_phobert import sentences, write_phobert

ROOT = Path(__file__).parent.parent
_ASKED = 30
_WORDS = 150
_WORKERS = {
    "split": (("ingest", "--concurrency", "4"), ("embed",), ("answers,mail",)),
    "two": (("ingest,embed,answers,mail",),) * 2,
}
_PAGE = 1 << 20


class MemoryWatch:
    """The largest sum of the memory of all processes below this one, in MB, by program."""

    def __init__(self) -> None:
        """Measure nothing yet."""
        self.largest: dict[str, float] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        """Look twice a second until ``end``."""
        while not self._ended.wait(0.5):
            found: dict[str, float] = {}
            for pid in _descendants():
                name, size = _name_of(pid), _pss(pid)
                found[name] = found.get(name, 0.0) + size
            if sum(found.values()) > sum(self.largest.values()):
                self.largest = found

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()


def _descendants() -> list[int]:
    """Return the processes that this one started, and those that they started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, open_pids = [], [int(Path("/proc/self").resolve().name)]
    while open_pids:
        below = children.get(open_pids.pop(), [])
        found += below
        open_pids += below
    return found


def _pss(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) / 1024 if match else 0.0


def _name_of(pid: int) -> str:
    """Return what a process is for."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return "ended"
    line = " ".join(words)
    if "--queues" in words:
        return f"worker {words[words.index('--queues') + 1]}"
    names = {
        " serve": "server",
        "extraction_child": "extraction",
        "qdrant_server": "store",
        "chroma": "store",
        "redis-server": "broker",
        "rabbitmq": "broker",
        "erl_child": "broker",
    }
    return next((name for part, name in names.items() if part in line), words[0].split("/")[-1])


def _disk(folder: Path) -> float:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) / _PAGE


def _packages() -> float:
    """Return the MB of the packages that ``deploy/celery/requirements.txt`` names."""
    total = 0
    for line in (ROOT / "deploy/celery/requirements.txt").read_text("utf-8").splitlines():
        if match := re.match(r"([\w.-]+)==", line):
            try:
                files = importlib.metadata.distribution(match[1]).files or ()
            except importlib.metadata.PackageNotFoundError:
                print(f"not installed here, so not counted: {match[1]}")
                continue
            for file in files:
                path = Path(str(file.locate()))
                total += path.stat().st_size if path.is_file() else 0
    return total / _PAGE


def _texts(documents: int, model: str) -> Iterator[str]:
    """Yield documents with one fact each, and a piece of the manual or made Vietnamese words."""
    if model == "phobert":
        words = " ".join(sentences(2000)).split()
    else:
        words = " ".join(path.read_text("utf-8") for path in ROOT.glob("docs/*.md")).split()
    for number in range(documents):
        start = 37 * number % (len(words) - _WORDS)
        fact = f"The tea of garden {number} is brewed at {40 + number % 60} degrees Celsius."
        yield f"# Garden {number}\n\n{fact}\n\n{' '.join(words[start : start + _WORDS])}\n"


@contextmanager
def _store(kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    folder.mkdir()
    if kind == "chroma":
        with chroma_server(folder) as address:
            yield {"type": "chroma", "uri": address}
    else:
        with qdrant_server(folder) as (address, _):
            yield {"type": "qdrant-server", "uri": address}


def _model(kind: str, folder: Path) -> dict[str, Any]:
    if kind == "default":
        return {"type": "openvino"}
    made = write_phobert(folder, layers=12, entries=64_001, longest=256)
    return {"type": "sentence-transformers", "name": str(made)}


def measure(broker: str, store: str, model: str, workers: str, documents: int) -> None:
    """Run the stack once and print what was measured."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as opened:
        folder = Path(place)
        embedding_model = _model(model, folder / "model")
        data = folder / "stack"
        data.mkdir()
        url = opened.enter_context(own_broker(broker)).url
        vectordb = opened.enter_context(_store(store, folder / "store"))
        rag = {"vectordb": vectordb, "embedding_model": embedding_model, "ingest": {"workers": 1}}
        watch = MemoryWatch()
        threading.Thread(target=watch.run, daemon=True).start()
        stack = opened.enter_context(CeleryStack(data, url, "", rag=rag, launch=launch))
        for queues in _WORKERS[workers]:
            stack.worker("--queues", *queues).wait_until_ready(300)
        begun = time.perf_counter()
        for number, text in enumerate(_texts(documents, model)):
            stack.upload(f"garden{number}.md", text)
        uploaded = time.perf_counter() - begun
        wait_for(lambda: _done(stack)["done"] >= documents, 3600, 1.0)
        indexed = time.perf_counter() - begun
        right, spent = 0, []
        for number in range(0, documents, max(1, documents // _ASKED)):
            asked = time.perf_counter()
            answer = stack.ask(f"At how many degrees is the tea of garden {number} brewed?")
            spent.append(time.perf_counter() - asked)
            right += f"brewed at {40 + number % 60} degrees" in answer
        watch.end()
        sizes = {name: _disk(folder / name) for name in ("stack", "store")}
        if model == "phobert":
            sizes["model"] = _disk(Path(embedding_model["name"]))
        states = _done(stack)
    assert states["done"] == documents and not states["failed"], states
    spent.sort()
    print(
        f"{broker}, {store}, {model} model: {documents} documents uploaded in {uploaded:.1f} s, "
        f"indexed in {indexed:.1f} s; answers right: {right} of {len(spent)}, median "
        f"{spent[len(spent) // 2]:.2f} s, longest {spent[-1]:.2f} s"
    )
    total = sum(watch.largest.values())
    parts = sorted(watch.largest.items(), key=lambda each: -each[1])
    print(f"memory (PSS), at most: {total:.0f} MB: " + _listed(parts))
    sizes["packages"] = _packages()
    print(f"disk: {sum(sizes.values()):.0f} MB: " + _listed(sizes.items()), flush=True)


def _listed(parts: Any) -> str:
    return ", ".join(f"{name} {size:.0f}" for name, size in parts)


def _done(stack: CeleryStack) -> dict[str, int]:
    """Return the number of documents by state, without the tasks of their chunks."""
    found = {"done": 0, "failed": 0, "waiting": 0, "running": 0, "cancelled": 0}
    for job in stack.jobs():
        found[job["state"]] += job["task"] == "ingest_upload"
    return found


def main() -> None:
    """Run it with the chosen parts."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--broker", choices=BROKERS, default="redis")
    parser.add_argument("--store", choices=("chroma", "qdrant"), default="chroma")
    parser.add_argument("--model", choices=("default", "phobert"), default="default")
    parser.add_argument("--workers", choices=tuple(_WORKERS), default="split")
    parser.add_argument("--documents", type=int, default=300)
    chosen = parser.parse_args()
    measure(chosen.broker, chosen.store, chosen.model, chosen.workers, chosen.documents)


if __name__ == "__main__":
    main()
