"""The default store: one owner, durability, and a graph that is renewed in use."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    HnswIndexConfig,
    Modifier,
)

from kvasir.components.stores import qdrant_edge_shard
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.components.stores.qdrant_edge_folder import (
    CollectionFolder,
    drop_collection,
    list_collections,
)
from kvasir.components.stores.qdrant_edge_graph import GraphBuild, GraphBuildError
from kvasir.components.stores.qdrant_points import BM25, DENSE
from kvasir.core.errors import (
    CollectionNotFoundError,
    ComponentError,
    RequestError,
    StoreLockedError,
)
from kvasir.core.filters import Comparison
from kvasir.frontends.cli.remedies import explain
from kvasir.testing.fakes import FakeAnalyzer
from kvasir.testing.store_cases import make_chunk, search_texts, search_vectors

DIMENSION = 32

reading_ahead = pytest.mark.skipif(
    not hasattr(os, "posix_fadvise"), reason="this system cannot be asked to read ahead"
)


def clustered(count, seed=1):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(40, DIMENSION))
    vectors = centres[rng.integers(0, 40, count)] + 0.5 * rng.normal(size=(count, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def chunks_of(count, first=0):
    return [make_chunk(first + i, f"chunk number {first + i}") for i in range(count)]


@pytest.fixture
def store_at(tmp_path):
    opened = []

    def store_at(collection="test", graph_from=1_000, **options):
        store = QdrantStore(
            str(tmp_path), collection, DIMENSION, FakeAnalyzer(), graph_from=graph_from, **options
        )
        opened.append(store)
        return store

    yield store_at
    for store in opened:
        store.close()


@pytest.fixture
def slow_build(monkeypatch):
    """Holds a finished graph back until the test lets it go: writes then come in between."""
    let_go = threading.Event()
    wait = GraphBuild.wait

    def wait_longer(self):
        wait(self)
        assert let_go.wait(60)

    monkeypatch.setattr(GraphBuild, "wait", wait_longer)
    yield let_go
    let_go.set()


def former_config(dimension, threads=1):
    """The engine's configuration before the graph was walked over bytes."""
    return EdgeConfig(
        vectors={DENSE: EdgeVectorParams(size=dimension, distance=Distance.Cosine)},
        sparse_vectors={BM25: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        hnsw_config=HnswIndexConfig(
            m=16, ef_construct=128, full_scan_threshold=20_000 * 4 * dimension // 1024
        ),
        optimizers=EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1),
    )


class FormerBuild(GraphBuild):
    """Builds the graph of before, in this process."""

    def __init__(self, shard, dimension, threads, niceness):
        opened = EdgeShard.load(str(shard), former_config(dimension))
        opened.optimize()
        opened.flush()
        opened.close()

    def __exit__(self, *error):
        pass

    def wait(self):
        pass


def recall(store, chunks, vectors, queries, first=0, filters=None):
    """Returns the share of the ten nearest, from the first chunk asked for on, that are found."""
    best = first + np.argsort(-(queries @ vectors[first:].T), axis=1)[:, :10]
    same = [
        len({chunks[i].id for i in row} & {hit.chunk.id for hit in hits})
        for row, hits in zip(best, search_vectors(store, queries, 10, filters), strict=True)
    ]
    return sum(same) / (10 * len(queries))


def run_child(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )


# --- the graph ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    """Chunks and their vectors; up to 20,000 the engine compares all, graph or not."""
    return chunks_of(23_000), clustered(23_000)


@pytest.fixture(scope="module")
def with_graph(many, tmp_path_factory):
    """A folder with a collection that has a graph, and what is in it."""
    folder, chunks, vectors = tmp_path_factory.mktemp("graph"), many[0][:21_000], many[1][:21_000]
    store = QdrantStore(str(folder), "test", DIMENSION, FakeAnalyzer(), graph_from=1_000)
    store.upsert(chunks, vectors)
    store.optimize(wait=True)
    assert [path.name for path in (folder / "test").glob("data-*")] == ["data-000002"]
    assert recall(store, chunks, vectors, clustered(50, seed=7)) >= 0.99
    store.close()
    return folder, chunks, vectors


@pytest.fixture
def graph_store(with_graph):
    """The collection with a graph, opened again."""
    store = QdrantStore(str(with_graph[0]), "test", DIMENSION, FakeAnalyzer(), graph_from=1_000)
    yield store
    store.close()


