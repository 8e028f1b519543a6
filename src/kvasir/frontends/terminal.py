"""What is written to a terminal: nothing that acts on it, and sources by their short names."""

from __future__ import annotations

import os
import re
import sys

from kvasir.pipelines.events import shown

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    """Takes control characters out, but for tabs and new lines.

    Text from documents and models could otherwise move the cursor, or change what was printed.
    """
    return _CONTROL.sub("", text)


def source_name(source_uri: str) -> str:
    """Returns a source as people name it: a path below the working directory without that."""
    try:
        here = os.getcwd()  # noqa: PTH109
    except OSError:  # it was removed
        return source_uri
    return source_uri.removeprefix(here + os.sep)


def place(source_uri: str, page: int | None = None) -> str:
    """Returns where something stands, for people, in one line."""
    name = shown(source_name(source_uri))
    return f"{name}, page {page}" if page else name


def show_download(what: str, done: int, total: int) -> None:
    """Shows how far a download is, on one line that is written over; nothing without a terminal."""
    if sys.stderr.isatty():
        share = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else ""
        end = "\n" if total and done >= total else ""
        print(f"\r{printable(what)} {share}\x1b[K", end=end, file=sys.stderr, flush=True)  # noqa: T201
