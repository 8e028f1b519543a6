"""Text files: plain text as it is, CSV and TSV as one table."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from itertools import islice

from kvasir.components.extractors.document_builder import DocumentBuilder, make_document
from kvasir.components.extractors.encodings import decode
from kvasir.core.text import replace_control_characters
from kvasir.core.types import Block, BlockKind, Document, Source

_WITHOUT_WIDTH = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_PARAGRAPH = re.compile(r"\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*")
_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 50


def is_blank(text: str) -> bool:
    """Return True if a text has no visible character (zero-width characters are invisible)."""
    return not text.translate(_WITHOUT_WIDTH).strip()


class PlainTextExtractor:
    """Reads any text file; offsets are those of the file's text."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the paragraphs between blank lines; see ``Extractor``."""
        warnings: list[str] = []
        text = replace_control_characters(decode(data, source.charset, warnings.append))
        blocks = [
            Block(BlockKind.PARAGRAPH, match.start(), match.start() + len(match[0].rstrip()))
            for match in _PARAGRAPH.finditer(text)
        ]
        return make_document(source, text, blocks, warnings=warnings)


class CsvExtractor:
    """Reads delimited text; the first row is the header."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the table, whose delimiter is found by trial; see ``Extractor``."""
        builder = DocumentBuilder(source)
        text = decode(data, source.charset, builder.warn)
        csv.field_size_limit(1 << 27)
        builder.add_table(_rows(text, _delimiter(text)))
        return builder.build()


def _rows(text: str, delimiter: str, limit: int | None = None) -> list[list[str]]:
    return list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), limit))


def _delimiter(text: str) -> str:
    """Return the delimiter that gives the most rows of equal width above 1, else a comma."""

    def agreement(delimiter: str) -> tuple[int, int]:
        widths = Counter(len(row) for row in _rows(text, delimiter, _SAMPLE_ROWS) if row)
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        return (count, width) if width > 1 else (0, 0)

    return max(_DELIMITERS, key=agreement)
