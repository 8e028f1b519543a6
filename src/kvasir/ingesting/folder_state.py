"""Tells cheaply whether a folder has changed: by names, sizes and times of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from kvasir.core.run import StopToken
from kvasir.core.types import LocalFile
from kvasir.ingesting.sources import discover


def folder_state(folder: str, left_out: Sequence[str] = (), stop: StopToken | None = None) -> str:
    """Return a digest of what an ingest of a folder would read; no file is opened.

    Args:
        folder: Its absolute path.
        left_out: As of ``discover``.
        stop: Ends the listing.

    Raises:
        StoppedError: ``stop`` was set.
    """
    found = discover([LocalFile(folder)], left_out, stop)
    digest = hashlib.sha256(folder.encode("utf-8", "surrogatepass"))
    for path in found.items:
        try:
            stat = Path(path).stat()
        except OSError:
            # It was removed since the folder was listed; the next look sees that.
            continue
        line = f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogatepass"))
    for missing in found.missing:
        digest.update(f"{missing.source_uri}\0{missing.message}\n".encode())
    return digest.hexdigest()
