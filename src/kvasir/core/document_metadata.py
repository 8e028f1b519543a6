"""Which metadata fields a document has: its own, those that a caller gives, and reserved ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kvasir.core import dates, media_types
from kvasir.core.errors import RequestError
from kvasir.core.text import has_surrogates
from kvasir.core.types import Metadata, MetadataValue, metadata_of

RESERVED_METADATA = ("source_uri", "title", "language")
"""Metadata fields that Kvasir sets; callers must not."""

FILE_TYPE = "file_type"
"""Metadata field of every document whose media type is known, except of earlier versions."""


def chunk_metadata(
    own: Metadata,
    given: Metadata,
    *,
    source_uri: str,
    title: str,
    language: str,
    media_type: str = "",
    modified: float | None = None,
) -> dict[str, MetadataValue]:
    """Return a chunk's metadata: ``given`` overrides ``own``, the reserved fields override both.

    Without a ``file_type`` and a ``modified`` of its own, a document has those of its file.
    """
    of_file: dict[str, MetadataValue] = {}
    if media_type:
        of_file[FILE_TYPE] = media_types.short_name(media_type, source_uri)
    if modified is not None and (text := dates.from_timestamp(modified)):
        of_file["modified"] = text
    reserved = {"source_uri": source_uri, "title": title, "language": language}
    return {**of_file, **own, **given, **reserved}


def check_metadata(given: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """Return metadata from a caller, checked: lists as tuples, dates as text.

    Raises:
        RequestError: A field name is empty, reserved or not UTF-8, or a value is not UTF-8 text, a
            finite number (an integer of 64 bits), a boolean, a date, or a list of these.
    """
    found = metadata_of(given)
    for name, value in found.items():
        if name in RESERVED_METADATA:
            raise RequestError(f"metadata field '{name}' is filled by Kvasir: use another name")
        items = value if isinstance(value, tuple) else (value,)
        if any(isinstance(text, str) and has_surrogates(text) for text in (name, *items)):
            raise RequestError(f"metadata field {name!r} is not UTF-8 text: {value!r}")
        if not name or not all(map(_is_plain, items)):
            raise RequestError(
                f"metadata field '{name}' must be text, a finite number, true/false, a date or a "
                f"list of these, not {given[name]!r}"
            )
    return found


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str) or (isinstance(value, int) and -(2**63) <= value < 2**63)
