"""Text files: their encoding, plain text as it is, CSV and TSV as one table."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from contextlib import suppress
from itertools import islice

from charset_normalizer import from_bytes

from kvasir.components.extractors.document_builder import DocumentBuilder, make_document
from kvasir.core.media_types import utf16_without_mark
from kvasir.core.text import replace_control_characters
from kvasir.core.types import Block, BlockKind, Document, Source

_MARKS = {
    "utf-8-sig": (codecs.BOM_UTF8,),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
"""Byte order marks by encoding; a UTF-32 mark may begin with a UTF-16 mark."""
_SAMPLE = 65536
_WESTERN_SHARE = 0.25
_WITHOUT_WIDTH = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_PARAGRAPH = re.compile(r"\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*")
_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 50


def decode(data: bytes, declared: str | None = None) -> str:
    """Decode text: by byte order mark, declared encoding, UTF-8, UTF-16, then by statistics.

    Line ends are kept; a byte order mark is removed.
    """
    for encoding, marks in _MARKS.items():
        if data.startswith(marks):
            return data.decode(encoding, "replace")
    for candidate in filter(None, (declared, utf16_without_mark(data) or "utf-8")):
        with suppress(UnicodeDecodeError, LookupError):
            return data.decode(candidate)
    sample = data[:_SAMPLE]
    high = sum(byte >= 0x80 for byte in sample)
    # Western text has few high bytes. Windows-1252 is Latin-1 with letters for unused controls.
    best = from_bytes(sample).best() if high > len(sample) * _WESTERN_SHARE else None
    return data.decode(best.encoding if best else "cp1252", "replace")


def is_blank(text: str) -> bool:
    """Return True if a text has no visible character (zero-width characters are invisible)."""
    return not text.translate(_WITHOUT_WIDTH).strip()


class PlainTextExtractor:
    """Reads any text file; offsets are those of the file's text."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the paragraphs between blank lines; see ``Extractor``."""
        text = replace_control_characters(decode(data))
        blocks = [
            Block(BlockKind.PARAGRAPH, match.start(), match.start() + len(match[0].rstrip()))
            for match in _PARAGRAPH.finditer(text)
        ]
        return make_document(source, text, blocks)


class CsvExtractor:
    """Reads delimited text; the first row is the header."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the table, whose delimiter is found by trial; see ``Extractor``."""
        text = decode(data)
        builder = DocumentBuilder(source)
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
