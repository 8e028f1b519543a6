"""Plain text: the unchanged text, with paragraphs between blank lines."""

from __future__ import annotations

import re

from kvasir.components.extractors.decoding import decode
from kvasir.components.extractors.document_builder import make_document
from kvasir.core.text import replace_control_characters
from kvasir.core.types import Block, BlockKind, Document, Source

_PARAGRAPH = re.compile(r"\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*")


class PlainTextExtractor:
    """Reads any text file; offsets are those of the file's text."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract paragraphs; see ``Extractor``."""
        text = replace_control_characters(decode(data))
        blocks = [
            Block(BlockKind.PARAGRAPH, match.start(), match.start() + len(match[0].rstrip()))
            for match in _PARAGRAPH.finditer(text)
        ]
        return make_document(source, text, blocks, "", {})
