"""Three processes ingest into one collection at once, and one of them may be killed."""

import multiprocessing
import time
from contextlib import ExitStack, closing

import pytest
import writing_process
from chroma_server import chroma_server
from databases import database
from writing_process import DIMENSION, LEASE, LINES, ingest, open_both

from kvasir.core.registry import load
from kvasir.maintenance.repair import examine

# One server for all of them, where tests are spread over processes.
pytestmark = pytest.mark.xdist_group("three writers")

FILES = 36
IMPORTED = ["kvasir.components.stores.chroma", "kvasir.catalog.sql", "kvasir.ingesting.pipeline"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    with chroma_server(tmp_path_factory.mktemp("chroma")) as address:
        yield address


@pytest.fixture(params=["mariadb", "postgresql", "sqlite"])
def places(request, stores, tmp_path):
    with database(request.param, tmp_path) as url, ExitStack() as cleaning:
        yield url, stores
        store = load("stores", "chroma")(stores, "three", DIMENSION, None)
        cleaning.enter_context(closing(store)).drop()


@pytest.fixture
def folders(tmp_path):
    made = [tmp_path / name for name in ("first", "second", "third")]
    for folder in made:
        folder.mkdir()
        for number in range(FILES):
            lines = [f"{folder.name} file {number} line {line}\n" for line in range(LINES)]
            (folder / f"{number:02}.txt").write_text("".join(lines), "utf-8")
    return made


class Child:
    """A process, forked from one that has imported what it needs, and what it tells."""

    def __init__(self, places, folder):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        self.told, telling = context.Pipe(duplex=False)
        arguments = (*places, str(folder), telling)
        self.process = context.Process(target=writing_process.run, args=arguments, daemon=True)
        self.process.start()
        telling.close()

    def report(self):
        told = "writing"
        while told == "writing":
            assert self.told.poll(60)
            told = self.told.recv()
        self.told.close()
        self.process.join(60)
        assert self.process.exitcode == 0
        return told

    def kill(self):
        self.process.kill()
        self.process.join()
        self.told.close()


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
    children = [Child(places, folder) for folder in folders]
    assert [child.report() for child in children] == [[FILES, 0, 0]] * 3
    check(places, 3 * FILES)


def test_a_killed_process_leaves_the_others_alone_and_is_taken_back(places, folders):
    children = [Child(places, folder) for folder in folders]
    for _ in range(4):
        assert children[1].told.poll(60)
        assert children[1].told.recv() == "writing"
    children[1].kill()
    for child in (children[0], children[2]):
        added, failed, _ = child.report()
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
    children = [Child(places, folders[0]) for _ in range(3)]
    for child in children:
        _, failed, recovered = child.report()
        assert (failed, recovered) == (0, 0)
    check(places, FILES)