def test_the_graph_finds_what_comparing_all_finds(with_graph, graph_store):
    _, chunks, vectors = with_graph
    assert graph_store.count() == 21_000
    assert recall(graph_store, chunks, vectors, clustered(50, seed=7)) >= 0.99


def test_a_graph_without_bytes_is_searched_and_the_next_one_has_them(
    store_at, many, tmp_path, monkeypatch
):
    def vector_files(name):
        return list((tmp_path / "test").glob(f"data-*/segments/*/*/{name}"))

    (chunks, vectors), queries = many, clustered(50, seed=7)
    with monkeypatch.context() as patch:
        patch.setattr(qdrant_edge_shard, "edge_config", former_config)
        patch.setattr(qdrant_edge_shard, "GraphBuild", FormerBuild)
        store = store_at()
        store.upsert(chunks[:20_500], vectors[:20_500])
        store.optimize(wait=True)
        store.close()
    assert len(vector_files("graph.bin")) == 1
    assert len(vector_files("quantized.data")) == 0
    store = store_at()
    assert recall(store, chunks[:20_500], vectors[:20_500], queries) >= 0.99
    store.upsert(chunks[20_500:], vectors[20_500:])
    store.optimize(wait=True)
    assert len(vector_files("graph.bin")) == 1
    assert len(vector_files("quantized.data")) == 1
    assert recall(store, chunks, vectors, queries) >= 0.99


def test_bytes_hide_nothing_from_filters_and_leave_scores_exact(with_graph, graph_store):
    (_, chunks, vectors), store, queries = with_graph, graph_store, clustered(50, seed=7)
    for first in (10_000, 14_000, 20_900):
        filters = Comparison("number", ">=", first)
        assert recall(store, chunks, vectors, queries, first, filters) >= 0.99
    # Most of what the keyword leg finds is far from the query: scored apart, and exactly too.
    (found,) = store.search_hybrid(queries[:1], ["number"], ["en"], 1_000)
    by_words = {c.chunk_id: c.dense_score for c in found if c.lexical_score is not None}
    assert len(by_words) == 1_000
    expected = {c.id: (1 + v @ queries[0]) / 2 for c, v in zip(chunks, vectors, strict=True)}
    for chunk_id, score in by_words.items():
        assert score == pytest.approx(expected[chunk_id], abs=1e-6)
    for hit in search_vectors(store, queries[:1], 10)[0]:
        assert hit.score == pytest.approx(
            (1 + queries[0] @ vectors[hit.chunk.metadata["number"]]) / 2, abs=1e-6
        )


@reading_ahead
def test_the_texts_of_chunks_are_read_ahead(store_at, tmp_path, monkeypatch):
    store = store_at()
    store.upsert(chunks_of(50), clustered(50))
    store.close()
    advised = set()
    monkeypatch.setattr(os, "posix_fadvise", lambda file, *_: advised.add(os.fstat(file).st_ino))
    assert store_at().count() == 50
    pages = list((tmp_path / "test").glob("data-*/segments/*/payload_storage/page_0.dat"))
    assert advised & {page.stat().st_ino for page in pages}


@reading_ahead
def test_a_collection_opens_where_nothing_can_be_read_ahead(store_at, monkeypatch):
    def refuses(*_):
        raise OSError(22, "Invalid argument")

    store = store_at()
    store.upsert(chunks_of(50), clustered(50))
    store.close()
    monkeypatch.setattr(os, "posix_fadvise", refuses)
    assert store_at().count() == 50


def test_a_graph_is_only_built_when_enough_is_without_one(store_at, tmp_path):
    store = store_at()
    store.upsert(chunks_of(900), clustered(900))
    store.optimize(wait=True)
    assert (tmp_path / "test" / "data-000001").exists()
    store.close()
    store = store_at()
    store.upsert(chunks_of(200, 900), clustered(200, seed=2))
    store.optimize(wait=True)
    assert not (tmp_path / "test" / "data-000001").exists()
    store.optimize(wait=True)
    assert (tmp_path / "test" / "data-000002").exists()


