"""What only Linux or only POSIX systems have, and what happens elsewhere.

No other module imports ``resource``, calls ``prctl`` or reads ``/proc``.

| function | elsewhere |
|---|---|
| ``end_with_parent`` | a child goes on until its input ends or its work is done |
| ``address_space_limiter``, ``limit_address_space`` | no limit of memory; the limit of time holds |
| ``kill_group`` | the process is killed, programs that it started end by themselves |
| ``was_killed`` | False: the exit code is shown |
| ``read_proc`` | None: the caller does without |
| ``user_id`` | None: the system's own rights protect files |
| ``children_without_interrupts`` | a child that starts gets Ctrl-C, too |
| ``return_freed_memory`` | the C library keeps what it likes of freed memory |

Source: https://man7.org/linux/man-pages/man5/proc.5.html, prctl(2), setrlimit(2), mallopt(3),
sigprocmask(2)
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of mallopt(3)."""
_LARGE_BLOCK = 256 << 10
_KILL = getattr(signal, "SIGKILL", None)


def end_with_parent(number: int | None = _KILL) -> None:
    """Have the system send this process a signal when its parent ends."""
    if sys.platform == "linux" and number is not None:
        # Every command imports this module, and only child processes need this one.
        import ctypes  # noqa: PLC0415

        with suppress(OSError, AttributeError):  # A C library without it.
            ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, number)


@contextmanager
def children_without_interrupts() -> Iterator[None]:
    """Have processes that are started in the block get no Ctrl-C, from their first moment on.

    A terminal sends it to all processes of a command; the one that waits for the others ends them.
    Of this thread it waits until the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def return_freed_memory() -> None:
    """Have the C library give large blocks back when they are freed, in this process for good.

    glibc keeps blocks of up to 32 MB for later, between which tensors of other sizes do not fit.
    Half of the peak of tuning a small model with ``recompute`` were such gaps, more or less of
    them in each run.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BLOCK)


def address_space_limiter() -> Callable[[int], None]:
    """Return a function that limits this process to its present size plus so many bytes.

    The hard limit stays, so that it may be called again.
    """
    resource = _resource()
    if resource is None:
        return lambda more: None
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    page = os.sysconf("SC_PAGE_SIZE")

    def limit(more: int) -> None:
        size = read_proc("self/statm")
        if size is None:
            return
        wanted = int(size.split()[0]) * page + more
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))

    return limit


def limit_address_space(size: int) -> None:
    """Limit this process to so many bytes in all, for good."""
    resource = _resource()
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _resource() -> ModuleType | None:
    """Return the module of limits; None where there is none, or the system does not keep them."""
    try:
        # Not available on Windows.
        import resource  # noqa: PLC0415
    except ImportError:
        return None
    # macOS does not keep the limit.
    return resource if sys.platform == "linux" else None


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads a group, and what it started."""
    if hasattr(os, "killpg") and _KILL is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, _KILL)
    else:
        process.kill()


def was_killed(status: int) -> bool:
    """Return True if an exit status of ``subprocess`` says that SIGKILL ended a process."""
    return _KILL is not None and status == -_KILL


def read_proc(path: str) -> str | None:
    """Return the text of a file under ``/proc``, or None where it is not there."""
    try:
        return (Path("/proc") / path).read_text("utf-8", "replace")
    except OSError:
        return None


def process_namespace() -> str | None:
    """Return an id of the namespace within which process ids are unique; None if unknown."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def user_id() -> int | None:
    """Return the number of the user whom this process acts for; None on Windows."""
    return os.geteuid() if hasattr(os, "geteuid") else None
