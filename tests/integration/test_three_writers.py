"""Three processes ingest into one collection at once, and one of them may be killed.

Run as a program, this file is one of the processes.
"""

import json
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from kvasir.catalog.sql import SqlCatalog
from kvasir.components.splitters.window import WindowSplitter
from kvasir.components.stores.chroma import ChromaStore
from kvasir.core.types import Document, LocalFile, Source, document_id
from kvasir.ingesting.pipeline import IngestPipeline
from kvasir.maintenance.repair import examine
from kvasir.testing.fakes import FakeAnalyzer, FakeEmbedder

# One server for all of them, where tests are spread over processes.
pytestmark = pytest.mark.xdist_group("three writers")

FILES, LINES, DIMENSION = 36, 4, 16
LEASE = {"lease_seconds": 3.0, "heartbeat_seconds": 0.5}


class PlainPool:
    def map(self, items, *, ordered=True, stop=None):
        for path in items:
            text = Path(path).read_text("utf-8")
            yield (
                Source(path, "text/plain"),
                Document(document_id(path), path, Path(path).name, text),
            )


class SlowStore:
    """Announces each write, and takes its time for it, as a store across a network does."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def upsert(self, chunks, vectors):
        print("writing", flush=True)
        time.sleep(0.05)
        self._store.upsert(chunks, vectors)


def open_both(catalog_url, store_url):
    store = ChromaStore(store_url, "three", DIMENSION, FakeAnalyzer())
    return SqlCatalog(catalog_url), store


def ingest(catalog, store, folder):
    pipeline = IngestPipeline(
        PlainPool(),
        WindowSplitter(split_by="line", split_length=1),
        FakeEmbedder(DIMENSION),
        store,
        catalog,
        "three",
        language="en",
        batch_chunks=3 * LINES,
        hold_seconds=0,
        **LEASE,
    )
    return pipeline.ingest([LocalFile(str(folder))])


def run(catalog_url, store_url, folder):
    catalog, store = open_both(catalog_url, store_url)
    with closing(catalog), closing(store):
        report = ingest(catalog, SlowStore(store), folder)
    print(json.dumps([len(report.added), len(report.failed), report.recovered]), flush=True)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    from chroma_server import chroma_server  # noqa: PLC0415 - the program does not need it

    with chroma_server(tmp_path_factory.mktemp("chroma")) as address:
        yield address


@pytest.fixture(params=["mariadb", "postgresql", "sqlite"])
def places(request, stores, tmp_path):
    from databases import database  # noqa: PLC0415

    with database(request.param, tmp_path) as url, ExitStack() as cleaning:
        yield url, stores
        store = cleaning.enter_context(closing(ChromaStore(stores, "three", DIMENSION, None)))
        store.drop()


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / name for name in ("first", "second", "third")]
    for folder in made:
        folder.mkdir()
        for number in range(FILES):
            lines = [f"{folder.name} file {number} line {line}\n" for line in range(LINES)]
            (folder / f"{number:02}.txt").write_text("".join(lines), "utf-8")
    return made


def start(places, folder):
    return subprocess.Popen(
        [sys.executable, __file__, *places, str(folder)], stdout=subprocess.PIPE, text=True
    )


def report_of(child):
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    return json.loads(out.splitlines()[-1])


def check(places, documents):
    catalog, store = open_both(*places)
    with closing(catalog), closing(store):
        findings = examine(catalog, store, "three")
        assert findings.clean
        assert (findings.orphans, findings.missing) == ((), ())
        assert findings.counted == documents * LINES
        assert [each.status for each in catalog.documents("three")] == ["live"] * documents
        assert catalog.other_writers("three") == []


def test_three_processes_ingest_into_one_collection(places, folders):
    children = [start(places, folder) for folder in folders]
    assert [report_of(child) for child in children] == [[FILES, 0, 0]] * 3
    check(places, 3 * FILES)


def test_a_killed_process_leaves_the_others_alone_and_is_taken_back(places, folders):
    children = [start(places, folder) for folder in folders]
    for _ in range(4):
        assert children[1].stdout.readline() == "writing\n"
    children[1].kill()
    children[1].communicate()
    for child in (children[0], children[2]):
        added, failed, _ = report_of(child)
        assert (added, failed) == (FILES, 0)
    time.sleep(LEASE["lease_seconds"])
    catalog, store = open_both(*places)
    with closing(catalog), closing(store):
        report = ingest(catalog, store, folders[1])
        assert len(report.added) + len(report.unchanged) == FILES
        assert (len(report.failed), bool(report.unchanged)) == (0, True)
    check(places, 3 * FILES)


@pytest.mark.parametrize("places", ["mariadb"], indirect=True)
def test_the_same_files_by_three_processes_are_there_once(places, folders):
    children = [start(places, folders[0]) for _ in range(3)]
    for child in children:
        _, failed, recovered = report_of(child)
        assert (failed, recovered) == (0, 0)
    check(places, FILES)


if __name__ == "__main__":
    run(*sys.argv[1:])
