"""Components of a plug-in, which settings name as ``plugin_components:Class``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kvasir.core.types import Hit
from kvasir.testing.fakes import FakeEmbedder, FakeGenerator, MemoryStore, terms

__all__ = ["PluginEmbedder", "PluginGenerator", "PluginReranker", "PluginStore"]


class PluginEmbedder(FakeEmbedder):
    """An embedder with an option of its own."""

    def __init__(self, width: int = 64) -> None:
        super().__init__(dimension=width)


class PluginGenerator(FakeGenerator):
    """A generator."""


class PluginStore(MemoryStore):
    """A store that lives as long as its process."""


class PluginReranker:
    """Scores a hit by the share of the query's words that it has."""

    def rerank(self, query: str, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        wanted = set(terms(query))
        scored = [
            replace(hit, score=len(wanted & set(terms(hit.chunk.text))) / max(1, len(wanted)))
            for hit in hits
        ]
        return sorted(scored, key=lambda hit: -hit.score)[: max(0, top_k)]
