"""Damage of the default store's files is noticed on opening, and a full disk before a write."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from contextlib import closing

import pytest

from kvasir.components.stores import qdrant_edge_files, qdrant_edge_opening
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.components.stores.qdrant_edge_files import copy_folder, copy_with_holes, fingerprints
from kvasir.components.stores.qdrant_edge_folder import CollectionFolder
from kvasir.core.errors import DamagedError, StorageError
from kvasir.testing.fakes import FakeAnalyzer
from kvasir.testing.store_cases import make_chunk, make_vectors, search_texts

CHUNKS = [make_chunk(number, f"falcon {number}") for number in range(30)]


def open_store(folder, **options):
    return QdrantStore(str(folder), "one", 8, FakeAnalyzer(), **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with an index that was written, read and closed."""
    folder = tmp_path_factory.mktemp("whole")
    with closing(open_store(folder)) as store:
        store.upsert(CHUNKS, make_vectors(len(CHUNKS)))
    open_store(folder).close()
    return folder


@pytest.fixture
def index(whole, tmp_path):
    """A copy of it; returns the folder of its collection."""
    copy_folder(whole, tmp_path / "index", lambda: None)
    return tmp_path / "index" / "one"


def crashed(index):
    """Make an index look as if its last process had been killed while it wrote."""
    folder = CollectionFolder(str(index.parent), "one", 8, "", 0.5)
    folder.forget_fingerprints()
    folder.close()


