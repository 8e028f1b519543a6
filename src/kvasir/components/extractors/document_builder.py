"""Puts a document together block by block, so that every offset is right by construction."""

from __future__ import annotations

import re

from kvasir.core.errors import ExtractionError
from kvasir.core.text import replace_control_characters
from kvasir.core.types import Block, BlockKind, Document, Metadata, MetadataValue, Source
from kvasir.core.types import document_id as id_of

MAX_LEVEL = 10
"""Deepest level of a heading (OpenDocument's); deeper ones count as this one."""
MAX_PAGE = 10_000_000
"""Highest page number that is believed; the database keeps 32 bits."""
SEPARATOR = "\n\n"

_WITHOUT_WIDTH = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))


def is_blank(text: str) -> bool:
    """Return True if a text has no visible character; mark without width are none."""
    return not text.translate(_WITHOUT_WIDTH).strip()


def file_name(uri: str) -> str:
    """Return the last part of a path or URL."""
    return re.split(r"[/\\]", uri.rstrip("/\\"))[-1] or uri


def empty_error() -> ExtractionError:
    """Return the error for a file without any text."""
    return ExtractionError("empty", "there is no text in it; nothing to index")


class DocumentBuilder:
    """Collects blocks and joins them by blank lines into one text."""

    def __init__(self, source: Source) -> None:
        """Args: the source that the document is extracted from."""
        self._source = source
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0
        self._metadata: dict[str, MetadataValue] = {}
        self.title = ""

    def add(
        self, kind: BlockKind, text: str, *, page: int | None = None, level: int | None = None
    ) -> None:
        """Append a block; text without a visible character is left out.

        A page number that no document has is left out, a level is brought into its range.
        """
        text = replace_control_characters(text).strip("\n").rstrip()
        if kind is not BlockKind.CODE:
            text = text.strip()
        if not text.strip():
            return
        if self._parts:
            self._parts.append(SEPARATOR)
            self._length += len(SEPARATOR)
        end = self._length + len(text)
        page = page if page is not None and 0 < page <= MAX_PAGE else None
        level = level if level is None else min(max(level, 1), MAX_LEVEL)
        self._blocks.append(Block(kind, self._length, end, page, level))
        self._parts.append(text)
        self._length = end
        if kind is BlockKind.HEADING and not self.title:
            self.title = " ".join(text.split())

    def set_metadata(self, values: Metadata) -> None:
        """Add metadata; empty texts are left out, a key given twice keeps its first value."""
        for key, value in values.items():
            if isinstance(value, str):
                value = replace_control_characters(value).strip()
            if value != "" and key not in self._metadata:
                self._metadata[key] = value

    def absorb(self, document: Document) -> None:
        """Append the blocks of another document, such as an attachment's."""
        for block in document.blocks:
            self.add(block.kind, document.text[block.start : block.end], level=block.level)

    @property
    def is_empty(self) -> bool:
        """Whether no block was added yet."""
        return not self._blocks

    def build(self) -> Document:
        """Return the document.

        Raises:
            ExtractionError: No block holds any text.
        """
        if self.is_empty:
            raise empty_error()
        return Document(
            id=id_of(self._source.uri),
            source_uri=self._source.uri,
            title=self.title or file_name(self._source.uri),
            text="".join(self._parts),
            blocks=tuple(self._blocks),
            metadata=self._metadata,
        )