def test_what_is_written_while_the_graph_is_built_is_in_the_new_one(store_at, tmp_path, slow_build):
    store, chunks, vectors = store_at(), chunks_of(1_600), clustered(1_600)
    store.upsert(chunks[:1_200], vectors[:1_200])
    store.optimize()
    store.upsert(chunks[1_200:], vectors[1_200:])
    store.upsert([make_chunk(7, "replaced")], clustered(1, seed=3))
    store.delete([chunks[8].id, chunks[1_300].id])
    store.set_metadata([chunks[9].id], {"mark": 1})
    assert store.count(Comparison("mark", ">", 0)) == 1
    assert store.count() == 1_598
    slow_build.set()
    store.optimize(wait=True)
    for _ in range(2):
        assert [path.name for path in (tmp_path / "test").glob("data-*")] == ["data-000002"]
        assert store.count() == 1_598
        assert store.fetch([chunks[8].id, chunks[1_300].id]) == []
        best = search_vectors(store, clustered(1, seed=3), 1)[0][0]
        assert (best.chunk.text, best.score) == ("replaced", pytest.approx(1.0, abs=1e-4))
        assert store.count(Comparison("mark", ">", 0)) == 1
        assert search_texts(store, ["1599"], ["en"], 1)[0][0].chunk == chunks[1_599]
        store.close()
        store = store_at()


def test_many_points_that_come_while_the_graph_is_built_are_in_the_next_one(
    store_at, tmp_path, slow_build
):
    store, chunks, vectors = store_at(), chunks_of(2_600), clustered(2_600)
    store.upsert(chunks[:1_200], vectors[:1_200])
    store.optimize()
    store.upsert(chunks[1_200:], vectors[1_200:])
    slow_build.set()
    store.optimize(wait=True)
    store.close()
    notes = json.loads((tmp_path / "test" / "collection.json").read_text())["notes"]
    assert (notes["without_graph"], notes["in_graph"]) == (0, 2_600)


def test_searching_and_writing_go_on_from_several_threads_while_graphs_change(store_at):
    store, chunks, vectors = store_at(graph_from=400), chunks_of(3_000), clustered(3_000)
    store.upsert(chunks[:500], vectors[:500])
    stop, failures = threading.Event(), []

    def search():
        while not stop.is_set():
            try:
                hits = search_vectors(store, vectors[:1], 5)[0]
                assert hits[0].chunk == chunks[0]
                assert search_texts(store, ["number"], ["en"], 5)[0]
            except (AssertionError, ComponentError) as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=search) for _ in range(3)]
    for reader in readers:
        reader.start()
    for start in range(500, 3_000, 250):
        store.upsert(chunks[start : start + 250], vectors[start : start + 250])
        store.optimize()
    store.optimize(wait=True)
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert store.count() == 3_000
    assert {c.id for batch in store.scroll() for c, _ in batch} == {c.id for c in chunks}


def test_closing_stops_building_and_leaves_the_collection_whole(store_at, tmp_path):
    store = store_at()
    store.upsert(chunks_of(3_000), clustered(3_000))
    store.optimize()
    store.close()
    assert [path.name for path in (tmp_path / "test").glob("data-*")] == ["data-000001"]
    assert store_at().count() == 3_000


def test_a_failed_build_is_told_to_who_waits_and_the_store_works_on(store_at, monkeypatch):
    store = store_at()
    store.upsert(chunks_of(1_200), clustered(1_200))

    def fail(self):
        raise GraphBuildError("exit code 1: no space left on device")

    monkeypatch.setattr(GraphBuild, "wait", fail)
    with pytest.raises(ComponentError, match="no space left"):
        store.optimize(wait=True)
    assert store.count() == 1_200
    monkeypatch.undo()
    store.optimize(wait=True)
    assert store.count() == 1_200


