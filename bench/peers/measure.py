"""Measures one library in its own environment; ``run.py`` starts it.

    python measure.py NAME MODEL_FOLDER DATA.json RESULT.json

It imports nothing of Kvasir, unless NAME is ``kvasir``. A ``Peer`` indexes passages and returns the
ids of the best ones, by both legs where the library has both, with what its own pages recommend for
a small collection on one machine.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Protocol

WARM_UP = 20
_LOOK, _STOPPED = 0.02, 2.0
TOP = 10


class Peer(Protocol):
    """What ``peers/*_peer.py`` has a class of."""

    note: str

    def __init__(self, model: str, folder: str) -> None: ...

    def load(self) -> None: ...

    def ingest(self, passages: dict[str, str]) -> None: ...

    def search(self, question: str) -> list[str]: ...


class Clock(threading.Thread):
    """Seconds that pass, without those in which the whole process was stopped (SIGSTOP)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._stopped = 0.0
        self.start()

    def run(self) -> None:
        """Look at the time; what is missing was no work of ours."""
        last = time.perf_counter()
        while True:
            time.sleep(_LOOK)
            now = time.perf_counter()
            if now - last > _STOPPED:
                self._stopped += now - last
            last = now

    def now(self) -> float:
        """Return the time."""
        return time.perf_counter() - self._stopped


def ndcg(found: list[str], right: dict[str, int]) -> float:
    """Return nDCG@10 as trec_eval computes it."""
    ranked = list(dict.fromkeys(found))[:TOP]
    gain = sum(right.get(each, 0) / math.log2(rank + 2) for rank, each in enumerate(ranked))
    best = sorted(right.values(), reverse=True)[:TOP]
    return gain / sum(each / math.log2(rank + 2) for rank, each in enumerate(best))


def processor_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def memory_mb() -> float:
    """Return the most memory of this process, and of its largest child, in MB."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024


def main() -> None:
    """Measure and write the figures."""
    name, model, data, result = sys.argv[1:]
    given = json.loads(Path(data).read_text("utf-8"))
    clock = Clock()
    began = clock.now()
    peer: Peer = importlib.import_module(f"{name}_peer").Peer(model, f"{result}.d")
    peer.load()
    started = clock.now() - began
    began, processor = clock.now(), processor_seconds()
    peer.ingest(given["passages"])
    ingest, ingest_cpu = clock.now() - began, processor_seconds() - processor
    questions = list(given["questions"].items())
    for _, text in questions[:WARM_UP]:
        peer.search(text)
    times, scores = [], []
    processor = time.process_time()
    for number, text in questions:
        asked = clock.now()
        found = peer.search(text)
        times.append(clock.now() - asked)
        scores.append(ndcg(found, given["right"][number]))
    search_cpu = (time.process_time() - processor) / len(times)
    times.sort()
    figures = {
        "name": name,
        "note": peer.note,
        "start_s": started,
        "ingest_s": ingest,
        "ingest_cpu_s": ingest_cpu,
        "tokens_per_s": given["tokens"] / ingest,
        "tokens_per_cpu_s": given["tokens"] / ingest_cpu,
        "p50_ms": 1000 * times[len(times) // 2],
        "p95_ms": 1000 * times[int(len(times) * 0.95)],
        "search_cpu_ms": 1000 * search_cpu,
        "memory_mb": memory_mb(),
        "ndcg": sum(scores) / len(scores),
    }
    Path(result).write_text(json.dumps(figures, indent=1), "utf-8")


if __name__ == "__main__":
    main()
