"""A cache of states on disk: what was read once is not read again.

A state is found by the tokens that led to it, all of them in order, so a hit is exact: the cache is
a tree of prefixes, such as system message, first passage, second passage. States that were read
apart cannot be added. Files are private, because a state tells what was read, and shared by
processes: each is written under another name and then renamed.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from kvasir.core.private_files import make_private_folder
from kvasir.rwkv.state import State

logger = logging.getLogger(__name__)

PRECISIONS = ("f32", "f16", "int8")
_SUFFIX, _PARTIAL = ".state", ".partial"
_FORMAT = "1"
_LEFT = 0.9
"""Part of the budget that is left after making room, so that it is not made for every state."""
_UNMEASURED = 1 / 32
"""Part of the budget that is written before the files are measured again, others' included."""


def prefix_keys(start: str, segments: Sequence[Sequence[int]]) -> list[str]:
    """Return the key after each segment; ``start`` names model, precision and initial state."""
    seen = hashlib.sha256(start.encode())
    keys = []
    for tokens in segments:
        seen.update(array("q", [len(tokens), *tokens]).tobytes())
        keys.append(seen.copy().hexdigest())
    return keys


class StateCache:
    """States in a folder. Safe to use from several threads and processes.

    Processes with the same folder and budget keep within it together, but for what they have
    written since they last measured the files, a small part of the budget each.

    Attributes:
        keeps: False if no state is kept.
        hits: Prefixes that were found.
        misses: Those that were not.
        kept_tokens: Tokens of prompts that need not be read.
        read_tokens: Those that were read.
    """

    def __init__(self, folder: Path | None, budget: int, precision: str = "f16") -> None:
        """Make nothing yet.

        Args:
            folder: Where the files are kept; None to keep none and only round.
            budget: Most bytes of all files; the least recently used are deleted.
            precision: ``f32``; ``f16``, half as large; or ``int8``, a quarter. The latter two have
                one scale a head.
        """
        self.keeps = folder is not None and budget > 0
        self._folder, self._budget, self._precision = folder or Path(), budget, precision
        self._lock = threading.Lock()
        self._size = self._unmeasured = 0
        self._is_measured = False
        self._has_warned = False
        self.hits = self.misses = 0
        self.kept_tokens = self.read_tokens = 0

    def get(self, key: str) -> State | None:
        """Return the state of a key; None if it is not there. A damaged file is deleted."""
        if not self.keeps:
            return None
        path = self._path(key)
        try:
            with safe_open(path, "pt") as file:
                is_known = (file.metadata() or {}).get("format") == _FORMAT
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if not is_known:
                raise SafetensorError("another format")
            state = _unpacked(tensors)
        except FileNotFoundError:
            self.misses += 1
            return None
        except (OSError, SafetensorError, KeyError):
            with contextlib.suppress(OSError):  # What stands there may be no file of ours.
                path.unlink()
            self.misses += 1
            return None
        with contextlib.suppress(OSError):  # Another process may have deleted it.
            os.utime(path)
        self.hits += 1
        return state

    def longest(self, keys: Sequence[str]) -> tuple[int, State | None]:
        """Return the number of segments of the longest prefix that is there, and its state."""
        if not self.keeps:
            return 0, None
        for count in range(len(keys), 0, -1):
            if self._path(keys[count - 1]).is_file():
                state = self.get(keys[count - 1])
                if state is not None:
                    return count, state
        self.misses += 1
        return 0, None

    def count(self, kept: int, read: int) -> None:
        """Count the tokens of a prompt that a kept state saved, and those that are read."""
        with self._lock:
            self.kept_tokens += kept
            self.read_tokens += read

    def put(self, key: str, state: State) -> State:
        """Keep the state of one text, and return it as it will be found: rounded.

        Who goes on with that gets the same, whether a state is kept or not. One that is larger than
        the whole budget, or that cannot be written, is not kept; the first time the log says so.
        """
        packed = _packed(state, self._precision)
        if self.keeps:
            self._keep(key, save(packed, {"format": _FORMAT}))
        return _unpacked(packed).moved(state)

    def _keep(self, key: str, data: bytes) -> None:
        if len(data) > self._budget:
            self._warn(f"a state has {len(data) >> 20} MB, more than cache_mb allows")
            return
        try:
            self._write(self._path(key), data)
        except OSError as error:
            self._warn(f"{self._folder}: {error.strerror}")

    def _warn(self, why: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("states of prompts are not kept, so that they are read again: %s", why)

    def _write(self, path: Path, data: bytes) -> None:
        if path.is_file():
            return
        make_private_folder(path.parent)
        with self._lock:
            # Readable by its user only.
            handle, name = tempfile.mkstemp(_PARTIAL, dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(data)
                Path(name).replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
            self._size += len(data)
            self._unmeasured += len(data)
            if not self._is_measured or self._unmeasured > self._budget * _UNMEASURED:
                self._size = self.used
                self._is_measured, self._unmeasured = True, 0
            if self._size > self._budget:
                self._make_room()

    @property
    def used(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size, _ in self._files())

    def clear(self) -> None:
        """Delete all states."""
        with self._lock:
            for _, _, path in list(self._files()):
                path.unlink(missing_ok=True)
            self._is_measured = False

    def _make_room(self) -> None:
        files = sorted(self._files())
        self._size = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._size <= self._budget * _LEFT:
                break
            path.unlink(missing_ok=True)
            self._size -= size

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """Yield time of last use, size and path of each file, those that a killed process left."""
        for path in self._folder.glob("*/*"):
            if path.suffix in (_SUFFIX, _PARTIAL):
                with contextlib.suppress(FileNotFoundError):
                    status = path.stat()
                    yield status.st_mtime_ns, status.st_size, path

    def _path(self, key: str) -> Path:
        # States of another precision are others: the answers may differ.
        return self._folder / key[:2] / f"{key}-{self._precision}{_SUFFIX}"


def _packed(state: State, precision: str) -> dict[str, Tensor]:
    shift, wkv = state.shift.contiguous().cpu(), state.wkv.contiguous().cpu()
    if precision == "f32":
        return {"shift": shift, "wkv": wkv}
    largest = wkv.abs().amax((3, 4), keepdim=True)
    scale = torch.where(largest > 0, largest, 1.0)
    if precision == "f16":
        return {"shift": shift, "wkv": (wkv / scale).half(), "scale": scale}
    return {"shift": shift, "wkv": (wkv / scale * 127).round().to(torch.int8), "scale": scale / 127}


def _unpacked(tensors: dict[str, Tensor]) -> State:
    wkv = tensors["wkv"].float()
    return State(tensors["shift"], wkv * tensors["scale"] if "scale" in tensors else wkv)


def stored(
    cache: StateCache, keys: Sequence[str], marks: Sequence[int]
) -> Callable[[int, State], State]:
    """Return what puts the state at each mark of a prompt into the cache, under the key for it."""
    by_mark = dict(zip(marks, keys, strict=True))
    return lambda mark, state: cache.put(by_mark[mark], state)
