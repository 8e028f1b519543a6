"""Retrieval: embed the question, search vectors and keywords, fuse, rerank.

Words to leave out, phrases in quotation marks and identifiers of the query are then looked for in
the candidates themselves (``query_syntax``).

A store without a keyword index is searched by vectors alone. Otherwise dense and keyword scores are
fused by a convex combination, ``alpha * dense + (1 - alpha) * lexical``, each scaled to 0..1 over
the candidates of one query, but dense scores that lie within the embedder's own noise are not
stretched. The dense share alpha depends on embedder and language.

Source: Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval",
arXiv 2210.11934. The figures behind the constants: docs/decisions/0009-fusion.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Protocol

from kvasir.answering.cosine_scale import cosine_scale
from kvasir.answering.cross_language import LanguageLevels, compares_languages
from kvasir.answering.dense_share import (
    OTHER_LANGUAGE,
    dense_share,
    is_listed,
    weighting,
)
from kvasir.answering.explaining import SearchTrace, explain_search
from kvasir.answering.query_parts import query_parts
from kvasir.answering.query_syntax import QuerySyntax, parse_query
from kvasir.answering.ranking import (
    Scored,
    crowds_out,
    limit_documents,
    merge_copies,
    prefer_described,
    prefer_literal,
    rank,
    scoring_alike,
)
from kvasir.answering.reference_pairs import REFERENCE_PAIRS
from kvasir.core.deadline import run_within_deadline
from kvasir.core.errors import RequestError, SettingsError
from kvasir.core.explanations import Weighting
from kvasir.core.filters import Comparison, Filter, all_of
from kvasir.core.protocols import (
    BackgroundEmbedder,
    Candidate,
    Embedder,
    LexicalSearch,
    PendingVectors,
    Reranker,
    TokenCounter,
    VectorStore,
)
from kvasir.core.types import Chunk, ExplainedSearch, Hit, Matrix, SearchRequest
from kvasir.language.detect import UNKNOWN, detect
from kvasir.language.question_sides import described_by

CANDIDATES = 50
"""Chunks that each search gives to the fusion; more cost time and gain nothing."""
LITERAL_CANDIDATES = 200
"""The same where a query has phrases or excluded words, which are looked for among them."""
MOST_CANDIDATES = 1_000
"""The same where copies of one passage leave no place for others."""
RERANK_CANDIDATES = 30
"""Fused hits that a reranker reads, because it is slow."""
MOST_HITS = 10_000
"""Largest ``top_k``; ``VectorStore.scroll`` reads a whole collection."""

_SAMPLE = 32
"""Chunks on which the tokenizer is measured, once per language."""

SPREAD_DEVIATIONS = 4.0
"""Deviations of the cosines of unrelated texts that hold nearly all of them: mean +- 2."""

Languages = Collection[str] | Callable[[], Collection[str]]


class Searches(Protocol):
    """A ``Retriever``, or a wrapper of one."""

    def retrieve(self, request: SearchRequest) -> list[Hit]:
        """Return the hits of a search, best first."""

    def explain(self, request: SearchRequest) -> ExplainedSearch:
        """Return the same hits, and how they were found."""


@dataclass
class Retriever:
    """Finds the chunks of one collection that belong to a question.

    Raises ``SettingsError`` if an attribute is out of range.

    Attributes:
        embedder: The one that made the store's vectors.
        store: The collection; hybrid if it has ``LexicalSearch``.
        languages: The collection's ISO 639-1 codes, or a function that returns them; one of
            them is detected for a question. Empty: any language.
        language: The language of every question, instead of detection.
        alpha: Dense share, 0..1; by default ``dense_share`` of embedder and language.
        candidates: Chunks that each search gives to the fusion.
        rerank_candidates: Most fused hits that the reranker reads.
    """

    embedder: Embedder
    store: VectorStore
    reranker: Reranker | None = None
    _: KW_ONLY
    languages: Languages = ()
    language: str | None = None
    alpha: float | None = None
    candidates: int = CANDIDATES
    rerank_candidates: int = RERANK_CANDIDATES

    def __post_init__(self) -> None:
        if self.alpha is not None and not 0.0 <= self.alpha <= 1.0:
            raise SettingsError(f"alpha is the dense share, from 0 to 1, not {self.alpha}")
        if self.candidates < 1 or self.rerank_candidates < 1:
            raise SettingsError("candidates and rerank_candidates must be at least 1")
        self._hybrid = self.store if isinstance(self.store, LexicalSearch) else None
        # A background embedder works in parallel to the keyword search.
        self._start_embedding: Callable[[Sequence[str]], Matrix | PendingVectors] = (
            self.embedder.start_queries
            if isinstance(self.embedder, BackgroundEmbedder)
            else self.embedder.embed_queries
        )
        self._shares: dict[str, float] = {}
        self._levels = LanguageLevels(self.store)

    def retrieve(self, request: SearchRequest) -> list[Hit]:
        """Return the hits for one request; see ``retrieve_many``."""
        return self.retrieve_many([request.query], request)[0]

    def explain(self, request: SearchRequest) -> ExplainedSearch:
        """Return the hits for one request, and how they were found; errors as ``retrieve``."""
        trace = SearchTrace()
        (hits,) = self._retrieve([request.query], request, trace)
        explanation = explain_search(trace, request, hits, self.store.fetch_chunks)
        return ExplainedSearch(tuple(hits), explanation)

    def retrieve_many(self, queries: Sequence[str], request: SearchRequest) -> list[list[Hit]]:
        """Return the hits for several queries at once; an empty one finds nothing.

        The ``query`` of the request is not used. Hits are sorted best first, then by id, and all
        have a ``dense_score``. Their ``score`` is the fused score, relative to the query's other
        candidates, or the ``dense_score`` without a keyword search. With a reranker it is the
        reranker's; hits that it does not read follow, scaled to lower scores. Equal passages are
        one hit, and no document takes all places if others are good.

        Raises:
            RequestError: ``top_k`` or the threshold is out of range.
            DeadlineExceededError: The deadline passed.
        """
        return self._retrieve(queries, request, None)

    def _retrieve(
        self, queries: Sequence[str], request: SearchRequest, trace: SearchTrace | None
    ) -> list[list[Hit]]:
        """Return the hits for several queries; a trace notes how those of one were found."""
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
        wanted = max(top_k, self.rerank_candidates) if self.reranker else top_k
        found = run_within_deadline(
            lambda: self._search(texts, wanted, threshold, request.filters, trace), "searching"
        )
        for number, text, hits in zip(asked, texts, found, strict=True):
            results[number] = self._reranked(text, hits, top_k, trace)
        return results

    def _reranked(
        self, query: str, hits: list[Hit], top_k: int, trace: SearchTrace | None
    ) -> list[Hit]:
        """Return the reranked hits, then the unread ones in their order."""
        if trace is not None:
            trace.found = trace.ordered = hits
        if self.reranker is None or not hits:
            return limit_documents(hits, top_k)
        read, unread = hits[: self.rerank_candidates], hits[self.rerank_candidates :]
        rerank, asked = self.reranker.rerank, " ".join(query_parts(query))
        best = run_within_deadline(lambda: rerank(asked, read, len(read)), "reranking")
        lowest = min((hit.score for hit in best), default=1.0)
        unread = [replace(hit, score=hit.score * lowest) for hit in unread]
        if trace is not None:
            trace.ordered, trace.read, trace.unread_factor = [*best, *unread], len(read), lowest
        return limit_documents([*best, *unread], top_k)

    def _search(
        self,
        queries: Sequence[str],
        wanted: int,
        threshold: float,
        filters: Filter | None,
        trace: SearchTrace | None,
    ) -> list[list[Hit]]:
        # A long text has quotation marks and numbers of its own: nothing in it is syntax.
        syntaxes = [
            parse_query(query) if len(query_parts(query)) == 1 else QuerySyntax(query)
            for query in queries
        ]
        depth = max(self.candidates, wanted)
        if any(syntax.phrases or syntax.excluded for syntax in syntaxes):
            depth = max(depth, LITERAL_CANDIDATES)
        ranked = self._rank([syntax.text for syntax in syntaxes], depth, threshold, filters, trace)
        chunks = self._read(
            _ids(row if not syntax.is_plain else row[:wanted])
            for syntax, row in zip(syntaxes, ranked, strict=True)
        )
        results = []
        for query, syntax, row in zip(queries, syntaxes, ranked, strict=True):
            if syntax.excluded and any(
                syntax.is_option_of(chunks[each].passage) for each in _ids(row) if each in chunks
            ):
                if trace is not None:
                    trace.options = syntax.excluded
                syntax = replace(syntax, text=query, excluded=())
                (row,) = self._rank([query], depth, threshold, filters, trace)
            hits = self._hits(syntax, row, wanted, chunks)
            deeper = depth
            # Many copies of one passage may leave no candidate for others.
            while len(hits) < wanted and len(row) >= deeper and any(hit.copies for hit in hits):
                if deeper >= MOST_CANDIDATES:
                    break
                deeper *= 4
                (row,) = self._rank([syntax.text], deeper, threshold, filters, trace)
                hits = self._hits(syntax, row, wanted, chunks)
            if trace is not None:
                trace.syntax, trace.ranked, trace.chunks = syntax, row, chunks
            results.append(hits)
        return results

    def _hits(
        self, syntax: QuerySyntax, ranked: list[Scored], wanted: int, chunks: dict[str, Chunk]
    ) -> list[Hit]:
        """Return the hits of one query, best first, each passage once; often more than wanted.

        Chunks that are not known yet are read and added to ``chunks``: those that may be copies of
        the first ones, and all only where the query, copies or many hits of one document need them.
        """
        names = described_by(syntax.text)
        if syntax.is_plain and not names:
            first = self._as_hits(ranked[:wanted], chunks)
            alike = first + self._as_hits(scoring_alike(ranked, wanted), chunks)
            if len(merge_copies(alike)) == len(alike) and not crowds_out(first, wanted):
                return first
        self._as_hits(ranked, chunks)
        if not syntax.is_plain:
            ranked = prefer_literal(ranked, syntax, chunks)
        if names:
            ranked = prefer_described(ranked, names, chunks)
        return merge_copies(self._as_hits(ranked, chunks))

    def _as_hits(self, ranked: Sequence[Scored], chunks: dict[str, Chunk]) -> list[Hit]:
        chunks |= self._read([[each for each in _ids(ranked) if each not in chunks]])
        # Chunks may be deleted between the search and the reading.
        return [
            Hit(chunks[c.chunk_id], score, c.dense_score, c.lexical_score)
            for score, c in ranked
            if c.chunk_id in chunks
        ]

    def _rank(
        self,
        queries: Sequence[str],
        depth: int,
        threshold: float,
        filters: Filter | None,
        trace: SearchTrace | None,
    ) -> list[list[Scored]]:
        """Return the candidates of each query that reach the threshold, best first.

        The parts of a long query are searched each for itself and compared with each other.
        """
        parts = [query_parts(query) for query in queries]
        texts = [text for each in parts for text in each]
        if trace is not None:
            trace.parts, trace.depth = texts, depth
        if self._hybrid is None or self.alpha == 1.0:
            rows = self.store.search(self.embedder.embed_queries(texts), depth, filters)
            if trace is not None:
                trace.rows = rows
            found = iter(rows)
            return [rank(_pooled(found, len(each)), threshold) for each in parts]
        languages = self._detect(queries)
        part_languages = [
            language for each, language in zip(parts, languages, strict=True) for _ in each
        ]
        pending = self._start_embedding(texts)
        legs = self._hybrid.search_hybrid(pending, texts, part_languages, depth, filters)
        rows = [list(leg) for leg in legs]
        ranked, first = [], 0
        for each, language in zip(parts, languages, strict=True):
            own = rows[first : first + len(each)]
            first += len(each)
            share, shifts = self._share(language), dict[str, float]()
            if others := self._others(language):
                share = OTHER_LANGUAGE
                for text, row in zip(each, own, strict=True):
                    shifts |= self._add_across(row, text, language, others, depth, filters)
            if trace is not None:
                self._note_legs(trace, own, language, share, shifts)
            candidates = [candidate for row in own for candidate in row]
            ranked.append(rank(candidates, threshold, share, self._noise(language), shifts))
        return ranked

    def _others(self, language: str) -> list[str]:
        """Return the languages, beside that of the question, that the model compares with it.

        Empty where no document is in the question's language: then all are searched alike.
        """
        held = self._held_languages()
        if self.alpha is not None or len(self.embedder.languages) == 1 or language not in held:
            return []
        others = [code for code in held if code != language]
        return [code for code in others if compares_languages(self.embedder, language, code)]

    def _add_across(
        self,
        row: list[Candidate],
        text: str,
        asked: str,
        others: Sequence[str],
        depth: int,
        filters: Filter | None,
    ) -> dict[str, float]:
        """Add the nearest chunks in other languages; return what is added to their scores."""
        vectors = self.embedder.embed_queries([text])
        known = {candidate.chunk_id for candidate in row}
        shifts: dict[str, float] = {}
        for other in others:
            condition = all_of(filters, Comparison("language", "==", other))
            (near,) = self.store.search(vectors, depth, condition)
            shift = self._levels.shift(vectors[0], asked, other)
            row += [each for each in near if each.chunk_id not in known]
            shifts |= dict.fromkeys((each.chunk_id for each in near), shift)
        return shifts

    def _note_legs(
        self,
        trace: SearchTrace,
        rows: list[list[Candidate]],
        language: str,
        share: float,
        shifts: dict[str, float],
    ) -> None:
        trace.rows, trace.language, trace.languages = rows, language, self._held_languages()
        trace.language_set = self.language is not None
        trace.share, trace.noise, trace.shifts = share, self._noise(language), shifts
        trace.weighting = (
            weighting(self.embedder, language, share) if self.alpha is None else Weighting.SETTING
        )

    def _read(self, rows: Iterable[list[str]]) -> dict[str, Chunk]:
        """Return the chunks of several lists of ids, by id."""
        ids = list(dict.fromkeys(each for row in rows for each in row))
        return {chunk.id: chunk for chunk in self.store.fetch_chunks(ids)} if ids else {}

    def _detect(self, queries: Sequence[str]) -> list[str]:
        if self.language is not None:
            return [self.language] * len(queries)
        held = self._held_languages()
        if held and len(self.embedder.languages) != 1:
            # The model may know more languages than the collection has.
            held = (*held, *(code for code in REFERENCE_PAIRS if code not in held))
        return [detect(query, held) for query in queries]

    def _held_languages(self) -> Collection[str]:
        return self.languages() if callable(self.languages) else self.languages

    def _share(self, language: str) -> float:
        if self.alpha is not None:
            return self.alpha
        held = self._held_languages()
        if len(self.embedder.languages) != 1 and held and language not in held:
            embedder = self.embedder
            if any(compares_languages(embedder, language, written) for written in held):
                return OTHER_LANGUAGE
        if language not in self._shares:
            # The sample is read only if ``dense_share`` uses it.
            has_counter = isinstance(self.embedder, TokenCounter)
            measured = has_counter and not is_listed(self.embedder, language)
            sample = self._sample(language) if measured else []
            share = dense_share(self.embedder, language, sample)
            if measured and not sample:
                return share  # Not kept: the collection may hold such text later.
            self._shares[language] = share
        return self._shares[language]

    def _noise(self, language: str) -> float:
        """Return the width of the range in which the dense scores of unrelated texts lie."""
        deviation = cosine_scale(self.embedder, language).deviation
        return SPREAD_DEVIATIONS * deviation / 2.0  # Cosines span twice the range of scores.

    def _sample(self, language: str) -> list[str]:
        condition = None if language in ("", UNKNOWN) else Comparison("language", "==", language)
        batch: list[tuple[Chunk, Matrix]] = next(self.store.scroll(condition, _SAMPLE), [])
        return [chunk.text for chunk, _ in batch]


def _pooled(found: Iterator[list[Candidate]], parts: int) -> list[Candidate]:
    """Return the candidates of the next parts of one query; a chunk may be among them twice."""
    return [candidate for _ in range(parts) for candidate in next(found)]


def _ids(ranked: Sequence[Scored]) -> list[str]:
    return [candidate.chunk_id for _, candidate in ranked]
