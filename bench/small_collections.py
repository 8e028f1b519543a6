"""Measures how often the right passage comes first, in collections of a few passages and of all.

    python bench/small_collections.py FOLDER ...          data sets in BEIR's layout
    python bench/small_collections.py FOLDER --questions 300 --sizes 2,5,20,60,0

Each question searches a collection of a few passages of its set, the right one among them: half of
the time with its neighbours in the file, else with others by chance (0: all passages). The figures
are the share of questions with the right passage first, by each leg alone and by both, and nDCG@10
of both. Retriever, embedder and analyzer are those of users; a matrix stands in for the store.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from kvasir.answering.retrieval import Retriever
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.filters import Filter
from kvasir.core.protocols import Candidate
from kvasir.core.registry import build
from kvasir.core.scoring import dense_scores, inverse_document_frequency
from kvasir.core.types import Chunk, Matrix, SearchRequest, chunk_id, document_id
from kvasir.evaluation.datasets import RetrievalDataset, load_dataset
from kvasir.language.detect import detect

_LEGS = {"dense": 1.0, "bm25": 0.0, "both": None}


def main() -> None:
    """Print a row for each data set and size; write them as JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--sizes", default="2,5,20,60,0")
    parser.add_argument("--questions", type=int, default=0, help="of each set; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    rows = []
    print("| set | passages | questions | dense first | bm25 first | both first | nDCG@10 |")
    print("|" + "---|" * 7)
    for folder in arguments.folders:
        for row in measure(load_dataset(folder), sizes, arguments.questions, arguments.seed):
            rows.append(row)
            print("| " + " | ".join(_shown(value) for value in row.values()) + " |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def measure(
    dataset: RetrievalDataset, sizes: Sequence[int], questions: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield the figures of each size."""
    language = detect(" ".join(passage.text for passage in dataset.passages[:20]))
    collection = Passages(dataset, language)
    embedder = GivenQueries([query.text for query in dataset.queries])
    retrievers = {
        name: Retriever(embedder, collection, languages=[language], alpha=alpha)
        for name, alpha in _LEGS.items()
    }
    places = {passage.id: place for place, passage in enumerate(dataset.passages)}
    for size in sizes:
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(len(dataset.queries))[: questions or None]
        ranks: dict[str, list[int]] = {name: [] for name in _LEGS}
        for number in chosen.tolist():
            query = dataset.queries[number]
            right = places[next(iter(dataset.qrels[query.id]))]
            collection.keep(_sample(rng, right, size, len(places)))
            for name, retriever in retrievers.items():
                hits = retriever.retrieve(SearchRequest(query.text, top_k=10))
                found = [collection.places[hit.chunk.id] for hit in hits]
                ranks[name].append(found.index(right) if right in found else 10)
        gains = [1.0 / np.log2(rank + 2) if rank < 10 else 0.0 for rank in ranks["both"]]
        first = {name: float(np.mean(np.array(each) == 0)) for name, each in ranks.items()}
        yield {
            "set": dataset.name,
            "passages": size or len(places),
            "questions": len(chosen),
            **first,
            "ndcg": float(np.mean(gains)),
        }


def _sample(rng: np.random.Generator, right: int, size: int, total: int) -> list[int]:
    """Return the rows of a collection with the right passage."""
    if not 0 < size < total:
        return list(range(total))
    if rng.random() < 0.5:
        start = min(max(0, right - int(rng.integers(size))), total - size)
        return list(range(start, start + size))
    others = rng.choice(np.delete(np.arange(total), right), size - 1, replace=False)
    return sorted([right, *others.tolist()])


class GivenQueries:
    """The default embedder, which has embedded the questions already."""

    def __init__(self, texts: Sequence[str]) -> None:
        model = build("embedders", "openvino", {})
        self.name, self.dimension = model.name, model.dimension
        self.fingerprint, self.languages = model.fingerprint, model.languages
        self.embed_documents = model.embed_documents
        self._embed_queries = model.embed_queries
        self._vectors = dict(zip(texts, model.embed_queries(texts), strict=True))

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors; texts that are not known are embedded."""
        if all(text in self._vectors for text in texts):
            return np.stack([self._vectors[text] for text in texts])
        return np.asarray(self._embed_queries(texts))


class Passages:
    """A store of a data set's passages, of which only some are searched."""

    def __init__(self, dataset: RetrievalDataset, language: str) -> None:
        self._analyzer = Bm25Analyzer()
        self._chunks = []
        for passage in dataset.passages:
            document, heading = document_id(passage.id), (passage.title,) if passage.title else ()
            text, end = passage.text, len(passage.text)
            identity = chunk_id(document, text, 0, end)
            about = {"language": language, "source_uri": passage.id}
            self._chunks.append(
                Chunk(identity, document, text, 0, end, headings=heading, metadata=about)
            )
        texts = [chunk.passage for chunk in self._chunks]
        model = build("embedders", "openvino", {})
        self.dimension = model.dimension
        self._vectors = model.embed_documents(texts)
        terms = self._analyzer.document_terms(texts, [language] * len(texts))
        self._terms = [dict(zip(t.indices.tolist(), t.values.tolist(), strict=True)) for t in terms]
        self.places = {chunk.id: place for place, chunk in enumerate(self._chunks)}
        self.keep(list(range(len(texts))))

    def keep(self, rows: list[int]) -> None:
        """Search only these passages from now on."""
        self._rows = rows

    def search(
        self, vectors: Matrix, top_k: int, filters: Filter | None = None
    ) -> list[list[Candidate]]:
        """Return the nearest passages of each query vector."""
        return [self._candidates(vector, {}, top_k) for vector in vectors]

    def search_hybrid(
        self,
        vectors: Any,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Candidate]]:
        """Return for each query the passages that either leg finds."""
        vectors = vectors if isinstance(vectors, np.ndarray) else vectors.result()
        found = self._analyzer.query_terms(queries, languages)
        return [
            self._candidates(vector, self._bm25(terms.indices.tolist()), top_k)
            for vector, terms in zip(vectors, found, strict=True)
        ]

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return passages by id."""
        return [self._chunks[self.places[each]] for each in ids]

    def _bm25(self, terms: Sequence[int]) -> dict[int, float]:
        scores: dict[int, float] = {}
        for term in terms:
            held = [row for row in self._rows if term in self._terms[row]]
            rarity = inverse_document_frequency(len(self._rows), len(held))
            for row in held:
                scores[row] = scores.get(row, 0.0) + rarity * self._terms[row][term]
        return scores

    def _candidates(self, vector: Matrix, words: dict[int, float], top_k: int) -> list[Candidate]:
        dense = dict(
            zip(self._rows, dense_scores(self._vectors[self._rows] @ vector).tolist(), strict=True)
        )
        best = sorted(words, key=lambda row: -words[row])[:top_k]
        nearest = sorted(dense, key=lambda row: -dense[row])[:top_k]
        lexical = {row: words[row] for row in best}
        return [
            Candidate(self._chunks[row].id, dense[row], lexical.get(row))
            for row in dict.fromkeys([*nearest, *best])
        ]


if __name__ == "__main__":
    main()
