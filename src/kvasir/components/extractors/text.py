"""Plain text, kept to the letter, without what colours it in a terminal."""

from __future__ import annotations

import re

from kvasir.components.extractors.document_builder import make_document
from kvasir.components.extractors.encodings import decode
from kvasir.core.text import clean_text
from kvasir.core.types import Block, BlockKind, Document, Source

_WITHOUT_WIDTH = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_DATA_URI = re.compile(r"data:[\w.+/;=-]*;base64,[\w+/=%-]*")
_PARAGRAPH = re.compile(r"\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*")


def without_data_uris(text: str) -> str:
    """Take the data of pictures in base64 out of a text, which nobody reads."""
    return _DATA_URI.sub("", text) if ";base64," in text else text


def is_blank(text: str) -> bool:
    """Return True if a text has no visible character (zero-width characters are invisible)."""
    return not text.translate(_WITHOUT_WIDTH).strip()


class PlainTextExtractor:
    """Reads any text file; offsets are those of the file's text."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the paragraphs between blank lines; see ``Extractor``."""
        warnings: list[str] = []
        text = clean_text(decode(data, source.charset, warnings.append))
        text = without_data_uris(text)
        blocks = [
            Block(BlockKind.PARAGRAPH, match.start(), match.start() + len(match[0].rstrip()))
            for match in _PARAGRAPH.finditer(text)
        ]
        return make_document(source, text, blocks, warnings=warnings)
