"""What is written to a terminal: nothing that acts on it, and sources by their short names."""

from __future__ import annotations

import os

from kvasir.core.text import shown


def source_name(source_uri: str) -> str:
    """Return a source as people name it: a path below the working directory without that."""
    try:
        here = os.getcwd()  # noqa: PTH109
    except OSError:  # it was removed
        return source_uri
    return source_uri.removeprefix(here + os.sep)


def location(source_uri: str, page: int | None = None) -> str:
    """Return where something stands, for people, in one line."""
    name = shown(source_name(source_uri))
    return f"{name}, page {page}" if page else name
