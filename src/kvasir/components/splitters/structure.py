"""Chunks that follow the document: its headings, paragraphs, table rows and sentences.

A sentence, table row, list item or line of code is cut only if it alone exceeds the embedder's
limit. Lengths are the embedder's token counts, with heading path, repeated table header and
special tokens. Among all ways to pack the units, dynamic programming finds the cheapest cuts.
``docs/decisions/0003-splitting.md`` has the measurements behind the defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from math import inf

from kvasir.components.splitters.chunks import ChunkMaker
from kvasir.components.splitters.outline import Joint, Unit, outline
from kvasir.components.splitters.tokens import ASSUMED_LIMIT, EstimatedTokens, LengthBound, cut
from kvasir.core.errors import SettingsError
from kvasir.core.protocols import TokenCounter
from kvasir.core.text import heading_path
from kvasir.core.types import Chunk, Document

SMALLEST_LIMIT = 32

_CUT = {
    Joint.NONE: 2.0,
    Joint.SENTENCE: 2.0,
    Joint.ROW: 1.0,
    Joint.LINE: 0.2,
    Joint.INTRODUCTION: 0.5,
    Joint.BLOCK: 0.0,
    Joint.HEADING: 0.0,
}
"""Cost of a cut. A chunk twice as long as the target costs 1, one half as long 0.25."""

_CUT_GLUED = 10.0
_CUT_DESCRIPTION = 4.0
"""Added for a cut between a term and the end of its description."""
_ACROSS_HEADING = 0.5

Preface = tuple[tuple[str, ...], str | None]
"""Heading path and repeated table header."""


@dataclass(frozen=True, slots=True)
class _Measured:
    unit: Unit
    tokens: int
    lead_tokens: int
    """Of the headings directly before it."""
    overhead: int
    """Of the heading path, the repeated table header and the special tokens."""


class StructureSplitter:
    """Cuts at a document's own boundaries, into chunks within the embedder's limit."""

    def __init__(
        self,
        embedder: object | None = None,
        max_tokens: int = ASSUMED_LIMIT,
        target_tokens: int = 75,
        overlap_tokens: int = 0,
    ) -> None:
        """Set the sizes, all in the embedder's tokens, if it is a ``TokenCounter``.

        A chunk has at most ``max_tokens``, and at most as many as the embedder reads. Paragraphs up
        to about twice ``target_tokens`` long are not cut, and a section of one paragraph within the
        limit never is. A chunk repeats at most ``overlap_tokens`` of the one before, in whole
        sentences of the same section.

        Raises:
            SettingsError: A size is out of range; the message names the option.
        """
        self._counter: TokenCounter = LengthBound(
            embedder if isinstance(embedder, TokenCounter) else EstimatedTokens()
        )
        if max_tokens < SMALLEST_LIMIT:
            raise SettingsError(f"max_tokens must be at least {SMALLEST_LIMIT}, not {max_tokens}")
        if target_tokens < 1:
            raise SettingsError(f"target_tokens must be at least 1, not {target_tokens}")
        self._limit = min(max_tokens, self._counter.max_tokens)
        self._target = min(target_tokens, self._limit)
        if not 0 <= overlap_tokens < self._target:
            raise SettingsError(
                "overlap_tokens must be at least 0 and less than the target of "
                f"{self._target} tokens, not {overlap_tokens}"
            )
        self._overlap = overlap_tokens
        self._special = self._counter.count_tokens([""])[0]

    def split(self, document: Document) -> list[Chunk]:
        """Return the chunks of a document."""
        units = self._measure(document, outline(document, self._fits))
        spans = _pack(units, self._target, self._limit)
        if self._overlap:
            spans = self._overlapping(units, spans)
        return self._fitting(ChunkMaker(document), units, spans)

    def _measure(self, document: Document, units: list[Unit]) -> list[_Measured]:
        """Count each unit's tokens and cut units that are too long."""
        text = document.text
        counts = self._sizes(text, [(unit.start, unit.end) for unit in units])
        overheads = {
            (path, header): self._special + self._shortened(path, header)[1]
            for path, header in {(unit.path, unit.header) for unit in units}
        }
        lead_texts = sorted({_leads(text, unit) for unit in units})
        leads = dict(zip(lead_texts, self._lengths(lead_texts), strict=True))
        measured: list[_Measured] = []
        for unit, tokens in zip(units, counts, strict=True):
            overhead = overheads[unit.path, unit.header]
            whole = _Measured(unit, tokens, leads[_leads(text, unit)], overhead)
            measured += [whole] if tokens <= self._limit - overhead else self._cut(text, whole)
        return measured

    def _cut(self, text: str, whole: _Measured) -> Iterator[_Measured]:
        unit = whole.unit
        room = self._limit - whole.overhead + self._special
        spans = cut(text, unit.start, unit.end, room, self._counter)
        for (start, end), tokens in zip(spans, self._sizes(text, spans), strict=True):
            piece = replace(unit, start=start, end=end)
            yield replace(whole, unit=piece, tokens=tokens)
            # Only the first piece has the joint and the headings of the whole unit.
            unit = replace(
                unit,
                joint=Joint.NONE,
                leads=(),
                shown=0,
                glued=False,
                described=False,
                barrier=False,
            )
            whole = replace(whole, lead_tokens=0)

    def _fits(self, path: tuple[str, ...]) -> bool:
        """Return True if headings can be put before a chunk without dropping any."""
        return self._shortened(path, None)[0][0] == path

    def _shortened(self, path: tuple[str, ...], header: str | None) -> tuple[Preface, int]:
        """Return the headings and table header that fit, and their tokens.

        They get a third of the limit; outer headings are dropped first, then the table header.
        """
        budget = self._limit // 3
        while True:
            text = heading_path((*path, header) if header else path)
            tokens = self._lengths([text])[0] if text else 0
            if tokens <= budget:
                return (path, header), tokens
            if path:
                path = path[1:]
            else:
                header = None

    def _overlapping(
        self, units: list[_Measured], spans: list[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Move starts back over units of the same section while overlap and limit allow."""
        moved = spans[:1]
        for (floor, _), (first, last) in pairwise(spans):
            tokens = units[first].overhead + sum(
                unit.tokens + unit.lead_tokens for unit in units[first:last]
            )
            repeated = 0
            start = first
            while start - 1 > floor and _continues(units[start].unit, units[start - 1].unit):
                more = units[start - 1].tokens
                if repeated + more > self._overlap or tokens + repeated + more > self._limit:
                    break
                repeated += more
                start -= 1
            moved.append((start, last))
        return moved

    def _fitting(
        self, maker: ChunkMaker, units: list[_Measured], spans: list[tuple[int, int]]
    ) -> list[Chunk]:
        """Make the chunks and halve those that are still too long.

        A tokenizer may count more tokens in a text than in its sentences together.
        """
        chunks = [
            self._chunk(maker, [item.unit for item in units[first:last]]) for first, last in spans
        ]
        counts = self._counter.count_tokens([chunk.passage for chunk in chunks])
        if max(counts, default=0) <= self._limit:
            return chunks
        fitting: list[Chunk] = []
        for chunk, count, (first, last) in zip(chunks, counts, spans, strict=True):
            if count <= self._limit:
                fitting.append(chunk)
            elif last - first > 1:
                middle = (first + last) // 2
                fitting += self._fitting(maker, units, [(first, middle), (middle, last)])
            else:
                fitting += self._halved(maker, units[first])
        return fitting

    def _halved(self, maker: ChunkMaker, measured: _Measured) -> list[Chunk]:
        """Cut a unit whose passage is too long again, a tenth shorter each time."""
        text = maker.document.text
        room = self._limit - measured.overhead + self._special
        unit = measured.unit
        while True:
            room = room * 9 // 10
            spans = cut(text, unit.start, unit.end, room, self._counter)
            chunks = [self._chunk(maker, [replace(unit, start=a, end=b)]) for a, b in spans]
            longest = max(self._counter.count_tokens([chunk.passage for chunk in chunks]))
            if longest <= self._limit or room < SMALLEST_LIMIT // 4:
                return chunks

    def _chunk(self, maker: ChunkMaker, units: list[Unit]) -> Chunk:
        first = units[0]
        shared = min(_common(first.path, unit.path) for unit in units)
        # Headings that not all units share are in the text instead, and so are terms.
        own = max(len(first.path) - shared, first.shown)
        start = first.leads[-own] if own else first.start
        (path, header), _ = self._shortened(first.path[: len(first.path) - own], first.header)
        return maker.chunk(start, units[-1].end, (*path, header) if header else path)

    def _sizes(self, text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
        """Return the tokens of units, at least one each.

        A tokenizer may count none in a unit, and the limit must bound the units of a chunk.
        """
        return [max(1, size) for size in self._lengths([text[a:b] for a, b in spans])]

    def _lengths(self, texts: list[str]) -> list[int]:
        return [count - self._special for count in self._counter.count_tokens(texts)]


def _continues(unit: Unit, before: Unit) -> bool:
    """Return True if two neighbouring units are in the same section, without furniture between."""
    return unit.path == before.path and not unit.leads and not unit.barrier


def _leads(text: str, unit: Unit) -> str:
    """Return the headings directly before a unit as they are in the text."""
    return text[unit.leads[0] : unit.start] if unit.leads else ""


def _pack(units: Sequence[_Measured], target: int, limit: int) -> list[tuple[int, int]]:
    """Return the cheapest chunks, each as the index of its first unit and the one after its last.

    A chunk costs the square of its relative distance from the target. A section of a single
    paragraph, list or table between target and limit costs nothing. Each cut costs by its joint,
    and each heading inside a chunk costs too. Only a single unit may have more than the limit.
    """
    count = len(units)
    sizes = [each.tokens for each in units]
    cuts = [*(_cut_cost(each.unit) for each in units), 0.0]
    joints = [each.unit.joint for each in units]
    opens = [True, *(joint is Joint.HEADING for joint in joints[1:]), True]
    stops = [*(each.unit.barrier for each in units), True]
    plain = [False, *(_goes_on(units[i - 1], units[i]) for i in range(1, count))]
    best = [0.0] + [inf] * count
    before = [0] * (count + 1)
    # Documents have up to millions of units; each loop body runs for every pair within the limit.
    for first in range(count):
        opening = units[first]
        shared = len(opening.unit.path)
        start = best[first]
        tokens = opening.overhead + sizes[first]
        headings = 0.0
        is_section = opens[first]
        end = first + 1
        while True:
            if is_section and opens[end] and tokens >= target:
                cost = 0.0
            else:
                relative = (tokens - target) / target
                cost = relative * relative
            total = start + (cost + headings + cuts[end])
            if total < best[end]:
                best[end], before[end] = total, first
            if stops[end]:
                break
            if not plain[end]:
                unit = units[end].unit
                if joints[end] is Joint.HEADING:
                    headings += _ACROSS_HEADING
                    is_section = False
                elif joints[end] in (Joint.BLOCK, Joint.INTRODUCTION):
                    is_section = False
                if unit.path != units[end - 1].unit.path:
                    shared = min(shared, _common(opening.unit.path, unit.path))
                    # Headings that not all units share must be in the chunk's own text.
                    if len(opening.unit.path) - shared > len(opening.unit.leads):
                        break
                tokens += units[end].lead_tokens
            tokens += sizes[end]
            if tokens > limit:
                break
            end += 1
    chunks: list[tuple[int, int]] = []
    end = count
    while end:
        chunks.append((before[end], end))
        end = before[end]
    return chunks[::-1]


def _cut_cost(unit: Unit) -> float:
    """Return what a cut directly before a unit costs."""
    if unit.barrier:
        return 0.0
    cost = _CUT_GLUED if unit.glued else _CUT[unit.joint]
    return cost + _CUT_DESCRIPTION if unit.described else cost


def _goes_on(before: _Measured, measured: _Measured) -> bool:
    """Return True if a unit is of the same block as the one before it, or of the same section."""
    unit = measured.unit
    is_same = unit.joint not in (Joint.BLOCK, Joint.INTRODUCTION, Joint.HEADING)
    return is_same and not measured.lead_tokens and unit.path == before.unit.path


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the number of outermost headings that two paths share."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
