"""The default store against the contract of all stores."""

from __future__ import annotations

import pytest

from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.core.protocols import LexicalSearch, Optimizable
from kvasir.testing.stores import StoreContract


class TestQdrantStore(StoreContract):
    expected_capabilities = frozenset({LexicalSearch, Optimizable})

    @pytest.fixture
    def open_store(self, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            return QdrantStore(str(tmp_path), collection, dimension, analyzer, fingerprint)

        return open_store
