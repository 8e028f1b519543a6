"""Small, exact components for tests: no model, no files, the same results every time.

``MemoryStore`` scans every chunk with ``core.filters.matches`` and the plain BM25 formula.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvasir.components.stores.database_store import Scores
from kvasir.components.stores.hybrid import Leg, TwoLegs, similarities
from kvasir.core.batches import batches
from kvasir.core.filters import Filter, matches
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.scoring import inverse_document_frequency
from kvasir.core.text import CJK, has_scheme
from kvasir.core.types import Chunk, Matrix, Metadata, Prompt, SparseVector, WebResult

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


class NamedEmbedder(FakeEmbedder):
    """A fake with a name: models of different names have different vectors.

    The dimension is at the end of the name (``other-32``), otherwise 64.
    """

    def __init__(self, name: str = "named") -> None:
        dimension = name.rpartition("-")[2]
        super().__init__(int(dimension) if dimension.isdecimal() else 64)
        self.name = name
        self.fingerprint = f"fake-{name}"

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        return np.roll(super().embed_queries(texts), zlib.crc32(self.name.encode()), axis=1)


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


class FakeWebSearch:
    """Finds the pages that a test puts into ``results``, else the addresses in the query."""

    name = "fake"

    def __init__(self) -> None:
        self.results: list[WebResult] = []

    def search(self, query: str, max_results: int) -> list[WebResult]:
        named = [WebResult(word) for word in query.split() if has_scheme(word)]
        return (self.results or named)[:max_results]


class _Entry(NamedTuple):
    chunk: Chunk
    vector: Matrix
    weights: dict[int, float]


@dataclass(slots=True)
class _StoredCollection:
    """The contents of a collection by chunk id, which outlive the store."""

    dimension: int
    fingerprint: str
    entries: dict[str, _Entry] = field(default_factory=dict)


class MemoryStore(TwoLegs):
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
        self._lock = threading.Lock()
        new = _StoredCollection(dimension, fingerprint)
        with self._collections_lock:
            stored = self._collections.setdefault((uri, collection), new) if uri else new
        self._check_maker(stored.fingerprint, stored.dimension, fingerprint)
        self._stored = stored
        self._key = (uri, collection)

    @classmethod
    def forget(cls, uri: str) -> None:
        """Delete all collections of a ``uri``."""
        with cls._collections_lock:
            for key in [key for key in cls._collections if key[0] == uri]:
                del cls._collections[key]

    def _drop(self) -> None:
        self._check_open("deleting the collection")
        with self._collections_lock:
            self._collections.pop(self._key, None)
        self._stored = _StoredCollection(self.dimension, "")

    def _disconnect(self) -> None:
        pass

    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        self._check_open("writing")
        terms = self._terms(chunks)
        weights = (dict(zip(t.indices.tolist(), t.values.tolist(), strict=True)) for t in terms)
        rows = np.array(vectors, dtype=np.float32)
        entries = map(_Entry, chunks, rows, weights)
        with self._lock:
            self._stored.entries.update((entry.chunk.id, entry) for entry in entries)

    def delete(self, ids: Sequence[str]) -> None:
        self._check_open("deleting")
        with self._lock:
            for chunk_id in ids:
                self._stored.entries.pop(chunk_id, None)

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        self._check_open("writing")
        with self._lock:
            for old in self._known(ids):
                chunk = replace(old.chunk, metadata=dict(metadata))
                self._stored.entries[chunk.id] = old._replace(chunk=chunk)

    def count(self, filters: Filter | None = None) -> int:
        return len(self._select(filters))

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        self._check_open("reading")
        with self._lock:
            return [(entry.chunk, entry.vector) for entry in self._known(ids)]

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        return [chunk for chunk, _ in self.fetch(ids)]

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        for batch in batches(self._select(filters), batch_size):
            yield self.fetch([entry.chunk.id for entry in batch])

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[Scores]:
        stored = {entry.chunk.id: entry.vector for entry in self._select(filters)}
        found = [_best_first(similarities(query, stored)) for query in vectors]
        return [dict(ranked[:top_k]) for ranked in found]

    def _rank(self, terms: Sequence[SparseVector], top_k: int, filters: Filter | None) -> list[Leg]:
        everything, selected = self._select(None), self._select(filters)
        containing = Counter(term for entry in everything for term in entry.weights)
        vectors = {entry.chunk.id: entry.vector for entry in selected}

        def score(query: Matrix, ids: Sequence[str]) -> Scores:
            return similarities(query, {i: vectors[i] for i in ids})

        legs: list[Leg] = []
        for query in terms:
            factors = {
                term: inverse_document_frequency(len(everything), containing[term])
                for term in query.indices.tolist()
            }
            scores = {
                chunk.id: sum(idf * weights.get(term, 0.0) for term, idf in factors.items())
                for chunk, _, weights in selected
            }
            ranked = _best_first({i: found for i, found in scores.items() if found > 0})
            legs.append((ranked, score))
        return legs

    def _known(self, ids: Sequence[str]) -> list[_Entry]:
        return [self._stored.entries[i] for i in ids if i in self._stored.entries]

    def _select(self, filters: Filter | None) -> list[_Entry]:
        self._check_open("reading")
        with self._lock:
            entries = list(self._stored.entries.values())
        return [e for e in entries if filters is None or matches(filters, e.chunk.metadata)]


def _best_first(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(scores.items(), key=lambda scored: -scored[1])
