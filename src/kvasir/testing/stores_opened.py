"""How contract suites of stores open them, and which capabilities they expect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import cache
from typing import ClassVar, Protocol, cast

import pytest

from kvasir.core import registry
from kvasir.core.protocols import LexicalSearch, Optimizable, TextAnalyzer, VectorStore
from kvasir.testing.store_cases import DIMENSION

CAPABILITIES: dict[type, str] = {LexicalSearch: "search_hybrid", Optimizable: "optimize"}
"""Protocols that a store may fulfil beside ``VectorStore``, and the method of each."""


class OpenStore(Protocol):
    """Opens the store, or opens it again: its data stay in one place during a test."""

    def __call__(
        self, dimension: int = DIMENSION, fingerprint: str = "", collection: str = "contract"
    ) -> VectorStore:
        """Return the opened store."""


@cache
def _bm25() -> TextAnalyzer:
    """Return one analyzer for all tests: loading its models is slow."""
    return cast(TextAnalyzer, registry.build("analyzers", "bm25", {}))


class OpenedStores:
    """Fixtures that open stores, and the capabilities that the stores must have."""

    expected_capabilities: ClassVar[frozenset[type]] = frozenset({LexicalSearch})
    """The members of ``CAPABILITIES`` that the store must have; it may have no others."""

    @property
    def has_keywords(self) -> bool:
        """True if the store must have a keyword index."""
        return LexicalSearch in self.expected_capabilities

    @pytest.fixture
    def analyzer(self) -> TextAnalyzer:
        """Return the analyzer of the keyword leg."""
        return _bm25()

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError("override the fixture open_store in your test class")

    @pytest.fixture
    def opened(self, open_store: OpenStore) -> Iterator[OpenStore]:
        """As ``open_store``, and closes the stores at the end."""
        with ExitStack() as stack:

            def opened(
                dimension: int = DIMENSION, fingerprint: str = "", collection: str = "contract"
            ) -> VectorStore:
                return stack.enter_context(closing(open_store(dimension, fingerprint, collection)))

            yield opened

    @pytest.fixture
    def store(self, opened: OpenStore) -> VectorStore:
        """Return a new, empty store."""
        return opened()
