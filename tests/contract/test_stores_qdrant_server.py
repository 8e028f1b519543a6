"""The store for Qdrant servers keeps the contract, with the client's local mode as oracle."""

import os
import threading
import uuid
import warnings
from typing import Any, ClassVar

import pytest
from deleted_collections import DeletedByAnother
from qdrant_client import QdrantClient
from qdrant_server import qdrant_server

from kvasir.components.stores.qdrant_server import QdrantServerStore
from kvasir.core.errors import ComponentError, SettingsError, WrongEmbedderError
from kvasir.core.filters import Comparison
from kvasir.testing.fakes import FakeAnalyzer
from kvasir.testing.store_cases import make_chunk, make_vectors
from kvasir.testing.stores import StoreContract


class LocalModeStore(QdrantServerStore):
    """Talks to a client in local mode, which stays when the store is closed, as a server does."""

    servers: ClassVar[dict[str, QdrantClient]] = {}
    lock: ClassVar[Any] = threading.RLock()

    def _connect(self, uri, token, username, password):
        if uri not in self.servers:
            self.servers[uri] = QdrantClient(":memory:")
        self._client = self.servers[uri]

    def _call(self, doing, method, *args, **options):
        with self.lock:  # local mode serves one thread at a time
            return super()._call(doing, method, *args, **options)

    def _index(self, field, kind):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Payload indexes have no effect")
            super()._index(field, kind)

    def _disconnect(self):
        pass


@pytest.fixture(scope="module")
def qdrant(tmp_path_factory):
    if address := os.environ.get("KVASIR_TEST_QDRANT_URL"):
        yield address, os.environ.get("KVASIR_TEST_QDRANT_KEY")
    else:
        with qdrant_server(tmp_path_factory.mktemp("qdrant")) as (address, _):
            yield address, None


class TestQdrantServerStore(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            return LocalModeStore(str(tmp_path), collection, dimension, analyzer, fingerprint)

        yield open_store
        server = LocalModeStore.servers.pop(str(tmp_path), None)
        if server is not None:
            server.close()


class TestOfficialClientOverRest(DeletedByAnother, StoreContract):
    """The official client, over HTTP, against a server that has the engine of the embedded store.

    With KVASIR_TEST_QDRANT_URL, and KVASIR_TEST_QDRANT_KEY for its key, a real server is asked.
    """

    @pytest.fixture
    def open_store(self, analyzer, qdrant):
        prefix = uuid.uuid4().hex
        address, key = qdrant
        names = set()

        def open_store(dimension=8, fingerprint="", collection="contract"):
            names.add(collection)
            name = f"{prefix}-{collection}"
            return QdrantServerStore(address, name, dimension, analyzer, fingerprint, token=key)

        yield open_store
        client = QdrantClient(url=address, api_key=key, check_compatibility=False)
        for name in names:
            client.delete_collection(f"{prefix}-{name}")
        client.close()


class Killed(BaseException):
    """The process ends."""


@pytest.fixture
def address(qdrant):
    if os.environ.get("KVASIR_TEST_QDRANT_URL"):
        pytest.skip("a server of one's own has no collections of this test to delete")
    return qdrant[0]


def test_a_start_that_was_killed_before_the_indexes_is_completed(address, monkeypatch):
    def kill(self, field, kind):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(QdrantServerStore, "_index", kill)
        QdrantServerStore(address, "killed", 8, FakeAnalyzer())
    for _ in range(2):
        store = QdrantServerStore(address, "killed", 8, FakeAnalyzer())
        assert {"document_id", "tags"} <= set(store._client.get_collection("killed").payload_schema)
        store.close()


def test_of_two_first_writers_both_open_the_collection(address, monkeypatch):
    first = QdrantServerStore(address, "both", 8, FakeAnalyzer())
    # The second one has looked before the first one created it.
    monkeypatch.setattr(QdrantClient, "collection_exists", lambda *given: False)
    second = QdrantServerStore(address, "both", 8, FakeAnalyzer())
    second.upsert([make_chunk(0)], make_vectors(1))
    assert first.count() == 1
    with pytest.raises(WrongEmbedderError):
        QdrantServerStore(address, "both", 16, FakeAnalyzer())
    first.close()
    second.close()


def test_only_fields_that_some_chunk_has_are_indexed_and_not_without_limit(tmp_path, monkeypatch):
    indexed = []
    monkeypatch.setattr(LocalModeStore, "_index", lambda self, field, kind: indexed.append(field))
    store = LocalModeStore(str(tmp_path), "c", 8, FakeAnalyzer())
    fields = [f"field{number:02}" for number in range(40)]
    store.upsert([make_chunk(0, "owl", dict.fromkeys(fields, 7))], make_vectors(1))
    for number in range(30):
        assert store.count(Comparison(f"evil{number}", "<", 5)) == 0
    for field in fields:
        assert store.count(Comparison(field, ">", 6)) == 1
    assert indexed == ["document_id", "tags", *(f"numbers.{field}" for field in fields[:32])]
    LocalModeStore.servers.pop(str(tmp_path)).close()


def test_user_names_are_refused_in_favour_of_a_key():
    with pytest.raises(SettingsError, match="token"):
        QdrantServerStore("http://127.0.0.1:9", "c", 8, FakeAnalyzer(), username="me")


def test_an_unreachable_server_is_named():
    with pytest.raises(ComponentError, match="qdrant-server"):
        QdrantServerStore("http://127.0.0.1:9", "c", 8, FakeAnalyzer())
