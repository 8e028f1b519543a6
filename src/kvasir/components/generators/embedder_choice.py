"""One generator for collections of several embedding models."""

from __future__ import annotations

from copy import copy
from functools import cached_property
from typing import Self

from kvasir.core.protocols import Embedder
from kvasir.core.recent_vectors import RecentVectors


class EmbedderChoice:
    """A generator that compares texts by its embedder and remembers their vectors."""

    _embedder: Embedder
    _recent: RecentVectors

    def using(self, embedder: Embedder) -> Self:
        """Return the generator with the embedder of a collection; the same one each time."""
        if embedder.fingerprint == self._embedder.fingerprint:
            return self
        return self._others.setdefault(embedder.fingerprint, self._with(embedder))

    @cached_property
    def _others(self) -> dict[str, Self]:
        return {}

    def _with(self, embedder: Embedder) -> Self:
        other = copy(self)
        other._embedder, other._recent = embedder, self._recent.empty()
        return other
