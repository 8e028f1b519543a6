"""Join hits that stand next to each other in a document into one passage.

Passages are short, so that each says one thing: steps, a list or a letter may be cut between two
of them. Where a search finds both, a reader wants them as one text, and their places in the list
of hits go to others. A joined passage stays one span of its document's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from kvasir.answering.citations import FindVersion
from kvasir.answering.explaining import MOST_LEFT_OUT
from kvasir.answering.ranking import limit_documents, most_of_one
from kvasir.answering.retrieval import Searches
from kvasir.core.explanations import LeftOut, LeftOutPassage, LeftOutReason, SearchExplanation
from kvasir.core.types import Chunk, ExplainedSearch, Hit, SearchRequest

READ_FURTHER = 10
"""Hits behind the wanted ones that are searched for neighbours, and that fill free places."""
JOINED_HITS = 5
"""Hits that take in their neighbours, the best ones: each may need its document's text."""
MOST_JOINED = 1_000
"""Most UTF-8 bytes of a joined passage: about as much as the longest passage of one piece."""

_WIDEST_GAP = 8
"""Most characters of white space between neighbours; checked before a text is read."""
_FARTHEST = 2_000_000
"""Where a passage may end: the text before it is unpacked, in about 6 ms a million characters."""


@dataclass(frozen=True, slots=True)
class Joining:
    """Joins the neighbours among the hits of searches.

    Attributes:
        find_version: Finds documents' texts; hits whose text is not stored are not joined.
        candidates: Most hits of a search among which neighbours are looked for; with 0 none are
            joined.
    """

    find_version: FindVersion
    candidates: int

    def widened(self, request: SearchRequest) -> SearchRequest:
        """Return a request for the hits among which neighbours are looked for."""
        top_k = request.top_k
        wider = min(top_k + READ_FURTHER, self.candidates)
        return replace(request, top_k=wider) if 1 <= top_k < wider else request

    def joined(self, found: Sequence[Hit], top_k: int) -> list[Hit]:
        """Return the best ``top_k`` hits, best first, after the first took in their neighbours.

        A joined hit has the place, the id and the scores of its best part, and begins with the
        headings of its first part. ``found`` are the hits of the widened request.
        """
        if not self.candidates:
            return list(found)
        joined, _ = _join(found, self.find_version)
        return limit_documents(joined, top_k)

    def explained(self, found: ExplainedSearch, top_k: int) -> ExplainedSearch:
        """Return the hits as ``joined`` does, and the explanation of these alone."""
        if not self.candidates:
            return found
        joined, taken = _join(found.hits, self.find_version)
        hits = limit_documents(joined, top_k)
        return ExplainedSearch(tuple(hits), _explain(found, joined, taken, hits, top_k))


@dataclass(frozen=True, slots=True)
class JoinedSearches:
    """A retriever whose hits take in their neighbours."""

    retriever: Searches
    joining: Joining

    def retrieve(self, request: SearchRequest) -> list[Hit]:
        """Return the hits of a search, best first."""
        found = self.retriever.retrieve(self.joining.widened(request))
        return self.joining.joined(found, request.top_k)

    def explain(self, request: SearchRequest) -> ExplainedSearch:
        """Return the same hits, and how they were found."""
        found = self.retriever.explain(self.joining.widened(request))
        return self.joining.explained(found, request.top_k)


def _explain(
    found: ExplainedSearch,
    joined: Sequence[Hit],
    taken: Sequence[Hit],
    hits: Sequence[Hit],
    top_k: int,
) -> SearchExplanation:
    """Return the explanation of ``hits``, the best of the joined ones."""
    explanation = found.explanation
    own = {hit.chunk.id for hit in hits}
    places = {hit.chunk.id: place for place, hit in enumerate(joined)}
    parts = {each.chunk_id: each for each in explanation.hits}
    dropped = [hit for hit in joined if hit.chunk.id not in own]
    left_out = {each.reason: each for each in explanation.left_out}
    _count_by_rank(left_out, hits)
    for reason, those in (
        (LeftOutReason.JOINED, taken),
        (LeftOutReason.DOCUMENT, [hit for hit in dropped if places[hit.chunk.id] < top_k]),
        (LeftOutReason.RANK, [hit for hit in dropped if places[hit.chunk.id] >= top_k]),
    ):
        if those:
            left_out[reason] = _added(left_out.get(reason, LeftOut(reason, 0)), those)
    return replace(
        explanation,
        top_k=top_k,
        most_of_one=most_of_one(top_k),
        left_out=tuple(left_out[each] for each in LeftOutReason if each in left_out),
        hits=tuple(
            replace(parts[hit.chunk.id], filled=places[hit.chunk.id] >= top_k) for hit in hits
        ),
    )


