"""Metadata as typed: ``key=value`` pairs."""

from __future__ import annotations

import json

from kvasir.core.errors import RequestError
from kvasir.core.types import MetadataValue


def parse_metadata(pairs: tuple[str, ...]) -> dict[str, MetadataValue] | None:
    """Read ``key=value`` pairs; values may be numbers and truth values."""
    metadata: dict[str, MetadataValue] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            raise RequestError(f"metadata '{pair}' is not of the form key=value")
        metadata[key.strip()] = _scalar(value)
    return metadata or None


def _scalar(text: str) -> MetadataValue:
    """Return a number or truth value in JSON's spelling, else the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, (str, int, float, bool)) else text
