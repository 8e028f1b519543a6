"""Builds a document block by block, so that every offset is right by construction."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kvasir.core.errors import ExtractionError
from kvasir.core.text import replace_control_characters
from kvasir.core.types import (
    Block,
    BlockKind,
    Document,
    Metadata,
    MetadataValue,
    Source,
    document_id,
)

MAX_LEVEL = 10
"""Deepest heading level (OpenDocument's); deeper headings get this one."""
MAX_PAGE = 10_000_000
"""Highest page number that is kept; the database has 32 bits."""
SEPARATOR = "\n\n"

_WITHOUT_WIDTH = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))


def is_blank(text: str) -> bool:
    """Return True if a text has no visible character (zero-width characters are invisible)."""
    return not text.translate(_WITHOUT_WIDTH).strip()


def file_name(uri: str) -> str:
    """Return the last part of a path or URL."""
    return re.split(r"[/\\]", uri.rstrip("/\\"))[-1] or uri


def empty_error() -> ExtractionError:
    """Return the error for a file without any text."""
    return ExtractionError("empty", "there is no text in it; nothing to index")


def make_document(
    source: Source, text: str, blocks: Sequence[Block], title: str, metadata: Metadata
) -> Document:
    """Return the document of a source; the title defaults to the file's name.

    Raises:
        ExtractionError: It has no block.
    """
    if not blocks:
        raise empty_error()
    return Document(
        id=document_id(source.uri),
        source_uri=source.uri,
        title=title or file_name(source.uri),
        text=text,
        blocks=tuple(blocks),
        metadata=metadata,
    )


class DocumentBuilder:
    """Collects blocks and joins them by blank lines into one text."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0
        self._lines: list[str] = []
        self._lines_kind = BlockKind.LIST
        self._lines_page: int | None = None
        self._metadata: dict[str, MetadataValue] = {}
        self.title = ""

    def add(
        self, kind: BlockKind, text: str, *, page: int | None = None, level: int | None = None
    ) -> None:
        """Append a block, after the pending lines; blank text is left out.

        An impossible page number is left out, a level is clamped to its range.
        """
        self.end_block()
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

    def add_line(self, kind: BlockKind, line: str, page: int | None = None) -> None:
        """Append a line; consecutive lines of a kind become one block, on the first line's page."""
        if kind is not self._lines_kind:
            self.end_block()
        if not self._lines:
            self._lines_kind, self._lines_page = kind, page
        self._lines.append(line)

    def add_item(
        self, text: str, marker: str = "-", *, depth: int = 0, page: int | None = None
    ) -> None:
        """Append a list item as one line; blank text is left out.

        Args:
            text: The item's own text.
            marker: A number or "-"; empty for an item that is shown without.
            depth: Number of lists around the item's list.
            page: The item's page.
        """
        if text := " ".join(text.split()):
            line = f"{'    ' * depth}{marker} {text}" if marker else text
            self.add_line(BlockKind.LIST, line, page)

    def end_block(self) -> None:
        """Append the pending lines as one block."""
        if lines := self._lines:
            self._lines = []
            self.add(self._lines_kind, "\n".join(lines), page=self._lines_page)

    @property
    def in_list(self) -> bool:
        """True while list items are pending."""
        return bool(self._lines) and self._lines_kind is BlockKind.LIST

    def set_metadata(self, values: Metadata) -> None:
        """Add metadata; empty text is left out, a repeated key keeps its first value."""
        for key, value in values.items():
            if isinstance(value, str):
                value = replace_control_characters(value).strip()
            if value != "" and key not in self._metadata:
                self._metadata[key] = value

    def absorb(self, document: Document) -> None:
        """Append the blocks of another document, such as an attachment."""
        for block in document.blocks:
            self.add(block.kind, document.text[block.start : block.end], level=block.level)

    @property
    def is_empty(self) -> bool:
        """True if no block was added yet."""
        return not self._blocks and not self._lines

    def build(self) -> Document:
        """Return the document.

        Raises:
            ExtractionError: No block holds any text.
        """
        self.end_block()
        text = "".join(self._parts)
        return make_document(self._source, text, self._blocks, self.title, self._metadata)