def test_the_working_directory_cannot_replace_a_library_of_the_build(
    store_at, tmp_path, monkeypatch
):
    (tmp_path / "ctypes.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    store = store_at()
    store.upsert(chunks_of(1_200), clustered(1_200))
    store.optimize(wait=True)
    assert not (tmp_path / "test" / "data-000001").exists()


# --- durability --------------------------------------------------------------------------

WRITER = """
import os, signal, sys
from tests.integration.test_qdrant_store import *
store = QdrantStore(sys.argv[1], "test", DIMENSION, FakeAnalyzer(), graph_from=1_000)
chunks, vectors = chunks_of(1_200), clustered(1_200)
store.upsert(chunks[:800], vectors[:800])
store.delete([chunk.id for chunk in chunks[:100]])
store.upsert(chunks[800:], vectors[800:])
if sys.argv[2] == "building":
    store.optimize()
    store.delete([chunk.id for chunk in chunks[100:200]])
print(store.count(), flush=True)
sys.stdin.read() if sys.argv[2] == "wait" else os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_power_cut_the_log_has_what_the_other_files_lack(store_at, tmp_path):
    first, second = chunks_of(600)[:400], chunks_of(600)[400:]
    vectors = clustered(600)
    with closing(store_at()) as store:
        store.upsert(first, vectors[:400])
    kept = tmp_path / "before"
    shutil.copytree(tmp_path / "test", kept / "test")
    with closing(store_at()) as store:
        store.upsert(second, vectors[400:])
        store.delete([chunk.id for chunk in first[:50]])
        store.set_metadata([first[60].id], {**first[60].metadata, "title": "renamed"})
        store.flush()
        # No page of the other files has reached the disk since the index was opened.
        now = store._shard._opened().data
        lost = kept / "test" / now.name
        shutil.rmtree(lost / "wal")
        shutil.copytree(now / "wal", lost / "wal")
        shutil.copy(tmp_path / "test" / "collection.json", kept / "test" / "collection.json")
    for _ in range(2):
        with closing(QdrantStore(str(kept), "test", DIMENSION, FakeAnalyzer())) as store:
            assert store.count() == 550
            assert not store.fetch([first[0].id])
            ((renamed, vector),) = store.fetch([first[60].id])
            assert renamed.metadata["title"] == "renamed"
            assert np.allclose(vector, vectors[60], atol=1e-6)
            assert len(store.fetch([chunk.id for chunk in second])) == 200


class UnflushedShard:
    """The engine's shard on a disk that takes no more."""

    def __init__(self, shard):
        self._shard = shard

    def flush(self):
        raise OSError("no space left on device")

    def __getattr__(self, name):
        return getattr(self._shard, name)


def test_an_index_that_cannot_be_flushed_is_closed_and_opened_again_without_loss(store_at):
    store = store_at()
    store.upsert(chunks_of(50), clustered(50))
    current = store._shard._opened()
    current.shard = UnflushedShard(current.shard)
    with pytest.raises(ComponentError, match=r"flushing.*no space left"):
        store.close()
    with closing(store_at()) as again:
        assert again.count() == 50


@pytest.mark.parametrize(("when", "left"), [("writing", 1_100), ("building", 1_000)])
def test_what_was_acknowledged_survives_a_kill(store_at, tmp_path, when, left):
    child = run_child(WRITER, tmp_path, when)
    assert child.stdout.read() == f"{left}\n"
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    store = store_at()
    assert store.count() == left
    expected = {chunk.id for chunk in chunks_of(1_200)[1_200 - left :]}
    assert {c.id for batch in store.scroll() for c, _ in batch} == expected
    assert [path.name for path in (tmp_path / "test").glob("data-*")] == ["data-000001"]
    assert search_texts(store, ["1199"], ["en"], 1)[0][0].chunk.text == "chunk number 1199"


SWITCHER = """
import os, signal, sys
from kvasir.components.stores.qdrant_edge_folder import CollectionFolder
from tests.integration.test_qdrant_store import *
make_current = CollectionFolder.make_current
def make_current_and_die(self, data, *details):
    if sys.argv[2] == "after" or data.name == "data-000001":
        make_current(self, data, *details)
    if data.name != "data-000001":
        os.kill(os.getpid(), signal.SIGKILL)
store = QdrantStore(sys.argv[1], "test", DIMENSION, FakeAnalyzer(), graph_from=1_000)
store.upsert(chunks_of(1_200), clustered(1_200))
CollectionFolder.make_current = make_current_and_die
store.optimize(wait=True)
"""


@pytest.mark.parametrize(("when", "data"), [("before", "data-000001"), ("after", "data-000002")])
def test_a_kill_beside_the_switch_leaves_one_whole_collection(store_at, tmp_path, when, data):
    child = run_child(SWITCHER, tmp_path, when)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "test").glob("data-*"))) == 2
    store, chunks = store_at(), chunks_of(1_200)
    assert [path.name for path in (tmp_path / "test").glob("data-*")] == [data]
    assert store.count() == 1_200
    assert recall(store, chunks, clustered(1_200), clustered(20, seed=7)) >= 0.99


def test_a_copy_without_a_graph_is_never_taken_for_the_collection(store_at, tmp_path):
    store = store_at()
    store.upsert(chunks_of(10), clustered(10))
    store.close()
    half = tmp_path / "test" / "data-000002"
    (half / "segments").mkdir(parents=True)
    (tmp_path / "test" / "collection.new").write_text("{", "utf-8")
    assert store_at().count() == 10
    assert not half.exists()


