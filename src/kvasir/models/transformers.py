"""Load models of the ``transformers`` family without writing to the user's terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging

_lock = threading.Lock()
_loading = 0
_enabled = False


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Keep the libraries' own progress bars off while a model is loaded.

    They write to the terminal that shows Kvasir's own progress or a program's output. The switch
    is one for the process: the first of several threads turns it off, the last one restores it.
    """
    global _loading, _enabled
    with _lock:
        if not _loading:
            _enabled = logging.is_progress_bar_enabled()
            logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        _loading += 1
    try:
        yield
    finally:
        with _lock:
            _loading -= 1
            if not _loading and _enabled:
                logging.enable_progress_bar()  # type: ignore[no-untyped-call]
