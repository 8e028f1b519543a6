"""Milvus Lite keeps the contract of stores; the server's store is the same code."""

import pytest

from kvasir.components.stores.milvus import MilvusLiteStore
from kvasir.testing.stores import StoreContract


class TestMilvusLiteStore(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            path = str(tmp_path / "rag.db")
            return MilvusLiteStore(path, collection, dimension, analyzer, fingerprint)

        return open_store
