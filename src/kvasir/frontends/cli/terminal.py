"""Names of sources on a terminal, without characters that act on it."""

from __future__ import annotations

import os

from kvasir.core.text import shown


def source_name(source_uri: str) -> str:
    """Return a source's name, with paths relative to the working directory."""
    try:
        here = os.getcwd()  # noqa: PTH109
    except OSError:  # it was removed
        return source_uri
    return source_uri.removeprefix(here + os.sep)


def location(source_uri: str, page: int | None = None) -> str:
    """Return a location such as ``moon.md, page 3``, in one line."""
    name = shown(source_name(source_uri))
    return f"{name}, page {page}" if page else name
