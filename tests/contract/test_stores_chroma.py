"""Chroma keeps the contract of stores, in a folder and as a server."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from chroma_server import chroma_server
from deleted_collections import DeletedByAnother
from libraries import library

from kvasir.core.errors import WrongEmbedderError
from kvasir.core.filters import Comparison
from kvasir.testing.store_cases import make_chunk, make_vectors, search_texts
from kvasir.testing.stores import StoreContract

chroma = library("kvasir.components.stores.chroma", needs="chromadb", extra="chroma")

pytestmark = pytest.mark.xdist_group("chroma")


class TestChromaStore(DeletedByAnother, StoreContract):
    @pytest.fixture
    def open_store(self, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            path = str(tmp_path / "chroma")
            return chroma.ChromaStore(path, collection, dimension, analyzer, fingerprint)

        return open_store

    def test_only_its_user_can_open_the_folder(self, opened, tmp_path):
        opened()
        assert (tmp_path / "chroma").stat().st_mode & 0o077 == 0

    def test_the_keyword_index_follows_another_writer(self, opened):
        reader, writer = opened(), opened()
        writer.upsert([make_chunk(0, "falcon")], make_vectors(1))
        assert len(search_texts(reader, ["falcon"], ["en"], 5)[0]) == 1
        writer.upsert([make_chunk(1, "falcon nest")], make_vectors(1))
        assert len(search_texts(reader, ["falcon"], ["en"], 5)[0]) == 2
        reader.upsert([make_chunk(2, "falcon egg")], make_vectors(1))
        writer.delete([make_chunk(0).id])
        for store in (reader, writer):
            assert len(search_texts(store, ["falcon"], ["en"], 5)[0]) == 2

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_two_writers_at_once_leave_no_index_outdated(self, opened, monkeypatch, moment):
        first, second = opened(), opened()
        first.upsert([make_chunk(0, "falcon")], make_vectors(1))
        search_texts(second, ["falcon"], ["en"], 5)
        write = chroma.ChromaStore._write

        def write_with_another(store, chunks, vectors):
            if store is first and moment == "before":
                second.upsert([make_chunk(2, "falcon egg")], make_vectors(1))
            terms = write(store, chunks, vectors)
            if store is first and moment == "after":
                second.upsert([make_chunk(2, "falcon egg")], make_vectors(1))
            return terms

        with monkeypatch.context() as patch:
            patch.setattr(chroma.ChromaStore, "_write", write_with_another)
            first.upsert([make_chunk(1, "falcon nest")], make_vectors(1))
        for store in (first, second, opened()):
            assert len(search_texts(store, ["falcon"], ["en"], 5)[0]) == 3

    def test_a_writer_that_is_done_before_anothers_first_stamp_is_noticed(
        self, opened, monkeypatch
    ):
        first, second = opened(), opened()
        first.upsert([make_chunk(0, "falcon")], make_vectors(1))
        put = first._index._put_stamp
        waiting = [True]

        def put_late(stamp):
            if waiting:
                waiting.clear()
                second.upsert([make_chunk(2, "falcon egg")], make_vectors(1))
            put(stamp)

        with monkeypatch.context() as patch:
            patch.setattr(first._index, "_put_stamp", put_late)
            first.upsert([make_chunk(1, "falcon nest")], make_vectors(1))
        for store in (first, second):
            assert len(search_texts(store, ["falcon"], ["en"], 5)[0]) == 3

    def test_the_stamp_of_a_collection_that_was_created_again_keeps_its_own_metadata(self, opened):
        first, second = opened(), opened()
        first.upsert([make_chunk(0, "falcon")], make_vectors(1))
        second.drop()
        third = opened(fingerprint="another embedder")
        first._put_stamp("stamp")
        about = third._found().metadata
        assert (about["fingerprint"], about["stamp"]) == ("another embedder", "stamp")

    @pytest.mark.parametrize("known", [True, False])
    def test_a_search_does_not_wait_for_a_writer(self, opened, monkeypatch, known):
        store = opened()
        store.upsert([make_chunk(0, "falcon")], make_vectors(1))
        if not known:
            store.close()
            store = opened()
            monkeypatch.setattr(store, "_index_file", None)
        started, let_go, write = threading.Event(), threading.Event(), chroma.ChromaStore._write

        def write_slowly(self, chunks, vectors):
            started.set()
            assert let_go.wait(60)
            return write(self, chunks, vectors)

        monkeypatch.setattr(chroma.ChromaStore, "_write", write_slowly)
        with ThreadPoolExecutor(2) as pool:
            writing = pool.submit(store.upsert, [make_chunk(1, "falcon nest")], make_vectors(1))
            assert started.wait(60)
            try:
                (hits,) = pool.submit(search_texts, store, ["falcon"], ["en"], 5).result(30)
                assert [hit.chunk.text for hit in hits] == ["falcon"]
                assert not writing.done()
            finally:
                let_go.set()
            writing.result(60)
        reads = []
        monkeypatch.setattr(store, "_read_index", lambda: reads.append(1))
        assert len(search_texts(store, ["falcon"], ["en"], 5)[0]) == 2
        assert reads == []

    def test_a_filter_is_not_applied_to_given_ids_which_takes_half_a_millisecond_each(
        self, opened, monkeypatch
    ):
        store = opened()
        chunks = [make_chunk(i, "falcon", {"part": i % 4}) for i in range(40)]
        store.upsert(chunks, make_vectors(40))
        asked, get = [], store._get

        def watched(**options):
            asked.append(options)
            return get(**options)

        monkeypatch.setattr(store, "_get", watched)
        (hits,) = search_texts(store, ["falcon"], ["en"], 10, Comparison("part", "==", 3))
        assert {hit.chunk.metadata["part"] for hit in hits} == {3}
        assert len(hits) == 10
        assert not [each for each in asked if each.get("ids") and each.get("where")]

    def test_stores_of_one_process_share_a_folder_that_another_process_may_not_have(
        self, opened, tmp_path
    ):
        folder = str(tmp_path / "chroma")
        stores = [opened(), opened(), opened(collection="another")]
        for number, store in enumerate(stores):
            store.upsert([make_chunk(number)], make_vectors(1))
            if store is stores[-1]:
                assert "StoreLockedError" in _opening_elsewhere(folder)
            store.close()
            store.close()
        assert _opening_elsewhere(folder) == "2 chunks"
        assert opened().count() == 2

    def test_a_folder_is_free_again_after_it_could_not_be_opened(self, opened, tmp_path):
        with closing(opened(fingerprint="one")):
            pass
        with pytest.raises(WrongEmbedderError):
            opened(fingerprint="two")
        assert _opening_elsewhere(str(tmp_path / "chroma")) == "0 chunks"

    def test_the_index_file_serves_the_next_start_only_if_it_is_current(self, opened, tmp_path):
        store = opened()
        store.upsert([make_chunk(0, "falcon")], make_vectors(1))
        search_texts(store, ["falcon"], ["en"], 5)
        store.upsert([make_chunk(1, "falcon nest")], make_vectors(1))
        store.close()
        (file,) = (tmp_path / "chroma").glob("kvasir-*.npz")
        old = file.read_bytes()
        store = opened()
        assert len(search_texts(store, ["falcon"], ["en"], 5)[0]) == 2
        store.delete([make_chunk(0).id])
        store.close()
        file.write_bytes(old)
        assert len(search_texts(opened(), ["falcon"], ["en"], 5)[0]) == 1


def _opening_elsewhere(folder):
    """Returns what another process says that opens the collection."""
    code = (
        "from kvasir.components.stores.chroma import ChromaStore;"
        "from kvasir.core.errors import OperatorError;"
        "from kvasir.testing.fakes import FakeAnalyzer\n"
        f"try: store = ChromaStore({folder!r}, 'contract', 8, FakeAnalyzer())\n"
        "except OperatorError as error: print(type(error).__name__, error)\n"
        "else: print(store.count(), 'chunks'); store.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    said = done.stdout.strip()
    assert "StoreLockedError" not in said or f"process {os.getpid()} " in said
    return said


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of ``chroma run`` on the loopback interface."""
    with chroma_server(tmp_path_factory.mktemp("chroma-server")) as address:
        yield address


class TestChromaStoreOnAServer(DeletedByAnother, StoreContract):
    @pytest.fixture
    def open_store(self, server, tmp_path, analyzer):
        def open_store(dimension=8, fingerprint="", collection="contract"):
            # One server for all tests: a test's collections bear its folder's name.
            name = f"{collection} {tmp_path.name}"
            return chroma.ChromaStore(server, name, dimension, analyzer, fingerprint)

        return open_store
