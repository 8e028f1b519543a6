"""Explain a search from what it noted on its way.

The search that is explained is the one that found the hits: it takes the same path as every other,
and only notes what it has at hand. See ``core.explanations`` for the parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kvasir.answering.asked_language import asked_language
from kvasir.answering.query_syntax import QuerySyntax
from kvasir.answering.ranking import Fusion, Scored, describes_any, most_of_one, passage_of
from kvasir.core.explanation_words import LANGUAGES
from kvasir.core.explanations import (
    HitExplanation,
    LeftOut,
    LeftOutPassage,
    LeftOutReason,
    SearchExplanation,
    Weighting,
)
from kvasir.core.filters import to_mapping
from kvasir.core.protocols import Candidate
from kvasir.core.types import Chunk, Hit, SearchRequest
from kvasir.language.question_sides import described_by

MOST_LEFT_OUT = 10
"""Passages that are named for each reason why candidates are left out."""


@dataclass
class SearchTrace:
    """What one search noted.

    Attributes:
        syntax: The parts of the query, after options among the excluded words were found.
        options: Excluded words that exclude nothing.
        parts: Texts that were searched for.
        depth: Candidates that each leg was asked for.
        rows: The candidates of each part.
        language, language_set, languages, weighting, share, noise: As of ``SearchExplanation``.
        shifts: What is added to the dense scores of chunks in other languages, by id.
        ranked: Fused scores of the candidates that reach the threshold, best first.
        chunks: Those that were read, by id.
        found: The hits before the reranker.
        ordered: The hits after it, before the limit for each document.
        read: Number of hits that the reranker read.
        unread_factor: Factor of the others' scores.
    """

    syntax: QuerySyntax = field(default_factory=lambda: QuerySyntax(""))
    options: tuple[str, ...] = ()
    parts: Sequence[str] = ()
    depth: int = 0
    rows: Sequence[Sequence[Candidate]] = ()
    language: str = ""
    language_set: bool = False
    languages: Collection[str] = ()
    weighting: Weighting = Weighting.VECTORS_ALONE
    share: float = 1.0
    noise: float = 0.0
    shifts: Mapping[str, float] = field(default_factory=dict)
    ranked: Sequence[Scored] = ()
    chunks: dict[str, Chunk] = field(default_factory=dict)
    found: Sequence[Hit] = ()
    ordered: Sequence[Hit] = ()
    read: int = 0
    unread_factor: float | None = None

    @property
    def fusion(self) -> Fusion:
        """The scales of the candidates; without keywords a score is the dense score itself."""
        found = [candidate for row in self.rows for candidate in row]
        if self.weighting is Weighting.VECTORS_ALONE or not found:
            return Fusion(1.0, 1.0, 1.0, 0.0)
        dense = np.array([self.shifted(candidate) for candidate in found])
        lexical = np.array([candidate.lexical_score or 0.0 for candidate in found])
        return Fusion.of(dense, lexical, self.share, self.noise)

    def shifted(self, candidate: Candidate) -> float:
        """Return the dense score that is compared with those of other languages."""
        return candidate.dense_score + self.shifts.get(candidate.chunk_id, 0.0)


FetchChunks = Callable[[Sequence[str]], Iterable[Chunk]]
"""Returns chunks by id; unknown ids are left out."""


def explain_search(
    trace: SearchTrace, request: SearchRequest, hits: Sequence[Hit], fetch: FetchChunks
) -> SearchExplanation:
    """Return how a search found its hits; ``fetch`` reads the best candidates that are not."""
    fusion, syntax = trace.fusion, trace.syntax
    found = [candidate for row in trace.rows for candidate in row]
    ids = {candidate.chunk_id for candidate in found}
    return SearchExplanation(
        query=syntax.text or request.query,
        # Within an answer, the answer's own explanation says it.
        reply_language=asked_language(request.query, hits, () if request.explain else LANGUAGES),
        language=trace.language,
        languages=tuple(sorted(trace.languages)),
        language_set=trace.language_set,
        weighting=trace.weighting,
        dense_share=fusion.alpha,
        parts=tuple(trace.parts),
        phrases=syntax.phrases,
        identifiers=tuple(sorted(syntax.values)),
        excluded=syntax.excluded,
        options=trace.options,
        filters=None if request.filters is None else to_mapping(request.filters),
        threshold=request.min_score_threshold,
        depth=trace.depth,
        candidates=len(ids),
        dense_candidates=len({each.chunk_id for row in trace.rows for each in _best(row, trace)}),
        lexical_candidates=len({c.chunk_id for c in found if c.lexical_score is not None}),
        best_dense=max(map(trace.shifted, found), default=0.0),
        worst_dense=min(map(trace.shifted, found), default=0.0),
        dense_range=fusion.dense_range,
        noise=trace.noise,
        best_lexical=fusion.best_lexical,
        reranked=trace.read,
        unread_factor=trace.unread_factor,
        top_k=request.top_k,
        most_of_one=most_of_one(request.top_k),
        left_out=tuple(_left_out(trace, request, hits, ids, fetch)),
        hits=tuple(_explain_hits(trace, fusion, hits, request.top_k)),
    )


def _best(row: Sequence[Candidate], trace: SearchTrace) -> list[Candidate]:
    """Return the candidates of one part that the dense leg found, best first.

    A store gives the candidates of both legs together, each with its dense score: those of the
    dense leg have the highest.
    """
    ordered = sorted(row, key=lambda each: (-each.dense_score, each.chunk_id))
    return ordered[: trace.depth]


def _explain_hits(
    trace: SearchTrace, fusion: Fusion, hits: Sequence[Hit], top_k: int
) -> Iterator[HitExplanation]:
    scored = {candidate.chunk_id: (score, candidate) for score, candidate in trace.ranked}
    parts = {id(each): number for number, row in enumerate(trace.rows) for each in row}
    dense = [_ranks(_best(row, trace)) for row in trace.rows]
    lexical = [_ranks(_by_words(row)) for row in trace.rows]
    places = {hit.chunk.id: place for place, hit in enumerate(trace.found, 1)}
    ordered = {hit.chunk.id: place for place, hit in enumerate(trace.ordered)}
    passages = Counter(
        passage_of(trace.chunks[each.chunk_id])
        for _, each in trace.ranked
        if each.chunk_id in trace.chunks
    )
    nth = _numbers_of_documents(trace.ordered)
    counts = _counts_literally(trace)
    names = described_by(trace.syntax.text)
    describes = bool(names) and any(
        describes_any(chunk, names)
        for _, candidate in trace.ranked
        if (chunk := trace.chunks.get(candidate.chunk_id))
        and not trace.syntax.excludes(chunk.passage)
    )
    for hit in hits:
        chunk = hit.chunk
        score, candidate = scored[chunk.id]
        part = parts[id(candidate)]
        similar, shared = (
            np.array([value])
            for value in (trace.shifted(candidate), candidate.lexical_score or 0.0)
        )
        is_read = trace.unread_factor is not None and ordered[chunk.id] < trace.read
        yield HitExplanation(
            chunk_id=chunk.id,
            part=part,
            cosine=2.0 * candidate.dense_score - 1.0,
            shift=trace.shifts.get(chunk.id, 0.0),
            dense_rank=dense[part].get(chunk.id),
            scaled_dense=float(fusion.scaled_dense(similar)[0]),
            lexical_rank=lexical[part].get(chunk.id),
            lexical_score=candidate.lexical_score,
            scaled_lexical=float(fusion.scaled_lexical(shared)[0]),
            fused=score,
            literal_share=trace.syntax.share(chunk.passage) if counts else None,
            held=trace.syntax.held(chunk.passage),
            place=places[chunk.id],
            reranked=hit.score if is_read else None,
            score=hit.score,
            copies=passages[passage_of(chunk)] - 1,
            of_document=nth[chunk.id],
            filled=ordered[chunk.id] >= top_k,
            described=describes_any(chunk, names) if describes else None,
        )


def _by_words(row: Sequence[Candidate]) -> list[Candidate]:
    found = [each for each in row if each.lexical_score is not None]
    return sorted(found, key=lambda each: (-(each.lexical_score or 0.0), each.chunk_id))


def _ranks(ordered: Sequence[Candidate]) -> Mapping[str, int]:
    return {each.chunk_id: rank for rank, each in enumerate(ordered, 1)}


def _numbers_of_documents(hits: Sequence[Hit]) -> Mapping[str, int]:
    """Return the number of each hit among those of its document, by chunk id."""
    counts: Counter[str] = Counter()
    numbers = {}
    for hit in hits:
        counts[hit.chunk.document_id] += 1
        numbers[hit.chunk.id] = counts[hit.chunk.document_id]
    return numbers


def _counts_literally(trace: SearchTrace) -> bool:
    """Return True if a candidate holds a phrase or an identifier of the query."""
    syntax = trace.syntax
    read = (trace.chunks.get(candidate.chunk_id) for _, candidate in trace.ranked)
    return bool(syntax.phrases or syntax.values) and any(
        chunk is not None
        and not syntax.excludes(chunk.passage)
        and syntax.held(chunk.passage) != ()
        for chunk in read
    )


_Entry = tuple[str, float, str]
"""Chunk id, score and excluding word of a candidate that is left out."""


def _left_out(
    trace: SearchTrace,
    request: SearchRequest,
    hits: Sequence[Hit],
    ids: Collection[str],
    fetch: FetchChunks,
) -> Iterator[LeftOut]:
    reasons: dict[LeftOutReason, list[_Entry]] = {
        LeftOutReason.EXCLUDED: list(_excluded(trace)),
        LeftOutReason.THRESHOLD: _below_threshold(trace),
        LeftOutReason.COPY: list(_copies(trace)),
        LeftOutReason.DOCUMENT: list(_beyond_limit(trace, hits, request.top_k)),
    }
    named = [each for found in reasons.values() for each, _, _ in found[:MOST_LEFT_OUT]]
    unread = [each for each in named if each not in trace.chunks]
    chunks = trace.chunks | ({chunk.id: chunk for chunk in fetch(unread)} if unread else {})
    for reason, found in reasons.items():
        if found:
            passages = (
                _passage(chunks[chunk_id], score, word)
                for chunk_id, score, word in found[:MOST_LEFT_OUT]
                if chunk_id in chunks
            )
            yield LeftOut(reason, len(found), tuple(passages))
    others = len(ids) - len(hits) - sum(map(len, reasons.values()))
    if others > 0:
        yield LeftOut(LeftOutReason.RANK, others)


def _excluded(trace: SearchTrace) -> Iterator[_Entry]:
    for score, candidate in trace.ranked:
        chunk = trace.chunks.get(candidate.chunk_id)
        if chunk is not None and (word := trace.syntax.excluding(chunk.passage)):
            yield chunk.id, score, word


def _below_threshold(trace: SearchTrace) -> list[_Entry]:
    kept = {candidate.chunk_id for _, candidate in trace.ranked}
    best: dict[str, float] = {}
    for row in trace.rows:
        for each in row:
            if each.chunk_id not in kept:
                best[each.chunk_id] = max(each.dense_score, best.get(each.chunk_id, 0.0))
    return sorted(((*pair, "") for pair in best.items()), key=lambda each: -each[1])


def _copies(trace: SearchTrace) -> Iterator[_Entry]:
    own = {hit.chunk.id for hit in trace.found}
    passages = {passage_of(hit.chunk) for hit in trace.found}
    for score, candidate in trace.ranked:
        chunk = trace.chunks.get(candidate.chunk_id)
        if chunk is not None and chunk.id not in own and passage_of(chunk) in passages:
            yield chunk.id, score, ""


def _beyond_limit(trace: SearchTrace, hits: Sequence[Hit], top_k: int) -> Iterator[_Entry]:
    shown = {hit.chunk.id for hit in hits}
    for hit in trace.ordered[:top_k]:
        if hit.chunk.id not in shown:
            yield hit.chunk.id, hit.score, ""


def _passage(chunk: Chunk, score: float, word: str) -> LeftOutPassage:
    uri = str(chunk.metadata.get("source_uri", ""))
    place = chunk.page, chunk.start, chunk.end
    return LeftOutPassage(chunk.id, chunk.document_id, uri, *place, score, word)
