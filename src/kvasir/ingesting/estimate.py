"""Estimates how much of an ingest is left, from what the sources looked at so far gave.

The time for a passage depends on its length, and how much text a file holds on its kind. So the
text of sources that were not looked at yet is estimated by their bytes and the ratio of their
kind, and the time for it by the characters that were done so far.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kvasir.core.media_types import extension

_FIRST_SECONDS = 2.0
"""No estimate of the time before: the first calls are slower than the others."""


@dataclass(slots=True)
class _Kind:
    """Sums over the sources of one kind."""

    waiting_bytes: int = 0
    seen_bytes: int = 0
    characters: int = 0
    passages: int = 0


@dataclass
class Estimate:
    """What is known of the work of one ingest; safe to use from several threads.

    Attributes:
        sizes: The number of bytes of each source, by URI; 0 if unknown.
        clock: Gives the time in seconds.
    """

    sizes: Mapping[str, int]
    clock: Callable[[], float] = time.monotonic
    _kinds: dict[str, _Kind] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._started = self.clock()
        for uri, size in self.sizes.items():
            self._kind(uri).waiting_bytes += size

    def note_source(self, uri: str, characters: int, passages: int) -> None:
        """Note what a source gave: nothing if it is unchanged or could not be read."""
        with self._lock:
            if uri in self._seen:
                return
            self._seen.add(uri)
            kind, size = self._kind(uri), self.sizes.get(uri, 0)
            kind.waiting_bytes -= size
            kind.seen_bytes += size
            kind.characters += characters
            kind.passages += passages

    def note_done(self, characters: int) -> None:
        """Note characters whose vectors were made or found."""
        self._done += characters

    @property
    def passages(self) -> int:
        """The number of passages of all sources, about."""
        return round(self._total(lambda kind: kind.passages))

    @property
    def seconds(self) -> float | None:
        """The seconds that are left; None while too little is known."""
        elapsed = self.clock() - self._started
        if not self._done or elapsed < _FIRST_SECONDS:
            return None
        left = self._total(lambda kind: kind.characters) - self._done
        return max(0.0, left) * elapsed / self._done

    def _total(self, value: Callable[[_Kind], int]) -> float:
        """Return the sum of a value over all sources, estimated where they were not looked at."""
        with self._lock:
            kinds = list(self._kinds.values())
            known, seen = sum(map(value, kinds)), sum(kind.seen_bytes for kind in kinds)
            overall = known / seen if seen else 0.0
            return known + sum(
                kind.waiting_bytes * (value(kind) / kind.seen_bytes if kind.seen_bytes else overall)
                for kind in kinds
            )

    def _kind(self, uri: str) -> _Kind:
        return self._kinds.setdefault(extension(uri), _Kind())
