"""The keyword index in memory follows every writer of a collection."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kvasir.components.stores.keyword_index import IndexCache, Postings
from kvasir.core.errors import StorageError
from kvasir.core.types import SparseVector

TERM = SparseVector(np.array([7], dtype=np.uint32), np.array([1.0], dtype=np.float32))


class Database:
    """A collection of chunk ids that all contain one term, with its stamp."""

    def __init__(self):
        self.ids, self.stamp, self.loads = [], "", 0
        self.reading, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def load(self, stamp):
        self.loads += 1
        ids = list(self.ids)
        self.reading.set()
        assert self.go_on.wait(60)
        return Postings(dict.fromkeys(ids, TERM))

    def open(self):
        return IndexCache(
            read_stamp=lambda: self.stamp,
            put_stamp=lambda stamp: setattr(self, "stamp", stamp),
            load=self.load,
            count=lambda: len(self.ids),
        )

    def write(self, cache, chunk_id):
        with cache.writing() as changed:
            self.ids.append(chunk_id)
            changed([chunk_id], [TERM])

    def delete(self, cache, chunk_id):
        with cache.writing() as changed:
            self.ids.remove(chunk_id)
            changed([chunk_id], None)


def found(cache):
    return sorted(chunk_id for chunk_id, _ in cache.current().rank(TERM))


def test_own_writes_are_followed_without_reading_the_index_again():
    database = Database()
    cache = database.open()
    cache.start_empty()
    for chunk_id in ("a", "b", "c"):
        database.write(cache, chunk_id)
    database.delete(cache, "b")
    assert found(cache) == ["a", "c"]
    assert database.loads == 0


def test_another_writer_is_noticed():
    database = Database()
    one, other = database.open(), database.open()
    database.write(one, "a")
    assert (found(one), found(other), database.loads) == (["a"], ["a"], 2)
    database.write(other, "b")
    assert (found(one), found(other), database.loads) == (["a", "b"], ["a", "b"], 3)


@pytest.mark.parametrize("step", ["write", "delete"])
def test_what_is_written_while_the_index_is_read_is_in_it(step):
    database = Database()
    database.write(database.open(), "a")
    cache = database.open()
    database.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(found, cache)
        assert database.reading.wait(60)
        getattr(database, step)(cache, "b" if step == "write" else "a")
        database.go_on.set()
        expected = ["a", "b"] if step == "write" else []
        assert reading.result(60) == expected
    assert found(cache) == expected
    assert database.loads == 1


def test_an_index_read_while_another_process_wrote_is_not_kept():
    database = Database()
    cache, other = database.open(), database.open()
    database.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(found, cache)
        assert database.reading.wait(60)
        database.write(other, "b")
        database.write(cache, "c")
        database.go_on.set()
        reading.result(60)
    assert found(cache) == ["b", "c"]


def test_a_failed_write_drops_the_index():
    database = Database()
    cache = database.open()
    cache.start_empty()
    database.write(cache, "a")

    def fail():
        with cache.writing() as changed:
            changed(["b"], [TERM])
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert found(cache) == ["a"]
    assert database.loads == 1


def test_a_search_in_the_middle_of_a_write_sees_what_is_written_so_far():
    database = Database()
    cache = database.open()
    cache.start_empty()
    with cache.writing() as changed:
        for chunk_id in ("a", "b"):
            database.ids.append(chunk_id)
            changed([chunk_id], [TERM])
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(found, cache).result(60) == database.ids
    assert database.loads == 0


def test_a_saved_index_is_read_again_for_its_own_stamp(tmp_path):
    Postings({"a": TERM, "b": TERM}).save(tmp_path / "terms.npz", "one")
    loaded = Postings.load(tmp_path / "terms.npz", "one")
    assert loaded is not None
    assert [chunk_id for chunk_id, _ in loaded.rank(TERM)] == ["a", "b"]
    assert Postings.load(tmp_path / "terms.npz", "two") is None
    assert [path.name for path in tmp_path.iterdir()] == ["terms.npz"]


def test_a_damaged_saved_index_counts_as_none_and_is_deleted(tmp_path):
    path = tmp_path / "terms.npz"
    Postings({"a": TERM, "b": TERM}).save(path, "one")
    whole = path.read_bytes()
    cut = [whole[: len(whole) * part // 20] for part in range(20)]
    middle = len(whole) // 2
    changed = [
        bytes(len(whole)),
        whole[:middle] + bytes(len(whole) - middle),
        *(whole[:at] + b"\xff\xff\xff\xff" + whole[at + 4 :] for at in range(0, len(whole), 7)),
    ]
    for data in (*cut, *changed):
        path.write_bytes(data)
        loaded = Postings.load(path, "one")
        if loaded is None:
            assert not path.exists() or data in changed
        else:
            assert [chunk_id for chunk_id, _ in loaded.rank(TERM)] == ["a", "b"]


def test_a_full_disk_leaves_the_saved_index_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "terms.npz"
    Postings({"a": TERM}).save(path, "one")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(StorageError, match="full"):
        Postings().save(path, "two")
    assert Postings.load(path, "one") is not None
