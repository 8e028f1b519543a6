"""Milvus keeps the contract of stores: in the process, and behind an address.

The server is Milvus Lite's own, which speaks Milvus's protocol, or that of KVASIR_TEST_MILVUS_URL.
"""

import math
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from deleted_collections import DeletedByAnother
from free_ports import free_port
from libraries import library

from kvasir.core.errors import ComponentError, ConflictError, StoreLockedError
from kvasir.testing.fakes import FakeAnalyzer
from kvasir.testing.store_cases import make_chunk, make_vectors, search_texts
from kvasir.testing.stores import StoreContract

grpc = library("grpc", extra="milvus")
milvus = library("kvasir.components.stores.milvus", needs="pymilvus", extra="milvus")
milvuslite = library("kvasir.components.stores.milvuslite", needs="milvus_lite", extra="milvus")

pytestmark = pytest.mark.xdist_group("milvus")


class Killed(BaseException):
    """The process ends."""


class AfterAnInterruptedStart:
    """Holds on Milvus in the process and on a server."""

    def test_a_start_that_was_killed_before_the_indexes_is_completed(self, opened, monkeypatch):
        def kill(self, *arguments, **options):
            raise Killed

        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(milvus.MilvusClient, "create_index", kill)
            opened()
        store = opened()
        chunks, vectors = [make_chunk(number) for number in range(3)], make_vectors(3)
        store.upsert(chunks, vectors)
        assert [chunk.id for chunk, _ in store.fetch([chunks[0].id])] == [chunks[0].id]
        asked = ["number"] * 3, ["en"] * 3
        for chunk, found in zip(chunks, store.search_hybrid(vectors, *asked, 3), strict=True):
            assert max(found, key=lambda each: each.dense_score).chunk_id == chunk.id
            assert all(each.lexical_score for each in found)


