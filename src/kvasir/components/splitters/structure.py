"""Chunks that follow the document: its headings, paragraphs, table rows and sentences.

A sentence, table row, list item or line of code is cut only if it alone exceeds the embedder's
limit. Lengths are the embedder's token counts, with heading path, repeated table header and
special tokens. ``docs/decisions/0003-splitting.md`` has the measurements behind the defaults.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from kvasir.components.splitters.chunks import ChunkMaker
from kvasir.components.splitters.outline import Joint, Unit, outline
from kvasir.components.splitters.packing import Measured, common, pack
from kvasir.components.splitters.tokens import ASSUMED_LIMIT, EstimatedTokens, LengthBound, cut
from kvasir.core.errors import SettingsError
from kvasir.core.protocols import TokenCounter
from kvasir.core.text import heading_path
from kvasir.core.types import Chunk, Document

SMALLEST_LIMIT = 32

Preface = tuple[tuple[str, ...], str | None]
"""Heading path and repeated table header."""


class StructureSplitter:
    """Cuts at a document's own boundaries, into chunks within the embedder's limit."""

    def __init__(
        self,
        embedder: object | None = None,
        max_tokens: int = ASSUMED_LIMIT,
        target_tokens: int = 75,
        overlap_tokens: int = 0,
    ) -> None:
        """Set the sizes, all in the embedder's tokens.

        Args:
            embedder: Counts tokens and sets the limit if it is a ``TokenCounter``.
            max_tokens: Maximum of a chunk; the embedder's own limit applies as well.
            target_tokens: Desired length; paragraphs up to about twice as long are not cut, and
                a section of one paragraph within the limit never is.
            overlap_tokens: Maximum that a chunk repeats of the one before, in whole sentences
                of the same section.

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
        maker = ChunkMaker(document)
        spans = pack(units, self._target, self._limit)
        if self._overlap:
            spans = self._overlapping(units, spans)
        return self._fitting(maker, units, spans)

    def _measure(self, document: Document, units: list[Unit]) -> list[Measured]:
        """Count each unit's tokens and cut units that are too long."""
        text = document.text
        counts = self._lengths([text[unit.start : unit.end] for unit in units])
        overheads = {
            (path, header): self._special + self._shortened(path, header)[1]
            for path, header in {(unit.path, unit.table_header) for unit in units}
        }
        lead_texts = sorted({_leads(text, unit) for unit in units})
        leads = dict(zip(lead_texts, self._lengths(lead_texts), strict=True))
        measured: list[Measured] = []
        for unit, tokens in zip(units, counts, strict=True):
            overhead = overheads[unit.path, unit.table_header]
            lead_tokens = leads[_leads(text, unit)]
            room = self._limit - overhead
            if tokens <= room:
                measured.append(Measured(unit, tokens, lead_tokens, overhead))
            else:
                measured += self._cut(text, unit, lead_tokens, overhead)
        return measured

    def _cut(self, text: str, unit: Unit, lead_tokens: int, overhead: int) -> list[Measured]:
        """Cut a unit that is too long."""
        room = self._limit - overhead + self._special
        spans = cut(text, unit.start, unit.end, room, self._counter)
        lengths = self._lengths([text[start:end] for start, end in spans])
        pieces: list[Measured] = []
        for (start, end), tokens in zip(spans, lengths, strict=True):
            piece = replace(unit, start=start, end=end)
            if pieces:
                piece = replace(piece, joint=Joint.NONE, leads=(), glued=False)
            pieces.append(Measured(piece, tokens, 0 if pieces else lead_tokens, overhead))
        return pieces

    def _fits(self, path: tuple[str, ...]) -> bool:
        """Return True if headings can be put before a chunk without dropping any."""
        return self._shortened(path, None)[0][0] == path

    def _shortened(self, path: tuple[str, ...], header: str | None) -> tuple[Preface, int]:
        """Return the headings and table header that fit, and their tokens.

        They get a third of the limit; outer headings are dropped first, then the table header.
        """
        budget = self._limit // 3
        while (tokens := self._preface_tokens(path, header)) > budget:
            if path:
                path = path[1:]
            else:
                header = None
        return (path, header), tokens

    def _overlapping(
        self, units: list[Measured], spans: list[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Move starts back over units of the same section while overlap and limit allow."""
        moved = spans[:1]
        for (floor, _), (first, last) in pairwise(spans):
            tokens = units[first].overhead + sum(
                unit.tokens + unit.lead_tokens for unit in units[first:last]
            )
            repeated = 0
            start = first
            while start - 1 > floor and units[start].unit.joint is not Joint.HEADING:
                more = units[start - 1].tokens
                if repeated + more > self._overlap or tokens + repeated + more > self._limit:
                    break
                repeated += more
                start -= 1
            moved.append((start, last))
        return moved

    def _fitting(
        self, maker: ChunkMaker, units: list[Measured], spans: list[tuple[int, int]]
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

    def _halved(self, maker: ChunkMaker, measured: Measured) -> list[Chunk]:
        """Cut a unit whose passage is too long again, a tenth shorter each time."""
        text = maker.document.text
        room = self._limit - measured.overhead + self._special
        while True:
            room = room * 9 // 10
            spans = cut(text, measured.unit.start, measured.unit.end, room, self._counter)
            chunks = [
                self._chunk(maker, [replace(measured.unit, start=start, end=end)])
                for start, end in spans
            ]
            longest = max(self._counter.count_tokens([chunk.passage for chunk in chunks]))
            if longest <= self._limit or room < SMALLEST_LIMIT // 4:
                return chunks

    def _chunk(self, maker: ChunkMaker, units: list[Unit]) -> Chunk:
        first = units[0]
        shared = min(common(first.path, unit.path) for unit in units)
        own = len(first.path) - shared
        # Headings that not all units share are in the text instead.
        start = first.leads[-own] if own else first.start
        (path, header), _ = self._shortened(first.path[:shared], first.table_header)
        return maker.chunk(start, units[-1].end, (*path, header) if header else path)

    def _lengths(self, texts: list[str]) -> list[int]:
        return [count - self._special for count in self._counter.count_tokens(texts)]

    def _preface_tokens(self, path: tuple[str, ...], header: str | None) -> int:
        """Return the tokens of the headings and table header before a chunk."""
        text = heading_path((*path, header) if header else path)
        return self._lengths([text])[0] if text else 0


def _leads(text: str, unit: Unit) -> str:
    """Return the headings directly before a unit as they are in the text."""
    return text[unit.leads[0] : unit.start] if unit.leads else ""
