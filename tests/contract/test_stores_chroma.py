"""Chroma keeps the contract of stores, in a folder and as a server."""

import os
import socket
import subprocess
import sys
import time

import httpx
import pytest

from kvasir.components.stores.chroma import ChromaStore
from kvasir.testing.stores import StoreContract, make_chunk, make_vectors


class TestChromaStore(StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            path = str(tmp_path / "chroma")
            return ChromaStore(path, collection, dimension, analyzer, fingerprint)

        return open_store

    def test_the_keyword_index_follows_another_writer(self, opened):
        reader, writer = opened(), opened()
        writer.upsert([make_chunk(0, "falcon")], make_vectors(1))
        assert len(reader.search_lexical(["falcon"], ["en"], 5)[0]) == 1
        writer.upsert([make_chunk(1, "falcon nest")], make_vectors(1))
        assert len(reader.search_lexical(["falcon"], ["en"], 5)[0]) == 2
        reader.upsert([make_chunk(2, "falcon egg")], make_vectors(1))
        writer.delete([make_chunk(0).id])
        for store in (reader, writer):
            assert len(store.search_lexical(["falcon"], ["en"], 5)[0]) == 2

    def test_the_index_file_serves_the_next_start_only_if_it_is_current(self, opened, tmp_path):
        store = opened()
        store.upsert([make_chunk(0, "falcon")], make_vectors(1))
        store.search_lexical(["falcon"], ["en"], 5)
        store.upsert([make_chunk(1, "falcon nest")], make_vectors(1))
        store.close()
        (file,) = (tmp_path / "chroma").glob("kvasir-*.npz")
        old = file.read_bytes()
        store = opened()
        assert len(store.search_lexical(["falcon"], ["en"], 5)[0]) == 2
        store.delete([make_chunk(0).id])
        store.close()
        file.write_bytes(old)
        assert len(opened().search_lexical(["falcon"], ["en"], 5)[0]) == 1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of ``chroma run`` on the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("chroma-server")
    # What the program chroma calls, without importing all of chromadb, which takes seconds.
    program = "import sys, chromadb_rust_bindings as chroma; chroma.cli(sys.argv)"
    arguments = ["run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdout=log,
            stderr=log,
            env=environment,
            cwd=folder,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api/v2/heartbeat", process)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"chroma run does not answer at {url}")


class TestChromaStoreOnAServer(StoreContract):
    @pytest.fixture
    def open_store(self, server, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            # One server for all tests: a test's collections bear its folder's name.
            name = f"{collection} {tmp_path.name}"
            return ChromaStore(server, name, dimension, analyzer, fingerprint)

        return open_store