class TestMilvusLiteStore(AfterAnInterruptedStart, StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            path = str(tmp_path / "rag.db")
            return milvuslite.MilvusLiteStore(path, collection, dimension, analyzer, fingerprint)

        return open_store

    def test_only_its_user_can_open_the_folder(self, opened, tmp_path):
        opened()
        assert (tmp_path / "rag.db").stat().st_mode & 0o077 == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server: that of KVASIR_TEST_MILVUS_URL, or one on the loopback interface."""
    if address := os.environ.get("KVASIR_TEST_MILVUS_URL"):
        yield address
        return
    port = free_port()
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
        process.wait(60)


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


class TestMilvusStoreOnAServer(AfterAnInterruptedStart, DeletedByAnother, StoreContract):
    @pytest.fixture
    def open_store(self, server, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            # One server for all tests: a test's collections bear its folder's name.
            name = f"{collection} {tmp_path.name}"
            return milvus.MilvusStore(server, name, dimension, analyzer, fingerprint)

        return open_store


def test_the_keyword_index_survives_closing_and_not_a_crash(tmp_path, monkeypatch):
    def found():
        store = milvuslite.MilvusLiteStore(str(tmp_path / "rag.db"), "c", 8, FakeAnalyzer())
        hits = search_texts(store, ["falcon"], ["en"], 5)[0]
        store.close()
        return len(hits)

    store = milvuslite.MilvusLiteStore(str(tmp_path / "rag.db"), "c", 8, FakeAnalyzer())
    store.upsert([make_chunk(0, "falcon"), make_chunk(1, "falcon")], make_vectors(2))
    store.close()
    assert found() == 2
    with monkeypatch.context() as patch:
        patch.setattr(milvuslite.MilvusLiteStore, "_read_index", None)
        assert found() == 2
    store = milvuslite.MilvusLiteStore(str(tmp_path / "rag.db"), "c", 8, FakeAnalyzer())
    store.delete([make_chunk(0).id])
    store._client.close()  # ends without keeping the index
    assert found() == 1


def test_a_folder_takes_a_file_of_its_own(tmp_path):
    store = milvuslite.MilvusLiteStore(str(tmp_path / "folder"), "c", 8, FakeAnalyzer())
    store.upsert([make_chunk(0)], make_vectors(1))
    store.close()
    assert (tmp_path / "folder" / "milvus.db").exists()


def test_an_idle_store_is_not_asked_whether_it_is_there(tmp_path, monkeypatch):
    # After 40 seconds of such questions both sides would write to the terminal.
    channels = []
    insecure = grpc.insecure_channel

    def watched(target, options):
        channels.append(dict(options))
        return insecure(target, options)

    monkeypatch.setattr("grpc.insecure_channel", watched)
    milvuslite.MilvusLiteStore(str(tmp_path / "rag.db"), "c", 8, FakeAnalyzer()).close()
    most = 2**31 - 1
    assert channels
    assert all(options["grpc.keepalive_time_ms"] == most for options in channels)


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
            milvuslite.MilvusLiteStore(path, "c", 8, FakeAnalyzer())
    finally:
        other.communicate()


def test_a_strangers_collection_is_refused(server):
    store = milvus.MilvusStore(server, "mine", 8, FakeAnalyzer())
    store._client.create_collection("strange", dimension=8)
    with pytest.raises(ConflictError, match="strange"):
        milvus.MilvusStore(server, "strange", 8, FakeAnalyzer())
    store.close()


def test_an_unreachable_server_is_named():
    with pytest.raises(ComponentError, match=r"127\.0\.0\.1:9"):
        milvus.MilvusStore("http://127.0.0.1:9", "c", 8, FakeAnalyzer())


@pytest.fixture
def on_server(server, tmp_path):
    """A collection on the server, with an analyzer whose terms are words."""
    store = milvus.MilvusStore(server, tmp_path.name, 8, FakeAnalyzer())
    yield store
    store.drop()


def _frequency(store, word):
    """Returns the document frequency that the IDF of a word says, at the present count."""
    (term,) = FakeAnalyzer().query_terms([word], ["en"])[0].indices.tolist()
    (weight,) = store._inverse_frequencies({term}).values()
    return (store.count() + 1) / math.exp(weight) - 0.5


def test_words_in_more_chunks_than_one_answer_holds_are_still_weighed(on_server, monkeypatch):
    monkeypatch.setattr("kvasir.components.stores.milvus._MOST_HITS", 40)
    texts = [f"everywhere {'half' if i % 2 else ''} {'rare' if i < 3 else ''}" for i in range(400)]
    on_server.upsert([make_chunk(i, text) for i, text in enumerate(texts)], make_vectors(400))
    assert _frequency(on_server, "everywhere") == pytest.approx(400)
    assert _frequency(on_server, "rare") == pytest.approx(3)
    assert 80 < _frequency(on_server, "half") < 320


def test_a_word_counts_as_everywhere_where_no_sample_can_tell(on_server, monkeypatch):
    monkeypatch.setattr("kvasir.components.stores.milvus._MOST_HITS", 2)
    none = [c for c in map(make_chunk, range(60)) if not c.id.endswith("0")][:20]
    on_server.upsert(none, make_vectors(len(none)))
    assert _frequency(on_server, "chunk") == pytest.approx(len(none))


def test_what_another_process_writes_changes_the_weights(on_server, server, tmp_path):
    on_server.upsert([make_chunk(0, "falcon"), make_chunk(1, "heron")], make_vectors(2))
    assert _frequency(on_server, "falcon") == pytest.approx(1)
    other = milvus.MilvusStore(server, tmp_path.name, 8, FakeAnalyzer())
    other.upsert([make_chunk(i, "falcon") for i in range(2, 6)], make_vectors(4))
    other.close()
    assert _frequency(on_server, "falcon") == pytest.approx(5)


@pytest.mark.parametrize("method", ["upsert", "delete"])
def test_a_failed_write_leaves_no_trace_in_the_keyword_index(tmp_path, monkeypatch, method):
    path = str(tmp_path / "rag.db")
    store = milvuslite.MilvusLiteStore(path, "c", 8, FakeAnalyzer())
    store.upsert([make_chunk(0, "falcon"), make_chunk(1, "heron")], make_vectors(2))

    def fail(*_, **__):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store._client, method, fail)
        with pytest.raises(OSError, match="disk"):
            if method == "upsert":
                store.upsert([make_chunk(0, "pigeon")], make_vectors(1))
            else:
                store.delete([make_chunk(0).id])
    for _ in range(2):
        (hits,) = search_texts(store, ["falcon"], ["en"], 5)
        assert [hit.chunk.text for hit in hits] == ["falcon"]
        assert search_texts(store, ["pigeon"], ["en"], 5) == [[]]
        store.close()
        store = milvuslite.MilvusLiteStore(path, "c", 8, FakeAnalyzer())
    store.close()


@pytest.mark.parametrize("known", [True, False])
def test_a_search_does_not_wait_for_a_writer(tmp_path, monkeypatch, known):
    store = milvuslite.MilvusLiteStore(str(tmp_path / "rag.db"), "c", 8, FakeAnalyzer())
    store.upsert([make_chunk(i, "falcon") for i in range(600)], make_vectors(600))
    if not known:
        store._index.forget()
    started, let_go, write = threading.Event(), threading.Event(), store._client.upsert

    def write_slowly(*args, **options):
        started.set()
        assert let_go.wait(60)
        return write(*args, **options)

    monkeypatch.setattr(store._client, "upsert", write_slowly)
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(store.upsert, [make_chunk(600, "falcon")], make_vectors(1))
        assert started.wait(60)
        try:
            (hits,) = pool.submit(search_texts, store, ["falcon"], ["en"], 1_000).result(30)
            assert len(hits) == 600
            assert not writing.done()
        finally:
            let_go.set()
        writing.result(60)
    assert len(search_texts(store, ["falcon"], ["en"], 1_000)[0]) == 601
    store.close()


def test_logs_are_left_to_the_application_and_nothing_is_written_to_the_terminal(tmp_path):
    program = (
        "import logging; logs = [logging.getLogger(n) for n in ('pymilvus', 'milvus_lite')];"
        "from kvasir.components.stores.milvuslite import MilvusLiteStore;"
        "from kvasir.testing.fakes import FakeAnalyzer;"
        "[log.setLevel(logging.INFO) for log in logs];"
        f"store = MilvusLiteStore({str(tmp_path / 'rag.db')!r}, 'c', 8, FakeAnalyzer());"
        "print(*(log.level for log in logs));"
        "own = store._name; store._name = 'nothing'; failed = None\n"
        "try: store.count()\n"
        "except Exception as error: failed = type(error).__name__\n"
        "print(failed); store._name = own; store.close()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["20", "20", "ComponentError"]
    assert done.stderr == ""


def test_more_metadata_than_a_row_takes_is_said_and_not_cut(tmp_path):
    store = milvuslite.MilvusLiteStore(str(tmp_path / "rag.db"), "c", 8, FakeAnalyzer())
    most = {f"field {i}": "x" for i in range(1_985)}
    store.upsert([make_chunk(0, "owl", most)], make_vectors(1))
    with pytest.raises(ComponentError, match="metadata entries"):
        store.upsert([make_chunk(1, "owl", {**most, "one": "more"})], make_vectors(1))
    assert store.count() == 1
    store.close()
