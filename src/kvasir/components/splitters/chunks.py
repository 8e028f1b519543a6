"""Makes chunks of spans: ids, pages and metadata as every splitter gives them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from kvasir.core.text import passage
from kvasir.core.types import Chunk, Document, Metadata, chunk_id

FORM_FEED = "\f"


class ChunkMaker:
    """Makes the chunks of one document; holds what they share.

    Attributes:
        document: The document.
    """

    def __init__(self, document: Document) -> None:
        """Args: the document to cut."""
        self.document = document
        self._starts = [block.start for block in document.blocks]
        self._metadata: Metadata = {
            **document.metadata,
            "source_uri": document.source_uri,
            "title": document.title,
        }

    def chunk(self, start: int, end: int, headings: Sequence[str] = ()) -> Chunk:
        """Return the chunk of a span of the document's text."""
        document, text = self.document, self.document.text[start:end]
        path = tuple(headings)
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
        """Return the page on which an offset stands.

        That is the page of its block; form feeds count pages where the blocks name none.
        """
        index = bisect_right(self._starts, offset) - 1
        if index >= 0 and (page := self.document.blocks[index].page) is not None:
            return page
        before = self.document.text.count(FORM_FEED, 0, offset)
        if before or FORM_FEED in self.document.text:
            return before + 1
        return None
