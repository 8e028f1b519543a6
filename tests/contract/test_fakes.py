"""The fakes keep the contracts that they stand in for."""

import pytest

from kvasir.testing.fakes import MemoryStore
from kvasir.testing.stores import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            return MemoryStore(str(tmp_path), collection, dimension, analyzer, fingerprint)

        return open_store