def gone(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def halved(path):
    os.truncate(path, path.stat().st_size // 2)


def flipped(path):
    with path.open("rb+") as file:
        content = file.read(1 << 20)
        used = [at for at, byte in enumerate(content) if byte] or [0]
        file.seek(used[len(used) // 2])
        file.write(bytes([content[used[len(used) // 2]] ^ 0xFF]))


FILES = (
    "mutable_id_tracker.mappings",
    "mutable_id_tracker.versions",
    "payload_index/*/tracker.dat",
    "payload_index/*/*/status.dat",
    "payload_storage/page_0.dat",
    "payload_storage/config.json",
    "vector_storage-bm25/store/gaps.dat",
    "vector_storage-dense/vectors/chunk_0.mmap",
    "vector_storage-dense/deleted/flags_a.dat",
    "segment.json",
)


@pytest.mark.parametrize("damage", [gone, empty, halved, flipped])
@pytest.mark.parametrize("pattern", FILES)
def test_a_damaged_file_is_named_when_the_index_is_opened(index, pattern, damage):
    path = next(index.glob(f"data-*/segments/*/{pattern}"))
    damage(path)
    with pytest.raises(DamagedError, match="is damaged: it is lost or was changed") as error:
        open_store(index.parent)
    assert path.name in str(error.value)
    assert error.value.folder == str(index)


def test_only_the_log_and_what_opening_changes_is_not_checked(index):
    data = next(index.glob("data-*"))
    checked = set(fingerprints(data, is_replayed=True))
    unchecked = {path.relative_to(data) for path in data.rglob("*") if path.is_file()} - {
        data.joinpath(name).relative_to(data) for name in checked
    }
    names = {path.name for path in unchecked if path.parts[0] != "wal"}
    assert names <= {"edge_config.json", "tracker_journal.dat"}


def test_readers_that_are_killed_leave_a_sound_index(index):
    with closing(open_store(index.parent)) as store:
        assert store.count() == len(CHUNKS)
        assert search_texts(store, ["falcon"], ["en"], 3)[0]
        # As a killed process would leave it.
        copy_folder(index, index.parent / "killed", lambda: None)
    (index.parent / "killed").rename(index.parent / "later")
    shutil.rmtree(index)
    (index.parent / "later").rename(index)
    with closing(open_store(index.parent)) as store:
        assert store.count() == len(CHUNKS)


def test_an_index_that_was_changed_and_read_in_turns_stays_sound(index):
    for turn in range(3):
        with closing(open_store(index.parent, graph_from=20)) as store:
            store.delete([CHUNKS[turn].id])
            store.set_metadata([CHUNKS[9].id], {"turn": turn})
            store.upsert([make_chunk(100 + turn, "kestrel")], make_vectors(1))
            store.optimize(wait=True)
        for _ in range(2):
            with closing(open_store(index.parent)) as store:
                assert store.count() == len(CHUNKS)


def test_a_copy_without_holes_is_the_same_index(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "copy")
    with closing(open_store(tmp_path / "copy")) as store:
        assert store.count() == len(CHUNKS)


def test_an_index_that_the_engine_aborts_on_is_reported_as_damaged(index):
    crashed(index)
    with next(index.rglob("*.mappings")).open("rb+") as file:
        file.seek(40)
        file.write(b"\xff" * 60)
    with pytest.raises(DamagedError, match="SIGABRT") as error:
        open_store(index.parent)
    assert error.value.folder == str(index)


def test_an_index_after_a_crash_is_tried_in_a_child_once(index, monkeypatch):
    tried = []
    attempt = qdrant_edge_opening._try_in_child
    monkeypatch.setattr(
        qdrant_edge_opening, "_try_in_child", lambda *a: (tried.append(1), attempt(*a))
    )
    crashed(index)
    for _ in range(3):
        with closing(open_store(index.parent)) as store:
            assert store.count() == len(CHUNKS)
    assert len(tried) == 1


def test_a_record_with_other_fingerprints_than_kvasirs_is_damaged(index):
    record = index / "collection.json"
    record.write_text(record.read_text().replace('"files": {', '"files": {"x": "y", '))
    with pytest.raises(DamagedError, match=r"collection\.json is damaged"):
        open_store(index.parent)


def test_a_copy_keeps_holes_and_content(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.write(b"begin")
        file.seek(5 << 20)
        file.write(b"middle")
        file.truncate(9 << 20)
    copy_with_holes(str(source), str(target))
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode == source.stat().st_mode
    if source.stat().st_blocks * 512 < 1 << 20:
        assert target.stat().st_blocks * 512 < 1 << 20


@pytest.fixture
def free(monkeypatch):
    """Sets how many bytes are free on every disk."""
    usage = namedtuple("usage", "free")

    def set_free(size):
        monkeypatch.setattr(qdrant_edge_files.shutil, "disk_usage", lambda path: usage(size))

    return set_free


def test_no_index_is_made_where_there_is_no_room(tmp_path, free):
    free(50 << 20)
    with pytest.raises(StorageError, match=r"is full: 50 MiB .*64 MiB are needed.*make room"):
        open_store(tmp_path)
    free(70 << 20)
    open_store(tmp_path).close()


def test_what_does_not_fit_is_not_written_and_goes_on_when_there_is_room(index, free):
    with closing(open_store(index.parent)) as store:
        more = [make_chunk(100 + number, "kestrel " * 9) for number in range(3)]
        free(32 << 20)
        with pytest.raises(StorageError, match="is full"):
            store.upsert(more, make_vectors(3))
        free(31 << 20)
        with pytest.raises(StorageError, match="is full"):
            store.set_metadata([CHUNKS[0].id], {"a": 1})
        with pytest.raises(StorageError, match="is full"):
            store.delete([CHUNKS[0].id])
        assert store.count() == len(CHUNKS)
        free(40 << 20)
        store.upsert(more, make_vectors(3))
        assert store.count() == len(CHUNKS) + 3


def test_a_graph_is_not_built_where_its_copy_does_not_fit(index, free):
    with closing(open_store(index.parent, graph_from=20)) as store:
        free(64 << 20)
        with pytest.raises(Exception, match="is full"):
            store.optimize(wait=True)
        assert store.count() == len(CHUNKS)


_WRITE = """
import sys
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.core.errors import StorageError
from kvasir.testing.fakes import FakeAnalyzer
from kvasir.testing.store_cases import make_chunk, make_vectors
try:
    store = QdrantStore(sys.argv[1], "one", 512, FakeAnalyzer())
    for start in range(0, 100_000, 256):
        chunks = [make_chunk(start + number, "falcon " * 300) for number in range(256)]
        store.upsert(chunks, make_vectors(256, 512))
except StorageError as error:
    print(error)
    store.close() if "store" in globals() else None
"""


@pytest.mark.parametrize("megabytes", [3, 100])
def test_a_disk_that_fills_up_does_not_kill_the_process(tmp_path, megabytes):
    size = f"size={megabytes}m"
    mounting = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _WRITE, str(tmp_path)], capture_output=True, text=True
        )
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is full" in done.stdout
