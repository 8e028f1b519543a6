"""Ctrl-C while modules are imported."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_INTERRUPTED = 130


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """End the process at Ctrl-C during the block, in which modules are imported.

    An exception that is raised meanwhile would end in a traceback, or be lost in a library that
    catches it. Nothing has begun yet that would have to be ended properly.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or not is_default:
        yield
        return
    signal.signal(signal.SIGINT, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit(_number: int, _frame: FrameType | None) -> None:
    # Nothing is buffered yet, and Python's own end would wait for threads of libraries.
    os.write(2, b"interrupted\n")
    os._exit(EXIT_INTERRUPTED)
