"""The store for Qdrant servers keeps the contract, with the client's local mode as oracle."""

import threading
import warnings
from typing import Any, ClassVar

import pytest
from qdrant_client import QdrantClient

from kvasir.components.stores.qdrant_server import QdrantServerStore
from kvasir.core.errors import ComponentError, SettingsError
from kvasir.testing.fakes import FakeAnalyzer
from kvasir.testing.stores import StoreContract


class LocalModeStore(QdrantServerStore):
    """Talks to a client in local mode, which stays when the store is closed, as a server does."""

    servers: ClassVar[dict[str, QdrantClient]] = {}
    lock: ClassVar[Any] = threading.RLock()

    def _connect(self, uri, token):
        if uri not in self.servers:
            self.servers[uri] = QdrantClient(":memory:")
        return self.servers[uri]

    def _call(self, doing, method, *args, **options):
        with self.lock:  # local mode serves one thread at a time
            return super()._call(doing, method, *args, **options)

    def _index(self, field, kind):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            super()._index(field, kind)

    def close(self):
        pass


class TestQdrantServerStore(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            return LocalModeStore(str(tmp_path), collection, dimension, analyzer, fingerprint)

        yield open_store
        server = LocalModeStore.servers.pop(str(tmp_path), None)
        if server is not None:
            server.close()


def test_user_names_are_refused_in_favour_of_a_key():
    with pytest.raises(SettingsError, match="token"):
        QdrantServerStore("http://127.0.0.1:9", "c", 8, FakeAnalyzer(), username="me")


def test_an_unreachable_server_is_named():
    with pytest.raises(ComponentError, match="qdrant-server"):
        QdrantServerStore("http://127.0.0.1:9", "c", 8, FakeAnalyzer())
