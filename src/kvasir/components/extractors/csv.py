"""CSV and TSV: one table; the delimiter is found by trial."""

from __future__ import annotations

import csv
import io
from collections import Counter
from itertools import islice

from kvasir.components.extractors.decoding import decode
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.markdown_table import markdown_table
from kvasir.core.types import BlockKind, Document, Source

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 50


class CsvExtractor:
    """Reads delimited text; the first row is the header."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the table; see ``Extractor``."""
        text = decode(data)
        builder = DocumentBuilder(source)
        csv.field_size_limit(1 << 27)
        builder.add(BlockKind.TABLE, markdown_table(_rows(text, _delimiter(text))))
        return builder.build()


def _rows(text: str, delimiter: str, limit: int | None = None) -> list[list[str]]:
    return list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), limit))


def _delimiter(text: str) -> str:
    """Return the delimiter that gives the most rows of equal width above 1."""

    def agreement(delimiter: str) -> tuple[int, int]:
        widths = Counter(len(row) for row in _rows(text, delimiter, _SAMPLE_ROWS) if row)
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        return (count, width) if width > 1 else (0, 0)

    best = max(_DELIMITERS, key=agreement)
    return best if agreement(best)[0] else ","
