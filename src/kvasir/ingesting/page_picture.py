"""Pictures of PDF pages with a passage marked, drawn by a child process.

A page of an untrusted document may hang, crash or use all memory: it is drawn by a process of its
own, with limits.
"""

from __future__ import annotations

import json
import subprocess
import threading

from kvasir.core.environment import environment, module_command
from kvasir.core.errors import ComponentError, ExtractionError
from kvasir.core.types import PageBox

_SECONDS = 20.0
_MEMORY_MB = 1024
_AT_ONCE = 2
_WAIT_SECONDS = 5.0
"""For one of the processes that draw at once."""
_drawing = threading.BoundedSemaphore(_AT_ONCE)


def page_picture(
    data: bytes,
    page: int,
    *,
    width: int,
    quote: str = "",
    before: str = "",
    box: PageBox | None = None,
) -> bytes:
    """Return a page as a picture in PNG's format.

    Args:
        data: The PDF file.
        page: The page's number, from 1.
        width: Of the picture, in pixels.
        quote: The passage to mark; as much of it as stands on the page is marked.
        before: Text before it, which tells it apart from equal ones.
        box: The area to mark in place of a quote, where text was recognized.

    Raises:
        ExtractionError: It cannot be drawn.
        ComponentError: As many pages as this machine draws at once are being drawn.
    """
    if not _drawing.acquire(timeout=_WAIT_SECONDS):
        busy = f"{_AT_ONCE} pages are being drawn; try again in a moment"
        raise ComponentError("the pictures of pages", "drawing a page", busy, kind="busy")
    try:
        return _drawn(data, page, width=width, quote=quote, before=before, box=box)
    finally:
        _drawing.release()


def _drawn(
    data: bytes, page: int, *, width: int, quote: str, before: str, box: PageBox | None
) -> bytes:
    area = None if box is None else [box.left, box.top, box.right, box.bottom]
    head = {"page": page, "width": width, "quote": quote, "before": before, "box": area}
    try:
        done = subprocess.run(
            module_command("kvasir.ingesting.page_picture_child", _MEMORY_MB),
            input=json.dumps(head).encode() + b"\n" + data,
            capture_output=True,
            timeout=_SECONDS,
            env=environment({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ExtractionError("timeout", "drawing its page takes too long") from error
    if done.returncode or not done.stdout:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise ExtractionError("malformed", reason[0] if reason else "its page cannot be drawn")
    return done.stdout
