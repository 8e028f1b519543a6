"""Compares the stores that run in the process: quality, ingest rate, latency and memory.

    python bench/stores.py                          20,000 chunks in Qdrant, Milvus Lite, Chroma
    python bench/stores.py --chunks 5000 --stores qdrant,chroma --json
    python bench/stores.py --write                  puts the table into the manual, too

Quality is nDCG@10 of hybrid retrieval on XQuAD, with the default splitter and model; it must not
depend on the store. All else is measured on the chunks of ``corpus``: filling a store in one
process and asking it in another, so that the memory is that of the store, Python and numpy.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from corpus import DIMENSION, QUERIES, Corpus, latency, memory
from kvasir.answering.retrieval import Retriever
from kvasir.core.filters import Comparison
from kvasir.core.protocols import Candidate, Optimizable
from kvasir.core.registry import build
from kvasir.core.types import Chunk, Matrix, SearchRequest
from kvasir.evaluation.datasets import load_dataset
from kvasir.evaluation.retrieval import evaluate_retrieval
from tables import milliseconds, put, table

ROOT = Path(__file__).resolve().parent.parent
DATASETS = ROOT.parent / "shared" / "data" / "retrieval"
PAGE = ROOT / "docs" / "stores.md"
MARKER = "store-comparison"
TITLES = {"qdrant": "Qdrant Edge", "milvuslite": "Milvus Lite", "chroma": "Chroma"}
LEGS = ("dense_ms", "filtered_ms", "hybrid_ms")
LANGUAGES = ("en", "es", "vi", "zh")
MOST_WORSE = 0.01
"""nDCG@10 that a store may be behind the default one."""


class GivenVectors:
    """Stands for an embedder: queries have the vectors that they were made with."""

    name, fingerprint, languages = "given", "", ("en",)
    dimension = DIMENSION

    def __init__(self, texts: Sequence[str], vectors: Matrix) -> None:
        self._known = dict(zip(texts, vectors, strict=True))

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return the given vectors."""
        return np.stack([self._known[text] for text in texts])

    embed_queries = embed_documents


class EmbeddedOnce:
    """The default embedder, asked for each text once: every store is given the same vectors."""

    def __init__(self) -> None:
        self._inner = build("embedders", "openvino", {})
        self.name, self.dimension = self._inner.name, self._inner.dimension
        self.fingerprint, self.languages = self._inner.fingerprint, self._inner.languages
        self.max_tokens, self.count_tokens = self._inner.max_tokens, self._inner.count_tokens
        self._known: dict[tuple[str, str], Any] = {}

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors of passages."""
        return self._embed("embed_documents", texts)

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors of questions."""
        return self._embed("embed_queries", texts)

    def _embed(self, kind: str, texts: Sequence[str]) -> Matrix:
        new = [text for text in dict.fromkeys(texts) if (kind, text) not in self._known]
        if new:
            vectors = getattr(self._inner, kind)(new)
            self._known.update(((kind, t), v) for t, v in zip(new, vectors, strict=True))
        return np.stack([self._known[kind, text] for text in texts])


def open_store(kind: str, folder: Path, dimension: int = DIMENSION) -> Any:
    """Open a store's collection in a folder."""
    return build(
        "stores",
        kind,
        {"uri": str(folder / ("store.db" if kind == "milvuslite" else "store"))},
        {
            "collection": "bench",
            "dimension": dimension,
            "analyzer": build("analyzers", "bm25", {}),
        },
    )


def fill(kind: str, folder: Path, size: int) -> dict[str, Any]:
    """Fill a store; embedding is not part of it."""
    corpus, spent = Corpus(size), 0.0
    with closing(open_store(kind, folder)) as store:
        for chunks, vectors in corpus.batches():
            start = time.perf_counter()
            store.upsert(chunks, vectors)
            spent += time.perf_counter() - start
        start = time.perf_counter()
        if isinstance(store, Optimizable):
            store.optimize(wait=True)
        waited = time.perf_counter() - start
        used = memory()
    return {
        "insert_per_s": round(size / spent),
        "graph_s": round(waited, 1),
        "fill_peak_mb": used["peak"],
        "disk_mb": sum(p.stat().st_blocks * 512 for p in folder.rglob("*")) // 2**20,
    }


def ask(kind: str, folder: Path, size: int, calls: int) -> dict[str, Any]:
    """Open a filled store and ask it."""
    vectors, texts = Corpus(size).queries()
    before = memory()
    start = time.perf_counter()
    with closing(open_store(kind, folder)) as store:
        opening = time.perf_counter() - start
        start = time.perf_counter()
        store.search_hybrid(vectors[:1], texts[:1], ["en"], 10)
        first = time.perf_counter() - start
        retriever = Retriever(GivenVectors(texts, vectors), store, languages=["en"], language="en")
        spanish = Comparison("language", "==", "es")

        def read(found: list[list[Candidate]]) -> list[Chunk]:
            return store.fetch_chunks([candidate.chunk_id for candidate in found[0]])

        legs = {
            "dense_ms": latency(lambda i: read(store.search(vectors[i : i + 1], 10)), calls),
            "filtered_ms": latency(
                lambda i: read(store.search(vectors[i : i + 1], 10, spanish)), calls
            ),
            "hybrid_ms": latency(lambda i: retriever.retrieve(SearchRequest(texts[i])), calls),
        }
        used = memory()
    return {
        "open_s": round(opening, 2),
        "first_lexical_s": round(first, 2),
        **legs,
        "memory_mb": used["own"],
        "mapped_mb": used["mapped"],
        "memory_before_mb": before["own"],
    }


