"""The vectors of texts that were embedded last, so that none is computed twice in a row."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from threading import Lock

from kvasir.core.types import Matrix


class RecentVectors:
    """Vectors by text; the least recently used are forgotten first. Safe under threads."""

    def __init__(self, most: int) -> None:
        """Remember ``most`` vectors."""
        self._most = most
        self._vectors: OrderedDict[str, Matrix] = OrderedDict()
        self._lock = Lock()

    def empty(self) -> RecentVectors:
        """Return one of the same size that remembers nothing yet."""
        return RecentVectors(self._most)

    def find(self, texts: Iterable[str]) -> dict[str, Matrix]:
        """Return the vectors [dimension] of those texts that are known; do not change them."""
        with self._lock:
            known = {text: self._vectors[text] for text in texts if text in self._vectors}
            for text in known:
                self._vectors.move_to_end(text)
        return known

    def keep(self, vectors: Mapping[str, Matrix]) -> None:
        """Remember the vectors [dimension] of texts."""
        with self._lock:
            for text, vector in vectors.items():
                self._vectors[text] = vector
                self._vectors.move_to_end(text)
            while len(self._vectors) > self._most:
                self._vectors.popitem(last=False)