# --- one owner ---------------------------------------------------------------------------


def test_a_second_process_is_told_who_holds_the_collection(store_at, tmp_path):
    store_at().close()
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    )
    try:
        child.stdout.readline()
        with pytest.raises(StoreLockedError, match=f"'test'.*in use by process {child.pid} "):
            store_at()
        with pytest.raises(StoreLockedError, match=str(child.pid)):
            drop_collection(str(tmp_path), "test")
        store_at("another").close()
    finally:
        child.kill()
        child.communicate()
    assert store_at().count() == 1_100


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["/bin/kvasir", "search", "--set", "rag.vectordb.password=hunter2"], "kvasir search"),
        (["/bin/kvasir", "--set=rag.vectordb.password=hunter2", "search"], "kvasir"),
        (["/src/kvasir/__main__.py", "ask", "hunter2"], "kvasir ask"),
        (["/home/me/serve.py", "hunter2"], "serve"),
    ],
)
def test_the_owner_is_named_without_options_and_values(
    store_at, tmp_path, monkeypatch, arguments, shown
):
    monkeypatch.setattr(sys, "argv", arguments)
    store_at()
    # What the sentence for a second process is made of.
    owner = (tmp_path / "test" / "owner.json").read_text()
    assert json.loads(owner)["command"] == shown
    assert "hunter2" not in owner


def test_the_lock_of_a_killed_process_does_not_block(store_at, tmp_path):
    child = run_child(WRITER, tmp_path, "writing")
    child.communicate()
    assert json.loads((tmp_path / "test" / "owner.json").read_text())["pid"] == child.pid
    assert store_at().count() == 1_100
    assert json.loads((tmp_path / "test" / "owner.json").read_text())["pid"] == os.getpid()


def test_a_damaged_collection_says_how_to_get_it_again(store_at, tmp_path):
    store = store_at()
    store.upsert(chunks_of(20), clustered(20))
    store.close()
    (log,) = (tmp_path / "test").glob("data-*/wal/open-1")
    log.write_bytes(b"damaged" * 1000)
    with pytest.raises(ComponentError, match="damaged") as caught:
        store_at()
    assert re.search(r"damaged: delete the folder '.*test', and 'kvasir", explain(caught.value))


@pytest.mark.parametrize("left", [0, 0.5])
def test_files_that_make_the_engine_panic_are_reported_as_damaged(store_at, tmp_path, left):
    store = store_at()
    store.upsert(chunks_of(2_000), clustered(2_000))
    store.optimize(wait=True)
    store.close()
    folder = CollectionFolder(str(tmp_path), "test", DIMENSION, "", 1.0)
    folder.forget_fingerprints()  # As after a crash: otherwise the engine would not see them.
    folder.close()
    files = list((tmp_path / "test").glob("data-*/segments/*/payload_index/*/*/status.dat"))
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[: int(left * file.stat().st_size)])
    with pytest.raises(ComponentError, match="damaged") as caught:
        search_vectors(store_at(), clustered(1), 5, Comparison("number", "<", 500))
    assert re.search(r"damaged: .*delete the folder '.*test', and 'kvasir", explain(caught.value))


def test_opening_twice_in_one_process_is_refused_in_one_sentence(store_at):
    store_at()
    with pytest.raises(StoreLockedError, match="this very process"):
        store_at(lock_timeout=0)


def test_a_closed_store_refuses_every_call(store_at):
    store = store_at()
    store.close()
    with pytest.raises(ComponentError, match="closed"):
        store.count()
    with pytest.raises(ComponentError, match="closed"):
        store.upsert(chunks_of(1), clustered(1))


# --- collections -------------------------------------------------------------------------


def test_collections_are_listed_and_dropped(store_at, tmp_path):
    assert list_collections(str(tmp_path / "none")) == []
    for name in ("b", "../a", ".hidden", "北京"):
        store_at(name).close()
    assert list_collections(str(tmp_path)) == ["../a", ".hidden", "b", "北京"]
    assert not (tmp_path.parent / "a").exists()
    drop_collection(str(tmp_path), "../a")
    assert list_collections(str(tmp_path)) == [".hidden", "b", "北京"]
    with pytest.raises(CollectionNotFoundError, match=r"there are: \.hidden, b"):
        drop_collection(str(tmp_path), "../a")
    with pytest.raises(RequestError, match="cannot name"):
        store_at("  ")