def quality(kinds: Sequence[str], folder: Path, languages: Sequence[str]) -> dict[str, Any]:
    """Return nDCG@10 by store and language."""
    embedder = EmbeddedOnce()
    splitter = build("splitters", "structure", {}, {"embedder": embedder})
    datasets = {language: load_dataset(folder / f"xquad-{language}") for language in languages}
    found: dict[str, dict[str, float]] = {kind: {} for kind in kinds}
    for kind in kinds:
        for language, dataset in datasets.items():
            with tempfile.TemporaryDirectory(prefix="kvasir-bench-") as place:
                result = evaluate_retrieval(
                    [dataset],
                    embedder,
                    partial(open_store, kind, Path(place), embedder.dimension),
                    splitter,
                )
            found[kind][language] = round(result.datasets[0].metrics["ndcg@10"], 4)
    return found


def run(kinds: Sequence[str], size: int, languages: Sequence[str], calls: int) -> dict[str, Any]:
    """Measure all stores, each in processes of its own."""
    stores: dict[str, Any] = {}
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="kvasir-bench-") as place:
            stores[kind] = _child("fill", kind, place, size) | _child(
                "ask", kind, place, size, calls
            )
    if languages and DATASETS.is_dir():
        for kind, figures in _child("quality", ",".join(kinds), ",".join(languages)).items():
            stores[kind]["ndcg@10"] = figures
    return {"chunks": size, "stores": stores, "behind": behind(stores)}


def behind(stores: dict[str, Any]) -> dict[str, float]:
    """Return how far each store is behind the default one, in its worst language."""
    first = stores.get("qdrant", {}).get("ndcg@10", {})
    return {
        kind: round(max(first[lang] - value for lang, value in row["ndcg@10"].items()), 4)
        for kind, row in stores.items()
        if first and kind != "qdrant" and "ndcg@10" in row
    }


def _child(*arguments: object) -> Any:
    command = [sys.executable, __file__, "--part", *map(str, arguments)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(said.stdout.splitlines()[-1])


def part(arguments: list[str]) -> Any:
    """Do what a child process is for."""
    name, *rest = arguments
    if name == "quality":
        kinds, languages = rest
        return quality(kinds.split(","), DATASETS, languages.split(","))
    kind, place, size, *calls = rest
    if name == "fill":
        return fill(kind, Path(place), int(size))
    return ask(kind, Path(place), int(size), int(calls[0]))


def render(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    rows, scores = [], []
    for kind, row in figures["stores"].items():
        title = TITLES.get(kind, kind)
        rows.append(
            [
                title,
                f"{row['insert_per_s']:,}",
                *(milliseconds(row[leg]) for leg in LEGS),
                row["first_lexical_s"],
                f"{row['memory_mb']} + {row['mapped_mb']}",
                row["fill_peak_mb"],
                row["disk_mb"],
                row["open_s"],
            ]
        )
        if "ndcg@10" in row:
            scores.append([title, *(f"{value:.4f}" for value in row["ndcg@10"].values())])
    heads = ["store", "chunks/s", "by meaning ms", "filtered ms", "hybrid ms"]
    heads += ["first keyword s", "memory MB", "peak MB", "disk MB", "opening s"]
    text = (
        f"{figures['chunks']:,} chunks of 60 words, vectors of 384 numbers. Writing in chunks a\n"
        "second, without embedding; one search for the best ten as p50 / p99 in milliseconds,\n"
        "without embedding the question, filtered being by meaning in a quarter of the chunks;\n"
        "the first keyword search after a start; memory of the whole process while searching (its\n"
        "own, and mapped files) and its peak while writing; opening with loading the library.\n\n"
        + table(heads, rows)
    )
    if scores:
        languages = next(iter(figures["stores"].values()))["ndcg@10"]
        text += (
            "\nThe answers do not depend on the store. nDCG@10 of hybrid retrieval on XQuAD:\n\n"
        )
        text += table(["store", *languages], scores)
    return text


def main() -> int:
    """Read the arguments and measures; 1 when a store is behind in quality."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--stores", default=",".join(TITLES))
    parser.add_argument("--languages", default=",".join(LANGUAGES), help="of XQuAD; '' for none")
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--quick", action="store_true", help="1,000 chunks, 20 queries, English")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the table into the manual")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(part(given.part)))
        return 0
    if given.quick:
        given.chunks, given.languages, given.queries = 1000, "en", 20
    languages = [language for language in given.languages.split(",") if language]
    figures = run(given.stores.split(","), given.chunks, languages, given.queries)
    print(json.dumps(figures, indent=1) if given.json else render(figures))
    if given.write and not put(PAGE, MARKER, render(figures)):
        sys.exit(f"{PAGE} has no place for the table: <!-- {MARKER} --> ... <!-- /{MARKER} -->")
    return 1 if max(figures["behind"].values(), default=0.0) > MOST_WORSE else 0


if __name__ == "__main__":
    sys.exit(main())
