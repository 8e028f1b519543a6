"""Data, fixtures, searches and checks of the contract suite for stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import pytest

from kvasir.core import registry
from kvasir.core.filters import Filter, matches
from kvasir.core.protocols import Candidate, LexicalSearch, Optimizable, TextAnalyzer, VectorStore
from kvasir.core.types import Chunk, Hit, Matrix, Metadata, chunk_id, document_id

DIMENSION = 8
SCORE_TOLERANCE = 1e-3
"""How far a dense score may lie from (1 + cosine) / 2."""

CAPABILITIES: dict[type, str] = {LexicalSearch: "search_hybrid", Optimizable: "optimize"}
"""Protocols that a store may fulfil beside ``VectorStore``, and the method of each."""


def make_chunk(number: int, text: str | None = None, metadata: Metadata | None = None) -> Chunk:
    """Return a chunk whose id depends on the number."""
    text = f"This is chunk number {number}." if text is None else text
    metadata = {"language": "en", "number": number} if metadata is None else metadata
    document, start = document_id(f"/contract/{number // 10}.md"), number * 100
    identity = chunk_id(document, "contract", number, number + 1)
    page, end = number % 7 + 1, start + len(text)
    return Chunk(identity, document, text, start, end, page, metadata=metadata)


def make_vectors(count: int, dimension: int = DIMENSION, seed: int = 1) -> Matrix:
    """Return random vectors [count, dimension] of unit length."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


AWKWARD_VALUES = (
    "", " ", "it's", 'say "hello"', "back\\slash", "trailing\\", "50 % of 100%", "under_score",
    "a=b==c", "a,b;c", "{braces} [brackets] (round)", "' OR 1 == 1 --", '" or "1" == "1',
    "$1 ${x} {{x}}", "line\nbreak\ttab", "Đại học Việt Nam", "北京大学", "é", "e\u0301", "É",
    "🦉 owl", "true", "1", "1.0", "null", "/a/b c/ü.pdf?x=1&y=%20#z",
    "x" * 10_000, "x" * 9_999 + "y", "語" * 10_000,
)  # fmt: skip
"""Text values that a store may not confuse with one another or with its own syntax."""

AWKWARD_FIELDS = (
    "id", "text", "document_id", "metadata", "page", "vector", "dotted.name", "dc:title",
    "two words", "quo'te", 'dou"ble', "back\\slash", "brackets[0]", "título", "标题", "$and",
    "a/b", "#0",
)  # fmt: skip
"""Field names of metadata that may not clash with a store's own fields or syntax."""

TYPED_VALUES: tuple[str | int | float | bool, ...] = (
    0, 1, -1, 2, 1.5, -0.25, 1e-9, 1e12, 2**40, True, False, "1", "true", "True", "one",
)  # fmt: skip

LANGUAGE_CASES = (
    ("en", "The cats were running through flowering gardens.", "A CAT runs in the garden"),
    ("en", "Parliament approved the annual budget yesterday.", "budgets of parliaments"),
    ("en", "Steam engines convert heat into mechanical work.", "engine converting heat"),
    ("es", "Los niños corrían por las calles de Valparaíso.", "¿Por qué calle corre el NIÑO?"),
    ("es", "El Parlamento aprobó el presupuesto anual.", "presupuestos anuales"),
    ("es", "Las máquinas de vapor convierten el calor en trabajo.", "máquina de vapor"),
    ("vi", "Hà Nội là thủ đô của nước Việt Nam.", "THỦ ĐÔ nước nào"),
    ("vi", "Quốc hội đã thông qua ngân sách hàng năm.", "ngân sách"),
    ("vi", "Động cơ hơi nước biến nhiệt thành công cơ học.", "động cơ hơi nước"),
    ("zh", "北京是中华人民共和国的首都。", "首都是哪里？"),
    ("zh", "议会昨天批准了年度预算。", "年度预算"),
    ("zh", "蒸汽机把热能转化为机械功。", "什么是蒸汽机"),
)
"""Language, text, and a question that the text answers."""


def ids_of(hits: Sequence[Hit]) -> list[str]:
    """Return the chunk ids of hits, in order."""
    return [hit.chunk.id for hit in hits]


def everything(store: VectorStore, filters: Filter | None = None) -> dict[str, Chunk]:
    """Return all chunks that scrolling yields, by id."""
    return {chunk.id: chunk for batch in store.scroll(filters) for chunk, _ in batch}


def fifty_chunks() -> tuple[list[Chunk], Matrix, Matrix]:
    """Return fifty chunks, their vectors and six query vectors."""
    return [make_chunk(i) for i in range(50)], make_vectors(50), make_vectors(6, seed=2)


def write_chunks(store: VectorStore, count: int) -> tuple[list[Chunk], Matrix]:
    """Write chunks numbered from 0, and return them with their vectors."""
    chunks, vectors = [make_chunk(i) for i in range(count)], make_vectors(count)
    store.upsert(chunks, vectors)
    return chunks, vectors


def write_language_chunks(store: VectorStore) -> list[Chunk]:
    """Write the texts of ``LANGUAGE_CASES`` and return their chunks."""
    chunks = [
        make_chunk(i, text, {"language": code}) for i, (code, text, _) in enumerate(LANGUAGE_CASES)
    ]
    store.upsert(chunks, make_vectors(len(chunks)))
    return chunks