# --- filters -----------------------------------------------------------------------------


def number_indexes(tmp_path):
    shard = EdgeShard.load(str(next((tmp_path / "test").glob("data-*"))))
    indexed = [path for path in shard.info().payload_schema if path.startswith("numbers.")]
    shard.close()
    return indexed


def test_a_filter_on_a_field_that_no_chunk_has_makes_no_index(store_at, tmp_path):
    store = store_at()
    store.upsert(chunks_of(30), clustered(30))
    for number in range(30):
        assert store.count(Comparison(f"evil{number}", "<", 5)) == 0
    assert store.count(Comparison("number", "<", 5)) == 5
    store.close()
    assert number_indexes(tmp_path) == ["numbers.number"]


def test_filters_make_a_limited_number_of_indexes_and_the_rest_is_scanned(store_at, tmp_path):
    store, fields = store_at(), [f"field{number:02}" for number in range(40)]
    chunk = make_chunk(0, "many numbers", dict.fromkeys(fields, 7))
    store.upsert([chunk, *chunks_of(5, 1)], clustered(6))
    for field in fields:
        assert store.count(Comparison(field, ">", 6)) == 1
        assert store.count(Comparison(field, "<", 6)) == 0
    store.close()
    assert len(number_indexes(tmp_path)) == 32


def test_documents_are_selected_by_their_id(store_at):
    store, chunks = store_at(), chunks_of(30)
    store.upsert(chunks, clustered(30))
    of_document = [c for c in chunks if c.document_id == chunks[3].document_id]
    assert store.count(Comparison("document_id", "==", chunks[3].document_id)) == len(of_document)
    assert store.count(Comparison("document_id", "==", "none")) == 0


def test_chunks_are_read_in_the_order_of_the_ids(store_at):
    store, chunks = store_at(), chunks_of(30)
    store.upsert(chunks, clustered(30))
    wanted = [chunks[i] for i in (17, 3, 29, 0)]
    ids = [wanted[0].id, chunks_of(1, 999)[0].id, *(chunk.id for chunk in wanted[1:])]
    assert store.fetch_chunks(ids) == wanted
    assert [chunk for chunk, _ in store.fetch(ids)] == wanted


def test_a_chunk_deleted_between_the_legs_of_a_search_is_left_out(store_at, monkeypatch):
    store, gone = store_at(), chunks_of(1, 999)[0].id
    store.upsert(chunks_of(30), clustered(30))
    rank = store._words
    monkeypatch.setattr(store, "_words", lambda *asked: [(gone, 99.0), *rank(*asked)])
    (found,) = store.search_hybrid(clustered(1), ["number"], ["en"], 5)
    assert gone not in {candidate.chunk_id for candidate in found}
    assert sum(candidate.lexical_score is not None for candidate in found) == 5


def test_rankings_do_not_depend_on_what_was_deleted_or_changed_before(store_at, tmp_path):
    kept = [make_chunk(number, f"falcon number {number % 7} of {number}") for number in range(600)]
    gone = [make_chunk(1_000 + number, "falcon number 3") for number in range(60)]
    fresh = store_at("fresh")
    fresh.upsert(kept, clustered(600))
    changed = store_at("changed", graph_from=500)
    changed.upsert(kept + gone, clustered(660))
    changed.optimize(wait=True)
    changed.delete([chunk.id for chunk in gone])
    changed.set_metadata([chunk.id for chunk in kept[:50]], {"mark": 1})

    def scores(store):
        hits = search_texts(store, ["number 3 of 17"], ["en"], 600)[0]
        return {hit.chunk.id: hit.lexical_score for hit in hits if hit.lexical_score}

    assert scores(changed) != pytest.approx(scores(fresh), rel=1e-3)
    changed.optimize(wait=True)
    assert scores(changed) == pytest.approx(scores(fresh), rel=1e-6)
    changed.set_metadata([chunk.id for chunk in kept[:11]], {"mark": 2})
    changed.close()
    again = store_at("changed", graph_from=500)
    again.optimize(wait=True)
    before = [path.name for path in (tmp_path / "changed").glob("data-*")]
    assert before == ["data-000003"]  # Fewer than 2 % are not worth another graph.
    again.delete([kept[20].id, kept[21].id])
    again.optimize(wait=True)
    after = [path.name for path in (tmp_path / "changed").glob("data-*")]
    assert after == ["data-000004"]
