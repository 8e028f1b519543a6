"""Retrieval: embed the question, search both legs, fuse them, rerank.

The question is embedded once. A store without a keyword index is searched by vectors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from kvasir.answering.fusion import dense_share, fuse, needs_sample
from kvasir.core.deadline import run_within_deadline
from kvasir.core.errors import RequestError, SettingsError
from kvasir.core.filters import Comparison, Filter
from kvasir.core.protocols import (
    BackgroundEmbedder,
    Candidate,
    Embedder,
    LexicalSearch,
    PendingVectors,
    Reranker,
    VectorStore,
)
from kvasir.core.types import Chunk, Hit, Matrix, SearchRequest
from kvasir.language.detect import UNKNOWN, detect

CANDIDATES = 50
"""How many chunks each leg offers to the fusion: more costs time and gains nothing."""
RERANK_CANDIDATES = 30
"""How many of the fused hits a reranker reads: it is slow, and what it finds stands high."""
MOST_HITS = 10_000
"""Largest ``top_k``; to read a whole collection there is ``VectorStore.scroll``."""

_SAMPLE = 32
"""Chunks on which the tokenizer is measured, once a language."""

Scored = tuple[float, Candidate]
"""A fused score, 0..1, and what it is the score of."""

Languages = Collection[str] | Callable[[], Collection[str]]


class Searches(Protocol):
    """What answers are made from: a ``Retriever``, or what guards one."""

    def retrieve(self, request: SearchRequest) -> list[Hit]:
        """Return the hits of a search, best first."""


class Retriever:
    """Finds the chunks of one collection that belong to a question."""

    def __init__(
        self,
        embedder: Embedder,
        store: VectorStore,
        reranker: Reranker | None = None,
        *,
        languages: Languages = (),
        language: str | None = None,
        alpha: float | None = None,
        candidates: int = CANDIDATES,
        rerank_candidates: int = RERANK_CANDIDATES,
    ) -> None:
        """Put a retriever together; nothing is loaded or searched yet.

        Args:
            embedder: The one that made the store's vectors.
            store: The collection; hybrid where it has ``LexicalSearch``.
            reranker: Orders the best hits anew.
            languages: ISO 639-1 codes that the collection holds, or how to ask for them: the
                question is taken to be in one of these. Empty: any language.
            language: Take every question to be in this language.
            alpha: Dense share, 0..1; by default what suits the embedder and the language.
            candidates: How many chunks each leg offers to the fusion.
            rerank_candidates: How many of the fused hits the reranker reads at most.

        Raises:
            SettingsError: An argument is out of range.
        """
        if alpha is not None and not 0.0 <= alpha <= 1.0:
            raise SettingsError(f"alpha is the dense share, from 0 to 1, not {alpha}")
        if candidates < 1 or rerank_candidates < 1:
            raise SettingsError("candidates and rerank_candidates must be at least 1")
        self._candidates = candidates
        self._embedder = embedder
        self._store = store
        self._hybrid = store if isinstance(store, LexicalSearch) else None
        self._background = embedder if isinstance(embedder, BackgroundEmbedder) else None
        self._reranker = reranker
        self._languages = languages
        self._language = language
        self._alpha = alpha
        self._rerank_candidates = rerank_candidates
        self._shares: dict[str, float] = {}

    def retrieve(self, request: SearchRequest) -> list[Hit]:
        """Return the hits for one request; see ``retrieve_many``."""
        return self.retrieve_many([request.query], request)[0]

    def retrieve_many(self, queries: Sequence[str], request: SearchRequest) -> list[list[Hit]]:
        """Return the hits for several queries at once.

        Args:
            queries: The queries; an empty one finds nothing.
            request: How to search for each of them; its own ``query`` is not used.

        Returns:
            Hits for each query, best first; of equal ones the smaller id first. Every hit
            has its ``dense_score``. ``score`` is the fused score, relative to the query's
            other candidates; without a keyword leg it is the ``dense_score``. With a reranker
            it is the reranker's; hits that it does not read follow, scaled to lie below.

        Raises:
            RequestError: ``top_k`` or the threshold is out of range.
            DeadlineExceededError: Time is up.
        """
        top_k, threshold = request.top_k, request.min_score_threshold
        if not 1 <= top_k <= MOST_HITS:
            raise RequestError(f"top_k must be from 1 to {MOST_HITS}, not {top_k}")
        if not 0.0 <= threshold <= 1.0:
            raise RequestError(f"min_score_threshold must be from 0 to 1, not {threshold}")
        asked = [number for number, query in enumerate(queries) if query.strip()]
        results: list[list[Hit]] = [[] for _ in queries]
        if not asked:
            return results
        texts = [queries[number] for number in asked]
        wanted = max(top_k, self._rerank_candidates) if self._reranker else top_k
        found = run_within_deadline(
            lambda: self._search(texts, wanted, threshold, request.filters), "searching"
        )
        for number, text, hits in zip(asked, texts, found, strict=True):
            results[number] = self._reranked(text, hits, top_k)
        return results

    def _reranked(self, query: str, hits: list[Hit], top_k: int) -> list[Hit]:
        """Return the best hits; what the reranker does not read follows in its order."""
        if self._reranker is None or not hits:
            return hits
        read, unread = hits[: self._rerank_candidates], hits[self._rerank_candidates : top_k]
        rerank = self._reranker.rerank
        best = run_within_deadline(lambda: rerank(query, read, top_k), "reranking")
        lowest = min((hit.score for hit in best), default=1.0)
        return [*best, *(replace(hit, score=hit.score * lowest) for hit in unread)]

    def _search(
        self, queries: Sequence[str], wanted: int, threshold: float, filters: Filter | None
    ) -> list[list[Hit]]:
        depth = max(self._candidates, wanted)
        if self._hybrid is not None and self._alpha != 1.0:
            languages = self._detect(queries)
            found = self._hybrid.search_hybrid(
                self._start_embedding(queries), queries, languages, depth, filters
            )
            best = [
                _best(candidates, wanted, threshold, self._share(language))
                for candidates, language in zip(found, languages, strict=True)
            ]
        else:
            found = self._store.search(self._embedder.embed_queries(queries), depth, filters)
            best = [_best(candidates, wanted, threshold) for candidates in found]
        ids = list(dict.fromkeys(candidate.chunk_id for row in best for _, candidate in row))
        chunks = {chunk.id: chunk for chunk in self._store.fetch_chunks(ids)} if ids else {}
        # A chunk may be deleted between the search and the reading: it is left out.
        return [
            [
                Hit(
                    chunks[candidate.chunk_id],
                    score,
                    candidate.dense_score,
                    candidate.lexical_score,
                )
                for score, candidate in row
                if candidate.chunk_id in chunks
            ]
            for row in best
        ]

    def _start_embedding(self, queries: Sequence[str]) -> Matrix | PendingVectors:
        """Start embedding the queries, so that the keyword leg is searched meanwhile."""
        if self._background is not None:
            return self._background.start_queries(queries)
        return self._embedder.embed_queries(queries)

    def _detect(self, queries: Sequence[str]) -> list[str]:
        if self._language is not None:
            return [self._language] * len(queries)
        held = self._languages() if callable(self._languages) else self._languages
        return [detect(query, held) for query in queries]

    def _share(self, language: str) -> float:
        if self._alpha is not None:
            return self._alpha
        if language not in self._shares:
            measured = needs_sample(self._embedder, language)
            sample = self._sample(language) if measured else []
            share = dense_share(self._embedder, language, sample)
            if measured and not sample:
                return share  # Not kept: the collection may hold such text later.
            self._shares[language] = share
        return self._shares[language]

    def _sample(self, language: str) -> list[str]:
        condition = None if language in ("", UNKNOWN) else Comparison("language", "==", language)
        batch: list[tuple[Chunk, Matrix]] = next(self._store.scroll(condition, _SAMPLE), [])
        return [chunk.text for chunk, _ in batch]


def _best(
    candidates: Sequence[Candidate], wanted: int, threshold: float, alpha: float = 1.0
) -> list[Scored]:
    """Return the best candidates of one query with their scores.

    Of equal ones the smaller id is first.

    Args:
        candidates: What the search found.
        wanted: How many to return at most.
        threshold: Least ``dense_score``.
        alpha: The dense share of the score; with 1 it is the ``dense_score`` itself.
    """
    candidates = sorted(candidates)  # by id, which no two share
    scores = np.array([candidate.dense_score for candidate in candidates])
    if alpha != 1.0:
        scores = fuse(scores, np.array([c.lexical_score or 0.0 for c in candidates]), alpha)
    best: list[Scored] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if len(best) == wanted:
            break
        if candidates[place].dense_score >= threshold:
            best.append((float(scores[place]), candidates[place]))
    return best