def _count_by_rank(left_out: dict[LeftOutReason, LeftOut], hits: Sequence[Hit]) -> None:
    """Count what the limit of the widened search left out by rank, if no hit has a lower score."""
    limited = left_out.get(LeftOutReason.DOCUMENT)
    if limited is None or not hits or not limited.passages:
        return
    if max(each.score for each in limited.passages) <= min(hit.score for hit in hits):
        del left_out[LeftOutReason.DOCUMENT]
        ranked = left_out.get(LeftOutReason.RANK, LeftOut(LeftOutReason.RANK, 0))
        left_out[LeftOutReason.RANK] = replace(ranked, count=ranked.count + limited.count)


def _added(left_out: LeftOut, hits: Sequence[Hit]) -> LeftOut:
    """Return what is left out for a reason with these hits before it."""
    passages = left_out.passages
    if left_out.reason is not LeftOutReason.RANK:  # Those are only counted.
        passages = (*(_passage(hit) for hit in hits), *passages)[:MOST_LEFT_OUT]
    return replace(left_out, count=left_out.count + len(hits), passages=passages)


def _passage(hit: Hit) -> LeftOutPassage:
    chunk = hit.chunk
    uri = str(chunk.metadata.get("source_uri", ""))
    place = chunk.page, chunk.start, chunk.end
    return LeftOutPassage(chunk.id, chunk.document_id, uri, *place, hit.score)


def _join(hits: Sequence[Hit], find_version: FindVersion) -> tuple[list[Hit], list[Hit]]:
    """Return the joined hits in their order, and those that they have taken in."""
    of_document: dict[str, list[Hit]] = {}
    for hit in hits:
        of_document.setdefault(hit.chunk.document_id, []).append(hit)
    find_version = cache(find_version)
    taken: set[str] = set()
    joined: list[Hit] = []
    for hit in hits:
        if hit.chunk.id not in taken:
            taken.add(hit.chunk.id)
            if len(joined) < JOINED_HITS:
                hit = _joined(hit, of_document[hit.chunk.document_id], taken, find_version)
            joined.append(hit)
    own = {hit.chunk.id for hit in joined}
    return joined, [hit for hit in hits if hit.chunk.id not in own]


def _joined(hit: Hit, others: Sequence[Hit], taken: set[str], find_version: FindVersion) -> Hit:
    """Return a hit that has taken in its neighbours among the others of its document."""
    parts = [hit]
    while (neighbour := _neighbour(parts, others, taken, find_version)) is not None:
        taken.add(neighbour.chunk.id)
        parts.append(neighbour)
    if len(parts) == 1:
        return hit
    first = min(parts, key=lambda part: part.chunk.start).chunk
    start, end = _span(parts)
    version = find_version(hit.chunk.document_id)
    text = version.text[start:end] if version else ""
    copies = set.intersection(*(set(part.copies) for part in parts))
    chunk = replace(first, id=hit.chunk.id, text=text, start=start, end=end)
    return replace(hit, chunk=chunk, copies=tuple(sorted(copies)))


def _neighbour(
    parts: Sequence[Hit], others: Sequence[Hit], taken: set[str], find_version: FindVersion
) -> Hit | None:
    """Return the best hit beside the parts that are joined already, if there is one that fits."""
    start, end = _span(parts)
    size = sum(len(part.chunk.text.encode()) for part in parts)
    for other in others:
        chunk = other.chunk
        gap = _gap(chunk, start, end)
        # Most hits are told apart without reading a text.
        if chunk.id in taken or gap > _WIDEST_GAP or chunk.end > _FARTHEST:
            continue
        if gap >= 0 and size + len(chunk.text.encode()) > MOST_JOINED:
            continue
        version = find_version(chunk.document_id)
        if version is None:
            return None
        text = version.text
        if any(text[part.chunk.start : part.chunk.end] != part.chunk.text for part in parts):
            return None
        between = text[min(end, chunk.end) : max(start, chunk.start)]
        whole = text[min(start, chunk.start) : max(end, chunk.end)]
        if (
            text[chunk.start : chunk.end] == chunk.text
            and not between.strip()
            and len(whole.encode()) <= MOST_JOINED
        ):
            return other
    return None


def _span(parts: Sequence[Hit]) -> tuple[int, int]:
    return min(part.chunk.start for part in parts), max(part.chunk.end for part in parts)


def _gap(chunk: Chunk, start: int, end: int) -> int:
    """Return the number of characters between a chunk and a span; below 0 if they overlap."""
    return max(chunk.start - end, start - chunk.end)
