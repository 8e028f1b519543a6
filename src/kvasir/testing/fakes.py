"""Small, exact components for tests: no model, no files, the same results every time.

``MemoryStore`` scans every chunk with ``core.filters.matches`` and the plain BM25 formula.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kvasir.components.stores.database_store import ClientStore, Scores, check_vectors
from kvasir.components.stores.hybrid import resolved
from kvasir.core.filters import Filter, matches
from kvasir.core.protocols import Candidate, PendingVectors, TextAnalyzer
from kvasir.core.scoring import inverse_document_frequency
from kvasir.core.text import CJK
from kvasir.core.types import Chunk, Matrix, Metadata, Prompt, SparseVector

_TERMS = re.compile(rf"[{CJK}]|[^\W_]+")


def terms(text: str) -> list[str]:
    """Return the words of a text, case folded; each Chinese or Japanese character is a word."""
    return _TERMS.findall(text.casefold())


class FakeEmbedder:
    """Hashes words into a vector: texts that share words are near, without a model.

    Attributes:
        embedded: How many document texts were embedded so far.
    """

    def __init__(
        self, dimension: int = 64, max_tokens: int = 256, languages: Collection[str] = ("en",)
    ) -> None:
        self.name = "fake"
        self.dimension = dimension
        self.fingerprint = f"fake-{dimension}"
        self.languages = languages
        self.max_tokens = max_tokens
        self.embedded = 0

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        self.embedded += len(texts)
        return self.embed_queries(texts)

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in terms(text):
                row[zlib.crc32(word.encode()) % self.dimension] += 1.0
            if not row.any():
                row[0] = 1.0
            row /= np.linalg.norm(row)
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(terms(text)) + 2 for text in texts]


class FakeAnalyzer:
    """BM25 term weights of plain words, whatever the language: no stemming, no stop words."""

    def __init__(self, k1: float = 1.2, b: float = 0.75, average_length: float = 256.0) -> None:
        self._k1, self._b, self._average_length = k1, b, average_length

    def document_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        return [self._weights(terms(text)) for text in texts]

    def query_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        found = [_term_ids(terms(text)) for text in texts]
        return [SparseVector(ids, np.ones(len(ids), dtype=np.float32)) for ids, _ in found]

    def _weights(self, words: list[str]) -> SparseVector:
        ids, counts = _term_ids(words)
        length = 1 - self._b + self._b * len(words) / self._average_length
        values = counts * (self._k1 + 1) / (counts + self._k1 * length)
        return SparseVector(ids, values.astype(np.float32))


def _term_ids(words: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    ids = np.array([zlib.crc32(word.encode()) for word in words], dtype=np.uint32)
    return np.unique(ids, return_counts=True)


class FakeGenerator:
    """Quotes the first sentence of the best hit, word by word."""

    def generate(self, prompt: Prompt) -> Iterator[str]:
        """Yield the sentence in pieces and the marker ``[1]``; nothing without hits."""
        if not prompt.hits:
            return
        sentence = re.split(r"(?<=[.!?。！？])\s*", prompt.hits[0].chunk.text.strip())[0]
        for word in sentence.split():
            yield word + " "
        yield "[1]"


@dataclass(slots=True)
class _StoredCollection:
    """The contents of a collection, which outlive the store."""

    dimension: int
    fingerprint: str
    chunks: dict[str, Chunk] = field(default_factory=dict)
    vectors: dict[str, Matrix] = field(default_factory=dict)
    terms: dict[str, SparseVector] = field(default_factory=dict)


class MemoryStore(ClientStore):
    """Keeps a collection in the process and searches it by scanning everything.

    Collections of the same ``uri`` outlive the object, so that a store can be reopened;
    without a ``uri`` each store is alone.
    """

    name = "memory"
    _errors = ()
    _collections: ClassVar[dict[tuple[str, str], _StoredCollection]] = {}
    _collections_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(
        self,
        uri: str = "",
        collection: str = "kvasir",
        dimension: int = 64,
        analyzer: TextAnalyzer | None = None,
        fingerprint: str = "",
    ) -> None:
        super().__init__(collection, dimension, analyzer or FakeAnalyzer())
        self._lock = threading.RLock()
        new = _StoredCollection(dimension, fingerprint)
        with self._collections_lock:
            stored = self._collections.setdefault((uri, collection), new) if uri else new
        self._check_maker(stored.fingerprint, stored.dimension, fingerprint)
        self._stored = stored
        self._key = (uri, collection)

    def _drop(self) -> None:
        self._check_open("deleting the collection")
        with self._collections_lock:
            self._collections.pop(self._key, None)
        self._stored = _StoredCollection(self.dimension, "")

    def _disconnect(self) -> None:
        pass

    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        self._check_open("writing")
        weights = self._terms(chunks)
        with self._lock:
            for chunk, vector, weight in zip(chunks, vectors, weights, strict=True):
                self._stored.chunks[chunk.id] = chunk
                self._stored.vectors[chunk.id] = np.array(vector, dtype=np.float32)
                self._stored.terms[chunk.id] = weight

    def delete(self, ids: Sequence[str]) -> None:
        self._check_open("deleting")
        with self._lock:
            for chunk_id in ids:
                self._stored.chunks.pop(chunk_id, None)
                self._stored.vectors.pop(chunk_id, None)
                self._stored.terms.pop(chunk_id, None)

    def count(self, filters: Filter | None = None) -> int:
        return len(self._select(filters))

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        self._check_open("reading")
        with self._lock:
            chunks, vectors = self._stored.chunks, self._stored.vectors
            return [(chunks[i], vectors[i]) for i in ids if i in chunks]

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        found = self._select(filters)
        for start in range(0, len(found), batch_size):
            yield self.fetch([chunk.id for chunk in found[start : start + batch_size]])

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        return [chunk for chunk, _ in self.fetch(ids)]

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[Scores]:
        found = self._compare(vectors, filters)
        return [{near.chunk_id: near.dense_score for near in each[:top_k]} for each in found]

    def search_hybrid(
        self,
        vectors: Matrix | PendingVectors,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None = None,
    ) -> list[list[Candidate]]:
        words = self._rank_words(queries, languages, top_k, filters)
        vectors = resolved(vectors)
        check_vectors(self._title, self.dimension, vectors, len(vectors))
        results = []
        for near, best in zip(self._compare(vectors, filters), words, strict=True):
            chosen = {candidate.chunk_id for candidate in near[: max(0, top_k)]} | set(best)
            results.append(
                [
                    Candidate(chunk_id, score, best.get(chunk_id))
                    for chunk_id, score, _ in near
                    if chunk_id in chosen
                ]
            )
        return results

    def _compare(self, vectors: Matrix, filters: Filter | None) -> list[list[Candidate]]:
        """Return for each query vector all chunks, nearest first."""
        with self._lock:
            found = self._select(filters)
            if not found:
                return [[] for _ in vectors]
            matrix = _unit(np.stack([self._stored.vectors[chunk.id] for chunk in found]))
        results = []
        for similarities in np.clip(_unit(vectors) @ matrix.T, -1.0, 1.0):
            scores = (1.0 + similarities.astype(np.float64)) / 2.0
            best = np.argsort(-scores, kind="stable")
            results.append([Candidate(found[i].id, float(scores[i])) for i in best])
        return results

    def _rank_words(
        self,
        queries: Sequence[str],
        languages: Sequence[str],
        top_k: int,
        filters: Filter | None,
    ) -> list[dict[str, float]]:
        """Return for each query the BM25 scores of the best chunks."""
        with self._lock:
            found = self._select(filters)
            everything = list(self._stored.terms.values())
            weights = [
                dict(zip(t.indices.tolist(), t.values.tolist(), strict=True))
                for t in (self._stored.terms[chunk.id] for chunk in found)
            ]
        frequency: dict[int, int] = {}
        for sparse in everything:
            for term in sparse.indices.tolist():
                frequency[term] = frequency.get(term, 0) + 1
        results = []
        for query in self._analyzer.query_terms(queries, languages):
            idf = {
                term: inverse_document_frequency(len(everything), frequency.get(term, 0))
                for term in query.indices.tolist()
            }
            scored = [
                (sum(factor * weight.get(term, 0.0) for term, factor in idf.items()), chunk)
                for chunk, weight in zip(found, weights, strict=True)
            ]
            scored = sorted((s for s in scored if s[0] > 0), key=lambda s: -s[0])[: max(0, top_k)]
            results.append({chunk.id: score for score, chunk in scored})
        return results

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        self._check_open("writing")
        with self._lock:
            for chunk_id in ids:
                if chunk_id in self._stored.chunks:
                    chunk = self._stored.chunks[chunk_id]
                    self._stored.chunks[chunk_id] = replace(chunk, metadata=dict(metadata))

    def _select(self, filters: Filter | None) -> list[Chunk]:
        self._check_open("reading")
        with self._lock:
            chunks = list(self._stored.chunks.values())
        return [c for c in chunks if filters is None or matches(filters, c.metadata)]


def _unit(vectors: Matrix) -> Matrix:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
