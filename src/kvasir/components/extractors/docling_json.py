"""Docling's JSON, in the old schema (v1) and the current one (v2).

``docling-core`` no longer reads v1. Source: docling-core, ``types/doc`` and ``types/legacy_doc``.
Newer versions are read as far as their fields are known.
"""

from __future__ import annotations

import json
from typing import Any

from kvasir.components.extractors.decoding import decode
from kvasir.components.extractors.docling_v1 import read_v1
from kvasir.components.extractors.docling_v2 import read_v2
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, Source

_V1_MARKS = ("main-text", "file-info")


class DoclingJsonExtractor:
    """Reads docling's JSON of both schemas."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract body text, headings and tables; see ``Extractor``."""
        try:
            values: Any = json.loads(decode(data))
        except (json.JSONDecodeError, RecursionError) as error:
            raise ExtractionError(
                "malformed", f"it is not valid JSON ({error}); convert the document again"
            ) from error
        builder = DocumentBuilder(source)
        if isinstance(values, dict) and values.get("schema_name") == "DoclingDocument":
            read_v2(values, builder)
        elif isinstance(values, dict) and any(mark in values for mark in _V1_MARKS):
            read_v1(values, builder)
        else:
            raise ExtractionError(
                "unsupported",
                "it is JSON, but not docling's; convert it to text, Markdown or CSV first",
            )
        return builder.build()
