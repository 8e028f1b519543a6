"""Retrieval: embed the question, search both legs, fuse them, rerank.

The question is embedded once. A store without a keyword index is searched by vectors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from kvasir.answering.fusion import dense_share, fuse, needs_sample
from kvasir.answering.ranking import ranked
from kvasir.core.deadline import run_within_deadline
from kvasir.core.errors import UserError
from kvasir.core.filters import Comparison, Filter
from kvasir.core.protocols import (
    BackgroundEmbedder,
    Embedder,
    LexicalSearch,
    RankedSearch,
    Ranking,
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

_Candidate = tuple[float, str, float, float | None]
"""Fused score, negative so that sorting puts the best first; id; dense and lexical score."""

Languages = Collection[str] | Callable[[], Collection[str]]


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
        """Puts a retriever together; nothing is loaded or searched yet.

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
            UserError: An argument is out of range.
        """
        if alpha is not None and not 0.0 <= alpha <= 1.0:
            raise UserError(f"alpha is the dense share, from 0 to 1, not {alpha}")
        if candidates < 1 or rerank_candidates < 1:
            raise UserError("candidates and rerank_candidates must be at least 1")
        self._candidates = candidates
        self._embedder = embedder
        self._store = store
        self._is_hybrid = isinstance(store, LexicalSearch)
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
            UserError: ``top_k`` or the threshold is out of range.
            DeadlineExceededError: Time is up.
        """
        top_k, threshold = request.top_k, request.min_score_threshold
        if not 1 <= top_k <= MOST_HITS:
            raise UserError(f"top_k must be from 1 to {MOST_HITS}, not {top_k}")
        if not 0.0 <= threshold <= 1.0:
            raise UserError(f"min_score_threshold must be from 0 to 1, not {threshold}")
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
        """Returns the best hits; what the reranker does not read follows in its order."""
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
        legs = ranked(self._store)
        if self._is_hybrid and self._alpha != 1.0:
            languages = self._detect(queries)
            vectors, lexical = self._embed_beside(
                lambda: legs.rank_lexical(queries, languages, depth, filters), queries
            )
            dense = [dict(ranking) for ranking in legs.rank_dense(vectors, depth, filters)]
            rows = [
                _candidates(legs, vector, near, dict(words), self._share(language))
                for vector, near, words, language in zip(
                    vectors, dense, lexical, languages, strict=True
                )
            ]
        else:
            vectors = self._embedder.embed_queries(queries)
            rows = [
                [(-score, i, score, None) for i, score in ranking]
                for ranking in legs.rank_dense(vectors, depth, filters)
            ]
        best = [sorted(row for row in found if row[2] >= threshold)[:wanted] for found in rows]
        ids = list(dict.fromkeys(row[1] for found in best for row in found))
        chunks = {chunk.id: chunk for chunk in legs.fetch_chunks(ids)} if ids else {}
        # A chunk may be deleted between the search and the reading: it is left out.
        return [
            [
                Hit(chunks[chunk_id], -negative, similarity, words)
                for negative, chunk_id, similarity, words in found
                if chunk_id in chunks
            ]
            for found in best
        ]

    def _embed_beside(
        self, keyword_leg: Callable[[], list[Ranking]], queries: Sequence[str]
    ) -> tuple[Matrix, list[Ranking]]:
        """Embeds the queries while the keyword leg, which needs no vectors, is searched."""
        if not isinstance(self._embedder, BackgroundEmbedder):
            return self._embedder.embed_queries(queries), keyword_leg()
        vectors = self._embedder.start_queries(queries)
        try:
            found = keyword_leg()
        except BaseException:
            # What was started must be awaited; what is on its way up is the error to tell.
            with suppress(Exception):
                vectors()
            raise
        return vectors(), found

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


def _candidates(
    legs: RankedSearch,
    query: Matrix,
    near: dict[str, float],
    words: Mapping[str, float],
    alpha: float,
) -> list[_Candidate]:
    """Fuses what the two legs found for one query."""
    only = [chunk_id for chunk_id in words if chunk_id not in near]
    if only:
        near.update(legs.score_dense(query, only))
    dense = np.fromiter(near.values(), np.float64, len(near))
    lexical = np.fromiter((words.get(i, 0.0) for i in near), np.float64, len(near))
    scores = fuse(dense, lexical, alpha).tolist()
    return [
        (-score, chunk_id, similarity, words.get(chunk_id))
        for score, (chunk_id, similarity) in zip(scores, near.items(), strict=True)
    ]
