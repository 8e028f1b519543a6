"""Data, searches and checks of the contract suite for stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kvasir.core.filters import Filter, matches
from kvasir.core.protocols import Candidate, LexicalSearch, VectorStore
from kvasir.core.types import Chunk, Hit, Matrix, Metadata, chunk_id, document_id

DIMENSION = 8
SCORE_TOLERANCE = 1e-3
"""How far a dense score may lie from (1 + cosine) / 2."""


def make_chunk(number: int, text: str | None = None, metadata: Metadata | None = None) -> Chunk:
    """Return a chunk whose id depends on the number."""
    text = f"This is chunk number {number}." if text is None else text
    document = document_id(f"/contract/{number // 10}.md")
    return Chunk(
        id=chunk_id(document, "contract", number, number + 1),
        document_id=document,
        text=text,
        start=number * 100,
        end=number * 100 + len(text),
        page=number % 7 + 1,
        headings=(),
        metadata={"language": "en", "number": number} if metadata is None else metadata,
    )


def make_vectors(count: int, dimension: int = DIMENSION, seed: int = 1) -> Matrix:
    """Return random vectors [count, dimension] of unit length."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


AWKWARD_VALUES = (
    "",
    " ",
    "it's",
    'say "hello"',
    "back\\slash",
    "trailing\\",
    "50 % of 100%",
    "under_score",
    "a=b==c",
    "a,b;c",
    "{braces} [brackets] (round)",
    "' OR 1 == 1 --",
    '" or "1" == "1',
    "$1 ${x} {{x}}",
    "line\nbreak\ttab",
    "Đại học Việt Nam",
    "北京大学",
    "é",
    "e\u0301",
    "É",
    "🦉 owl",
    "true",
    "1",
    "1.0",
    "null",
    "/a/b c/ü.pdf?x=1&y=%20#z",
    "x" * 10_000,
    "x" * 9_999 + "y",
    "語" * 10_000,
)
"""Text values that a store may not confuse with one another or with its own syntax."""

AWKWARD_FIELDS = (
    "id",
    "text",
    "document_id",
    "metadata",
    "page",
    "vector",
    "dotted.name",
    "dc:title",
    "two words",
    "quo'te",
    'dou"ble',
    "back\\slash",
    "brackets[0]",
    "título",
    "标题",
    "$and",
    "a/b",
    "#0",
)
"""Field names of metadata that may not clash with a store's own fields or syntax."""

TYPED_VALUES: tuple[str | int | float | bool, ...] = (
    0,
    1,
    -1,
    2,
    1.5,
    -0.25,
    1e-9,
    1e12,
    2**40,
    True,
    False,
    "1",
    "true",
    "True",
    "one",
)

LANGUAGE_TEXTS = {
    "en": (
        "The cats were running through flowering gardens.",
        "Parliament approved the annual budget yesterday.",
        "Steam engines convert heat into mechanical work.",
    ),
    "es": (
        "Los niños corrían por las calles de Valparaíso.",
        "El Parlamento aprobó el presupuesto anual.",
        "Las máquinas de vapor convierten el calor en trabajo.",
    ),
    "vi": (
        "Hà Nội là thủ đô của nước Việt Nam.",
        "Quốc hội đã thông qua ngân sách hàng năm.",
        "Động cơ hơi nước biến nhiệt thành công cơ học.",
    ),
    "zh": (
        "北京是中华人民共和国的首都。",
        "议会昨天批准了年度预算。",
        "蒸汽机把热能转化为机械功。",
    ),
}

LANGUAGE_QUERIES = (
    ("en", "A CAT runs in the garden", 0),
    ("en", "budgets of parliaments", 1),
    ("en", "engine converting heat", 2),
    ("es", "¿Por qué calle corre el NIÑO?", 0),
    ("es", "presupuestos anuales", 1),
    ("es", "máquina de vapor", 2),
    ("vi", "THỦ ĐÔ nước nào", 0),
    ("vi", "ngân sách", 1),
    ("vi", "động cơ hơi nước", 2),
    ("zh", "首都是哪里？", 0),
    ("zh", "年度预算", 1),
    ("zh", "什么是蒸汽机", 2),
)
"""Language, question, and which of the language's texts answers it."""


def ids_of(hits: Sequence[Hit]) -> list[str]:
    """Return the chunk ids of hits, in order."""
    return [hit.chunk.id for hit in hits]


def everything(store: VectorStore, filters: Filter | None = None) -> dict[str, Chunk]:
    """Return all chunks that scrolling yields, by id."""
    return {chunk.id: chunk for batch in store.scroll(filters) for chunk, _ in batch}


def vectors_by_id(pairs: Sequence[tuple[Chunk, Matrix]]) -> dict[str, Matrix]:
    """Return vectors by chunk id."""
    return {chunk.id: vector for chunk, vector in pairs}


def fifty_chunks() -> tuple[list[Chunk], Matrix, Matrix]:
    """Return fifty chunks, their vectors and six query vectors."""
    return [make_chunk(i) for i in range(50)], make_vectors(50), make_vectors(6, seed=2)


def write_language_chunks(store: VectorStore) -> dict[str, list[Chunk]]:
    """Write ``LANGUAGE_TEXTS`` and return their chunks by language."""
    chunks: dict[str, list[Chunk]] = {}
    for code, texts in LANGUAGE_TEXTS.items():
        first = 10 * len(chunks)
        chunks[code] = [
            make_chunk(first + i, text, {"language": code}) for i, text in enumerate(texts)
        ]
        store.upsert(chunks[code], make_vectors(len(texts), seed=first))
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


class _Approximate:
    """Equal to the same hits in the same order, scores being equal to 1e-4."""

    def __init__(self, expected: Any) -> None:
        self._expected = expected

    def __eq__(self, other: object) -> bool:
        return self._same(self._expected, other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._expected)

    def _same(self, expected: Any, other: Any) -> bool:
        if isinstance(expected, list):
            return len(expected) == len(other) and all(map(self._same, expected, other))
        same_scores = [expected.score, expected.lexical_score or 0.0] == pytest.approx(
            [other.score, other.lexical_score or 0.0], abs=1e-4
        )
        return bool(expected.chunk == other.chunk and same_scores)


def approximately(expected: Any) -> Any:
    """Return a value that equals the same hits in the same order with nearly the same scores."""
    return _Approximate(expected)
