"""Takes away what only Linux has, in this process and in its children, which inherit the path.

The standard library keeps what it needs itself: on other systems it does without.
"""

import asyncio  # noqa: F401 - it needs fcntl on every POSIX system
import builtins
import ctypes
import io
import os
import sys

for _name in ("resource", "fcntl"):
    sys.modules[_name] = None  # type: ignore[assignment]
for _name in ("killpg", "sched_getaffinity", "posix_fadvise", "nice", "SEEK_DATA", "geteuid"):
    delattr(os, _name)


def _without_proc(function):
    def refuse(path, *arguments, **options):
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory", os.fspath(path))
        return function(path, *arguments, **options)

    return refuse


io.open = builtins.open = _without_proc(io.open)
for _name in ("stat", "lstat", "readlink", "listdir", "scandir", "open"):
    setattr(os, _name, _without_proc(getattr(os, _name)))


class _Library(ctypes.CDLL):
    def __getattr__(self, name):
        if name == "prctl":
            raise AttributeError(name)
        return super().__getattr__(name)


ctypes.CDLL = _Library
