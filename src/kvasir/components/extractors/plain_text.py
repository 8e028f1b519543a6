"""Plain text: the file's text to the letter, paragraphs between blank lines."""

from __future__ import annotations

import re

from kvasir.components.extractors.decoding import decode
from kvasir.components.extractors.document_builder import empty_error, file_name
from kvasir.core.text import replace_control_characters
from kvasir.core.types import Block, BlockKind, Document, Source, document_id

_PARAGRAPH = re.compile(r"\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*")


class PlainTextExtractor:
    """Reads any text file; offsets point into the file's own text."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract paragraphs; see ``Extractor``."""
        text = replace_control_characters(decode(data))
        blocks = tuple(
            Block(BlockKind.PARAGRAPH, match.start(), match.start() + len(match[0].rstrip()))
            for match in _PARAGRAPH.finditer(text)
        )
        if not blocks:
            raise empty_error()
        return Document(
            id=document_id(source.uri),
            source_uri=source.uri,
            title=file_name(source.uri),
            text=text,
            blocks=blocks,
        )
