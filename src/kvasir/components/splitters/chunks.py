"""Chunks of spans of a document, with the ids, pages and metadata of every splitter."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from kvasir.core.text import passage
from kvasir.core.types import BlockKind, Chunk, Document, Metadata, chunk_id

FORM_FEED = "\f"


def spans_without_furniture(document: Document) -> list[tuple[int, int]]:
    """Return the longest spans of a document's text in which no furniture is."""
    furniture = (block for block in document.blocks if block.kind is BlockKind.FURNITURE)
    edges = [0, *(edge for block in furniture for edge in (block.start, block.end))]
    edges.append(len(document.text))
    return list(zip(edges[::2], edges[1::2], strict=True))


class ChunkMaker:
    """Makes the chunks of one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._starts = [block.start for block in document.blocks]
        self._form_feeds = [found.start() for found in re.finditer(FORM_FEED, document.text)]
        self._metadata: Metadata = {
            **document.metadata,
            "source_uri": document.source_uri,
            "title": document.title,
        }

    def chunk(self, start: int, end: int, headings: Sequence[str] = ()) -> Chunk:
        """Return the chunk of a span of the document's text."""
        document, path = self.document, tuple(headings)
        text = document.text[start:end]
        return Chunk(
            id=chunk_id(document.id, passage(path, text), start, end),
            document_id=document.id,
            text=text,
            start=start,
            end=end,
            page=self.page(start + len(text) - len(text.lstrip())),
            headings=path,
            metadata=self._metadata,
        )

    def page(self, offset: int) -> int | None:
        """Return the page of an offset: its block's, or else counted by form feeds."""
        index = bisect_right(self._starts, offset) - 1
        if index >= 0 and (page := self.document.blocks[index].page) is not None:
            return page
        return bisect_left(self._form_feeds, offset) + 1 if self._form_feeds else None
