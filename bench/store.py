"""Measures the default store: insert rate, latency, recall, memory, disk, renewing the graph.

    python bench/store.py                        10,000, 100,000 and 300,000 chunks
    python bench/store.py 20000 --json out.json
    python bench/store.py 20000 --fresh          build the collection anew

Vectors are 384-dimensional around cluster centres, texts have 60 words of a Zipf distribution.
Collections are kept under ``bench/work``. Every size is measured in a process of its own, so
that the memory is that of the store, Python and numpy.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from corpus import (
    DIMENSION,
    QUERIES,
    Corpus,
    latency,
    make_chunk,
    memory,
    percentiles,
    timed,
)
from kvasir.answering.ranking import fuse
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.core.filters import Comparison, Filter, matches
from kvasir.core.protocols import Candidate
from kvasir.core.types import Chunk, Matrix

WORK = Path(__file__).parent / "work"


def build(corpus: Corpus, home: Path) -> dict[str, Any]:
    """Fill a collection and renews its graph under queries."""
    shutil.rmtree(home, ignore_errors=True)
    store = QdrantStore(str(home), "bench", DIMENSION, Bm25Analyzer())
    spent = 0.0
    for chunks, vectors in corpus.batches():
        start = time.perf_counter()
        store.upsert(chunks, vectors)
        spent += time.perf_counter() - start
    vectors, texts = corpus.queries()
    scan = latency(lambda i: hybrid(store, vectors[i], texts[i]), 50)
    started, seconds = time.perf_counter(), []
    store.optimize()
    waiting = threading.Thread(target=store.optimize, kwargs={"wait": True})
    waiting.start()
    while waiting.is_alive() or not seconds:
        i = len(seconds) % QUERIES
        seconds.append(timed(lambda i: hybrid(store, vectors[i], texts[i]), i))
        time.sleep(0.02)
    took = time.perf_counter() - started
    store.close()
    return {
        "insert_per_s": round(corpus.size / spent),
        "hybrid_without_graph_ms": scan,
        "graph_s": round(took, 1),
        "hybrid_while_building_ms": {**percentiles(seconds), "queries": len(seconds)},
    }


def hybrid(store: QdrantStore, vector: Matrix, text: str) -> list[Chunk]:
    """Both legs of 100, fused by convex combination, and the best ten chunks."""
    (found,) = store.search_hybrid(vector[None], [text], ["en"], 100)
    dense = np.array([candidate.dense_score for candidate in found])
    lexical = np.array([candidate.lexical_score or 0.0 for candidate in found])
    best = np.argsort(-fuse(dense, lexical, 0.5), kind="stable")[:10]
    return store.fetch_chunks([found[i].chunk_id for i in best])


def chunks_of(store: QdrantStore, found: list[Candidate]) -> list[Chunk]:
    """Read the chunks of candidates."""
    return store.fetch_chunks([candidate.chunk_id for candidate in found])


def measure(corpus: Corpus, home: Path) -> dict[str, Any]:
    """Open a filled collection and ask it."""
    vectors, texts = corpus.queries()
    before = memory()
    start = time.perf_counter()
    store = QdrantStore(str(home), "bench", DIMENSION, Bm25Analyzer())
    opened = time.perf_counter() - start
    queries = {
        f"{name} {depth}": latency(call)
        for depth in (10, 30, 100)
        for name, call in _legs(store, vectors, texts, depth).items()
    }
    queries["hybrid 100 + 100, best 10 read"] = latency(
        lambda i: hybrid(store, vectors[i], texts[i])
    )
    filters: dict[str, Filter] = {
        "language == (a quarter)": Comparison("language", "==", "es"),
        "year == (0.8 %)": Comparison("year", "==", 1950),
        "source_uri == (20 chunks)": Comparison(
            "source_uri", "==", make_chunk(40, "").metadata["source_uri"]
        ),
        "part < 2 (a tenth)": Comparison("part", "<", 2),
        "part >= 10 (half)": Comparison("part", ">=", 10),
    }
    for name, condition in filters.items():
        queries[f"dense 10, {name}"] = latency(
            lambda i, c=condition: chunks_of(store, store.search(vectors[i : i + 1], 10, c)[0])
        )
    used = memory()
    result = {
        "open_s": round(opened, 3),
        "queries_ms": queries,
        "memory_mb": {**used, "own_before_opening": before["own"]},
        "disk_mb": sum(p.stat().st_blocks * 512 for p in home.rglob("*")) // 2**20,
        "recall_at_10": recall(corpus, store, vectors, filters),
    }
    store.close()
    return result


def _legs(
    store: QdrantStore, vectors: Matrix, texts: list[str], depth: int
) -> dict[str, Callable[[int], Any]]:
    def both(i: int) -> list[Candidate]:
        return store.search_hybrid(vectors[i : i + 1], [texts[i]], ["en"], depth)[0]

    return {
        "dense, ids": lambda i: store.search(vectors[i : i + 1], depth),
        "dense, chunks": lambda i: chunks_of(store, store.search(vectors[i : i + 1], depth)[0]),
        "both, ids": both,
        "both, chunks": lambda i: chunks_of(store, both(i)),
    }


def recall(
    corpus: Corpus, store: QdrantStore, queries: Matrix, filters: dict[str, Filter]
) -> dict[str, float]:
    """Return the share of the ten truly nearest chunks that the store finds."""
    keep: dict[str, Callable[[Chunk], bool]] = {
        "all": lambda chunk: True,
        **{name: _fulfils(condition) for name, condition in filters.items()},
    }
    best: dict[str, list[tuple[np.ndarray, list[str]]]] = {name: [] for name in keep}
    for chunks, vectors in corpus.batches():
        scores = queries @ vectors.T
        for name, fulfils in keep.items():
            columns = [i for i, chunk in enumerate(chunks) if fulfils(chunk)]
            best[name].append((scores[:, columns], [chunks[i].id for i in columns]))
    result = {}
    for name, parts in best.items():
        scores = np.concatenate([part for part, _ in parts], axis=1)
        ids = np.array([point_id for _, names in parts for point_id in names])
        top = np.argsort(-scores, axis=1)[:, :10]
        found = store.search(queries, 10, filters.get(name))
        same = [
            len({*ids[row]} & {candidate.chunk_id for candidate in ranking})
            for row, ranking in zip(top, found, strict=True)
        ]
        result[name] = round(sum(same) / top.size, 4)
    return result


def _fulfils(condition: Filter) -> Callable[[Chunk], bool]:
    return lambda chunk: matches(condition, chunk.metadata)


def one_size(size: int, fresh: bool) -> dict[str, Any]:
    """Measure one size; the part about building is kept with the collection."""
    home, corpus = WORK / f"store-{size}", Corpus(size)
    built = home / "built.json"
    if fresh or not built.exists():
        # A process of its own, for the memory of what comes after.
        subprocess.run([sys.executable, __file__, str(size), "--build"], check=True)
    return {"chunks": size, **json.loads(built.read_text()), **measure(corpus, home)}


def show(result: dict[str, Any]) -> None:
    """Print one size as a table."""
    print(f"\n{result['chunks']:,} chunks")
    for key in ("insert_per_s", "graph_s", "open_s", "disk_mb"):
        print(f"  {key:44} {result[key]:>10}")
    print("  memory_mb", result["memory_mb"])
    print(f"  {'latency, ms':44} {'p50':>8} {'p99':>8} {'max':>8}")
    rows = {
        "hybrid without a graph": result["hybrid_without_graph_ms"],
        "hybrid while the graph is built": result["hybrid_while_building_ms"],
        **result["queries_ms"],
    }
    for name, row in rows.items():
        print(f"  {name:44} {row['p50']:8.2f} {row['p99']:8.2f} {row['max']:8.1f}")
    for name, value in result["recall_at_10"].items():
        print(f"  {'recall@10, ' + name:44} {value:8.4f}")


def main() -> None:
    """Read the arguments and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", type=int, nargs="*", default=[10_000, 100_000, 300_000])
    parser.add_argument("--fresh", action="store_true", help="build the collections anew")
    parser.add_argument("--json", type=Path, help="write the results to this file too")
    parser.add_argument("--build", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    if given.build:
        home = WORK / f"store-{given.sizes[0]}"
        built = build(Corpus(given.sizes[0]), home)
        (home / "built.json").write_text(json.dumps(built))
        return
    if given.one:
        json.dump(one_size(given.sizes[0], given.fresh), sys.stdout)
        return
    results = []
    for size in given.sizes:
        command = [sys.executable, __file__, str(size), "--one"]
        said = subprocess.run(
            command + ["--fresh"] * given.fresh, check=True, stdout=subprocess.PIPE
        )
        results.append(json.loads(said.stdout))
        show(results[-1])
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