def search_vectors(
    store: VectorStore, vectors: Matrix, top_k: int, filters: Filter | None = None
) -> list[list[Hit]]:
    """Search by vectors alone, and read the chunks; best first."""
    return [
        _hits(store, [(c.dense_score, c) for c in found])
        for found in store.search(vectors, top_k, filters)
    ]


def search_texts(
    store: VectorStore,
    queries: Sequence[str],
    languages: Sequence[str],
    top_k: int,
    filters: Filter | None = None,
) -> list[list[Hit]]:
    """Return the hits of the keyword leg alone; ``score`` is the BM25 score by the best one's."""
    assert isinstance(store, LexicalSearch), "the store has no keyword index"
    vectors = make_vectors(len(queries), store.dimension, seed=8)
    results = []
    for found in store.search_hybrid(vectors, queries, languages, top_k, filters):
        words = [(c.lexical_score, c) for c in found if c.lexical_score is not None]
        words.sort(key=lambda pair: -pair[0])
        results.append(_hits(store, [(score / words[0][0], c) for score, c in words]))
    return results


def search_words(store: VectorStore, query: str, top_k: int = 5) -> list[Hit]:
    """Search English words in the keyword index."""
    return search_texts(store, [query], ["en"], top_k)[0]


def _hits(store: VectorStore, scored: Sequence[tuple[float, Candidate]]) -> list[Hit]:
    """Return the candidates as hits; every chunk must exist."""
    chunks = {c.id: c for c in store.fetch_chunks([c.chunk_id for _, c in scored])}
    return [
        Hit(chunks[candidate.chunk_id], score, candidate.dense_score, candidate.lexical_score)
        for score, candidate in scored
    ]


def check_scores(
    store: VectorStore, chunks: Sequence[Chunk], vectors: Matrix, queries: Matrix
) -> None:
    """Check every score of every query against the cosine computed here."""
    for hits, cosines in zip(
        search_vectors(store, queries, len(chunks)), queries @ vectors.T, strict=True
    ):
        expected = {c.id: (1 + float(s)) / 2 for c, s in zip(chunks, cosines, strict=True)}
        assert len(hits) == len(chunks)
        assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
        for hit in hits:
            assert hit.dense_score == hit.score
            assert hit.lexical_score is None
            assert hit.score == pytest.approx(expected[hit.chunk.id], abs=SCORE_TOLERANCE)


def check_filters(store: VectorStore, chunks: Sequence[Chunk], filters: Sequence[Filter]) -> None:
    """Write chunks and check that each filter chooses those that ``matches`` chooses."""
    store.upsert(chunks, make_vectors(len(chunks)))
    query = make_vectors(1, seed=9)
    for number, condition in enumerate(filters):
        expected = {chunk.id for chunk in chunks if matches(condition, chunk.metadata)}
        short = repr(condition)[:200]
        found = search_vectors(store, query, len(chunks), condition)[0]
        assert set(ids_of(found)) == expected, short
        if number % 3 == 0:
            assert store.count(condition) == len(expected), short
            assert set(everything(store, condition)) == expected, short


@dataclass(eq=False)
class _Nearly:
    """Equal to the same hit with scores that differ by at most 1e-4."""

    hit: Hit

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hit) or self.hit.chunk != other.chunk:
            return False
        scores = [[each.score, each.lexical_score or 0.0] for each in (self.hit, other)]
        return bool(scores[0] == pytest.approx(scores[1], abs=1e-4))


def approximately(expected: Sequence[Any]) -> list[Any]:
    """Return values that equal the same hits in the same order with nearly the same scores."""
    return [_Nearly(each) if isinstance(each, Hit) else approximately(each) for each in expected]


class OpenStore(Protocol):
    """Opens the store, or opens it again: its data stay in one place during a test."""

    def __call__(
        self, dimension: int = DIMENSION, fingerprint: str = "", collection: str = "contract"
    ) -> VectorStore:
        """Return the opened store."""


@cache
def _bm25() -> TextAnalyzer:
    """Return one analyzer for all tests: loading its models is slow."""
    return cast(TextAnalyzer, registry.build("analyzers", "bm25", {}))


class OpenedStores:
    """Fixtures that open stores, and the capabilities that the stores must have."""

    expected_capabilities: ClassVar[frozenset[type]] = frozenset({LexicalSearch})
    """The members of ``CAPABILITIES`` that the store must have; it may have no others."""

    @property
    def has_keywords(self) -> bool:
        """True if the store must have a keyword index."""
        return LexicalSearch in self.expected_capabilities

    @pytest.fixture
    def analyzer(self) -> TextAnalyzer:
        """Return the analyzer of the keyword leg."""
        return _bm25()

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError("override the fixture open_store in your test class")

    @pytest.fixture
    def opened(self, open_store: OpenStore) -> Iterator[OpenStore]:
        """As ``open_store``, and closes the stores at the end."""
        with ExitStack() as stack:

            def opened(
                dimension: int = DIMENSION, fingerprint: str = "", collection: str = "contract"
            ) -> VectorStore:
                return stack.enter_context(closing(open_store(dimension, fingerprint, collection)))

            yield opened

    @pytest.fixture
    def store(self, opened: OpenStore) -> VectorStore:
        """Return a new, empty store."""
        return opened()
