"""Parts of a Word file that Word imports when it opens it: HTML, MHT, text, RTF or another DOCX.

Source: ECMA-376 part 1, 17.17.2 (altChunk).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree

from kvasir.components.extractors.docx_xml import W
from kvasir.components.extractors.ooxml import R
from kvasir.core import media_types, registry
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, Source

ALT_CHUNK = f"{W}altChunk"
_MAX_DEPTH = 3
"""Imported Word files in imported Word files are read down to this depth."""


def read_chunk(
    chunk: etree._Element, relations: Mapping[str, Any], source: Source, depth: int
) -> Document | None:
    """Return the document that a chunk imports; None if it has no text.

    ``depth`` is the number of Word files that the chunk's own file is imported by.

    Raises:
        ExtractionError: The part is missing or cannot be read.
    """
    relation = relations.get(str(chunk.get(f"{R}id")))
    if relation is None or relation.is_external:
        raise ExtractionError("malformed", "it is not in the file")
    part = relation.target_part
    name, data = str(part.partname), bytes(part.blob)
    media_type = media_types.settle(str(part.content_type), media_types.detect(name, data))
    if media_type not in registry.names("extractors"):
        raise ExtractionError("unsupported", media_type)
    is_word = media_type == media_types.DOCX
    if is_word and depth >= _MAX_DEPTH:
        raise ExtractionError("unsupported", f"Word files are imported to a depth of {_MAX_DEPTH}")
    options = {"depth": depth + 1} if is_word else {}
    extractor = registry.build("extractors", media_type, options)
    try:
        document: Document = extractor.extract(Source(f"{source.uri}#{name}", media_type), data)
    except ExtractionError as error:
        if error.reason == "empty":
            return None
        raise
    return document
