"""Milvus keeps the contract of stores: in the process, and behind an address.

The server is Milvus Lite's own, which speaks Milvus's protocol.
"""

import os
import socket
import subprocess
import sys
import time

import pytest

from kvasir.components.stores.milvus import MilvusStore
from kvasir.components.stores.milvuslite import MilvusLiteStore
from kvasir.core.errors import CollectionError, ComponentError, StoreLockedError
from kvasir.testing.fakes import FakeAnalyzer
from kvasir.testing.stores import StoreContract, make_chunk, make_vectors


class TestMilvusLiteStore(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            path = str(tmp_path / "rag.db")
            return MilvusLiteStore(path, collection, dimension, analyzer, fingerprint)

        return open_store


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server on the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("milvus-server")
    arguments = ["server", "--data-dir", str(folder / "data"), "--host", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "milvus_lite", *arguments, "--port", str(port)],
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the Milvus Lite server does not answer")


class TestMilvusStoreOnAServer(StoreContract):
    @pytest.fixture
    def open_store(self, server, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            # One server for all tests: a test's collections bear its folder's name.
            name = f"{collection} {tmp_path.name}"
            return MilvusStore(server, name, dimension, analyzer, fingerprint)

        return open_store


def test_the_keyword_index_survives_closing_and_not_a_crash(tmp_path, monkeypatch):
    def found():
        store = MilvusLiteStore(str(tmp_path / "rag.db"), "c", 8, FakeAnalyzer())
        hits = store.search_lexical(["falcon"], ["en"], 5)[0]
        store.close()
        return len(hits)

    store = MilvusLiteStore(str(tmp_path / "rag.db"), "c", 8, FakeAnalyzer())
    store.upsert([make_chunk(0, "falcon"), make_chunk(1, "falcon")], make_vectors(2))
    store.close()
    assert found() == 2
    with monkeypatch.context() as patch:
        patch.setattr(MilvusLiteStore, "_read_postings", None)
        assert found() == 2
    store = MilvusLiteStore(str(tmp_path / "rag.db"), "c", 8, FakeAnalyzer())
    store.delete([make_chunk(0).id])
    store._client.close()  # ends without keeping the index
    assert found() == 1


def test_a_folder_takes_a_file_of_its_own(tmp_path):
    store = MilvusLiteStore(str(tmp_path / "folder"), "c", 8, FakeAnalyzer())
    store.upsert([make_chunk(0)], make_vectors(1))
    store.close()
    assert (tmp_path / "folder" / "milvus.db").exists()


def test_a_second_process_is_told_who_holds_the_file(tmp_path):
    path = str(tmp_path / "rag.db")
    code = (
        "import sys; from kvasir.components.stores.milvuslite import MilvusLiteStore;"
        "from kvasir.testing.fakes import FakeAnalyzer;"
        f"store = MilvusLiteStore({path!r}, 'c', 8, FakeAnalyzer());"
        "print('open', flush=True); sys.stdin.read(); store.close()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout.readline().strip() == b"open"
        with pytest.raises(StoreLockedError, match=r"rag\.db"):
            MilvusLiteStore(path, "c", 8, FakeAnalyzer())
    finally:
        other.communicate()


def test_a_strangers_collection_is_refused(server):
    store = MilvusStore(server, "mine", 8, FakeAnalyzer())
    store._client.create_collection("strange", dimension=8)
    with pytest.raises(CollectionError, match="strange"):
        MilvusStore(server, "strange", 8, FakeAnalyzer())
    store.close()


def test_an_unreachable_server_is_named():
    with pytest.raises(ComponentError, match=r"127\.0\.0\.1:9"):
        MilvusStore("http://127.0.0.1:9", "c", 8, FakeAnalyzer())
