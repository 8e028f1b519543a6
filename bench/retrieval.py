"""How long a search takes, and what it costs: 10,000, 100,000 and 300,000 chunks.

    python bench/retrieval.py [--sizes 10000,100000,300000] [--json FILE] [--candidates N]

Every search is timed whole, through the retriever that users get: telling the language,
embedding the question, both legs, fusion, reading the chunks. The questions are English
sentences; the chunks are 60 words each, drawn from the manual's own vocabulary and, as in
real text, from many rare words. Their vectors are those of 1,000 such texts, each strewn
around: embedding them all would take a quarter of an hour and change nothing here.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# The model runtime has its own threads; a second pool on the same cores costs a factor of ten.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from kvasir.answering.retrieval import CANDIDATES, Retriever
from kvasir.core.registry import build
from kvasir.core.types import Chunk, Comparison, Logical, SearchRequest, chunk_id, document_id

ROOT = Path(__file__).resolve().parent.parent
SIZES = (10_000, 100_000, 300_000)
WORDS = 60
QUERIES = 200
BATCH = 2000


def main() -> None:
    """Measure, print a table, and write the figures as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--candidates", type=int, default=CANDIDATES)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    rows = list(run(sizes, arguments.candidates))
    print(
        "| chunks | insert/s | graph s | hybrid p50 / p99 ms | of it embedding p50 | "
        "dense p50 | filtered p50 | while building p50 / p99 | peak memory | disk |"
    )
    print("|" + "---|" * 10)
    for row in rows:
        print(
            f"| {row['chunks']:,} | {row['insert_per_second']:,.0f} | {row['graph_seconds']:.1f} "
            f"| {row['hybrid_ms']['p50']:.2f} / {row['hybrid_ms']['p99']:.2f} "
            f"| {row['embedding_ms']['p50']:.2f} | {row['dense_ms']['p50']:.2f} "
            f"| {row['filtered_ms']['p50']:.2f} "
            f"| {row['while_building_ms']['p50']:.2f} / {row['while_building_ms']['p99']:.2f} "
            f"| {row['peak_memory_gb']:.2f} GB | {row['disk_mb']:.0f} MB |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def run(sizes: list[int], candidates: int = CANDIDATES) -> Iterator[dict[str, Any]]:
    """Yield the figures of each size; one collection grows through all of them."""
    embedder = build("embedders", "openvino", {})
    text = _Text(seed=0)
    queries = text.queries(QUERIES)
    with tempfile.TemporaryDirectory(prefix="kvasir-bench-") as folder:
        store = build(
            "stores",
            "qdrant",
            {"uri": folder, "collection": "bench"},
            {
                "dimension": embedder.dimension,
                "analyzer": build("analyzers", "bm25", {}),
                "fingerprint": embedder.fingerprint,
            },
        )
        try:
            centres = embedder.embed_documents(text.passages(1000))
            retriever = Retriever(embedder, store, languages=("en",), candidates=candidates)
            dense = Retriever(embedder, store, languages=("en",), candidates=candidates, alpha=1.0)
            held = 0
            for size in sizes:
                inserting = _fill(store, text, centres, held, size)
                store.optimize()  # In the background, as it runs beside a user's searches.
                building, graph_seconds = _search_while(
                    lambda: store.optimize(wait=True), retriever, queries
                )
                yield {
                    "chunks": size,
                    "candidates": candidates,
                    "insert_per_second": (size - held) / inserting,
                    "graph_seconds": graph_seconds,
                    "while_building_ms": building,
                    "embedding_ms": _times(lambda q: embedder.embed_queries([q]), queries),
                    "hybrid_ms": _times(lambda q: retriever.retrieve(SearchRequest(q)), queries),
                    "dense_ms": _times(lambda q: dense.retrieve(SearchRequest(q)), queries),
                    "filtered_ms": _times(
                        lambda q: retriever.retrieve(SearchRequest(q, filters=_SHELF)), queries
                    ),
                    "peak_memory_gb": _peak_memory(),
                    "disk_mb": _disk(Path(folder)) / 1e6,
                }
                held = size
        finally:
            store.close()


class _Text:
    """Makes texts: common words as often as the manual uses them, and many rare ones."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        pages = [*sorted(ROOT.glob("docs/**/*.md")), ROOT / "README.md"]
        prose = " ".join(page.read_text(encoding="utf-8") for page in pages)
        self._common = np.array(re.findall(r"[a-z]{2,}", prose.lower()))
        self._rare = np.array(
            [f"{a}{b}{c}" for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES]
        )

    def passages(self, count: int) -> list[str]:
        words = self._random.choice(self._common, (count, WORDS))
        rare = self._random.choice(self._rare, (count, WORDS))
        mixed = np.where(self._random.random((count, WORDS)) < 0.3, rare, words)
        return [" ".join(row) for row in mixed]

    def queries(self, count: int) -> list[str]:
        found = self._random.choice(self._common, (count, 9))
        return [f"What {' '.join(row)}?" for row in found]

    def strew(self, centres: Any, count: int) -> Any:
        chosen = centres[self._random.integers(0, len(centres), count)]
        noise = self._random.normal(size=chosen.shape).astype(np.float32)
        vectors = chosen + noise * (0.7 / np.sqrt(chosen.shape[1]))
        return np.asarray(
            vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32
        )


_SHELF = Logical("OR", (Comparison("shelf", "==", "7"), Comparison("shelf", "==", 7)))
_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


def _fill(store: Any, text: _Text, centres: Any, held: int, size: int) -> float:
    """Grows the collection to a size; returns the seconds that the store took."""
    seconds = 0.0
    for start in range(held, size, BATCH):
        count = min(BATCH, size - start)
        vectors = text.strew(centres, count)
        chunks = [
            _chunk(start + number, passage) for number, passage in enumerate(text.passages(count))
        ]
        begin = time.perf_counter()
        store.upsert(chunks, vectors)
        seconds += time.perf_counter() - begin
    return seconds


def _chunk(number: int, passage: str) -> Chunk:
    document = document_id(f"/bench/{number // 20}.txt")
    metadata = {"language": "en", "shelf": str(number % 100), "number": number}
    return Chunk(
        chunk_id(document, passage, 0, len(passage)),
        document,
        passage,
        0,
        len(passage),
        metadata=metadata,
    )


def _search_while(
    work: Callable[[], None], retriever: Retriever, queries: list[str]
) -> tuple[dict[str, float], float]:
    """Search until the work, in a thread, is done; return the times and its seconds."""
    begin = time.perf_counter()
    times: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        while not working.done() or not times:
            started = time.perf_counter()
            retriever.retrieve(SearchRequest(queries[len(times) % len(queries)]))
            times.append(time.perf_counter() - started)
            time.sleep(0.01)
        working.result()
    return _summary(times), time.perf_counter() - begin


def _times(search: Callable[[str], object], queries: list[str]) -> dict[str, float]:
    for query in queries[:20]:
        search(query)
    times = []
    for query in queries:
        started = time.perf_counter()
        search(query)
        times.append(time.perf_counter() - started)
    return _summary(times)


def _summary(seconds: list[float]) -> dict[str, float]:
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3), "searches": len(seconds)}


def _peak_memory() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def _disk(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
