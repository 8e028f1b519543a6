"""An ingest is killed at twenty moments; the next run must end as if nothing had happened.

Run as a program, this file is the process that is killed: it tells each step that it begins,
and the test kills it some moments after a step that was drawn beforehand.
"""

import random
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from kvasir.catalog.sql import SqlCatalog
from kvasir.components.splitters.window import WindowSplitter
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.core.types import Document, Source, document_id
from kvasir.frontends.cli.paths import files
from kvasir.ingesting.pipeline import IngestPipeline
from kvasir.maintenance.repair import examine
from kvasir.testing.fakes import FakeAnalyzer, FakeEmbedder

MOMENTS = 20
PARTS = 4
"""The moments are dealt out to as many tests, which may run at the same time."""
WORDS = {"el": ("αρχείο", "πρόταση"), "he": ("קובץ", "משפט"), "ko": ("파일", "문장")}
STEPS = (
    "create_collection",
    "begin",
    "upsert",
    "flush",
    "publish",
    "delete",
    "purge",
    "set_metadata",
)


class PlainPool:
    def map(self, items, *, ordered=True, stop=None, on_page=None):
        for path in items:
            text = Path(path).read_text("utf-8")
            yield (
                Source(path, "text/plain"),
                Document(document_id(path), path, Path(path).name, text),
            )


class Told:
    """Passes every call on, and says on the standard output when a step begins."""

    def __init__(self, real):
        self._real = real

    def flush(self):
        self.__getattr__("flush")()

    def __getattr__(self, name):
        method = getattr(self._real, name)
        if name not in STEPS:
            return method

        def told(*args, **kwargs):
            print(name, flush=True)
            return method(*args, **kwargs)

        return told


def open_state(state):
    store = QdrantStore(str(state / "store"), "test", 64, FakeAnalyzer(), lock_timeout=10)
    return SqlCatalog(f"sqlite:///{state}/catalog.db"), store


def ingest(catalog, store, sources, term):
    pipeline = IngestPipeline(
        PlainPool(),
        WindowSplitter(split_by="line", split_length=1),
        FakeEmbedder(),
        store,
        catalog,
        "test",
        batch_chunks=40,
        hold_seconds=0,
    )
    return pipeline.ingest(files(sources), prune=True, metadata={"term": term})


def run_and_tell(state, sources):
    catalog, store = open_state(state)
    with closing(catalog), closing(store):
        ingest(Told(catalog), Told(store), sources, term=2)


def content(store):
    return {c.id: (c, tuple(v.tolist())) for batch in store.scroll() for c, v in batch}


def write(folder, number, lines):
    (folder / f"{number:03}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def lines_of(number):
    """Lines in a language that the script alone tells: the files gone are in the second."""
    words = WORDS["ko" if number >= 40 else "he" if number % 6 == 1 else "el"]
    return [f"{words[0]} {number} {words[1]} {line}" for line in range(8 + number % 7)]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def before(tmp_path_factory, sources):
    """The state after an ingest; the sources have been changed since."""
    state = tmp_path_factory.mktemp("before")
    for number in range(40):
        write(sources, number, lines_of(number))
    catalog, store = open_state(state)
    with closing(catalog), closing(store):
        ingest(catalog, store, sources, term=1)
        assert catalog.collection("test").languages == ("el", "he")
    for number in range(0, 40, 3):
        write(sources, number, ["νέα πρώτη", *lines_of(number)[:-1], "νέα τελευταία"])
    for number in range(1, 40, 6):
        (sources / f"{number:03}.txt").unlink()
    for number in range(40, 60):
        write(sources, number, lines_of(number))
    return state


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, before, sources):
    """What the store holds, and how many steps there were, when nothing is killed."""
    state = tmp_path_factory.mktemp("undisturbed") / "state"
    shutil.copytree(before, state)
    finished = subprocess.run(
        [sys.executable, __file__, str(state), str(sources)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    catalog, store = open_state(state)
    with closing(catalog), closing(store):
        assert examine(catalog, store, "test").clean
        return content(store), finished.stdout.split()


def kill_after(state, sources, step, delay):
    """Returns whether the process was killed before it ended."""
    child = subprocess.Popen(
        [sys.executable, __file__, str(state), str(sources)], stdout=subprocess.PIPE, text=True
    )
    with child:
        for number, _ in enumerate(child.stdout):
            if number == step:
                time.sleep(delay)
                child.kill()
                break
    return child.returncode < 0


def test_a_fresh_collection_has_the_same_chunks_as_one_that_was_updated(
    tmp_path, sources, undisturbed
):
    expected, _ = undisturbed
    catalog, store = open_state(tmp_path)
    with closing(catalog), closing(store):
        report = ingest(catalog, store, sources, term=2)
        assert not report.failed
        assert content(store) == expected


def drawn_moments():
    """How far in the run, 0..1, and how many seconds after that step it is killed."""
    generator = random.Random(20261120)
    for moment in range(MOMENTS):
        yield (moment + generator.random()) / MOMENTS, generator.uniform(0, 0.01)


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(
            list(drawn_moments())[part::PARTS], marks=pytest.mark.xdist_group(f"crash {part}")
        )
        for part in range(PARTS)
    ],
    ids=[f"part{part}" for part in range(PARTS)],
)
def test_a_run_that_was_killed_at_any_moment_is_made_good_by_the_next(
    tmp_path, before, sources, undisturbed, moments
):
    expected, steps = undisturbed
    assert {"begin", "upsert", "flush", "publish", "delete", "purge", "set_metadata"} <= set(steps)
    killed = 0
    for share, delay in moments:
        state = tmp_path / str(share)
        shutil.copytree(before, state)
        killed += kill_after(state, sources, int(share * len(steps)), delay)
        catalog, store = open_state(state)
        with closing(catalog), closing(store):
            report = ingest(catalog, store, sources, term=2)
            assert not report.failed
            assert content(store) == expected
            assert catalog.collection("test").languages == ("el", "ko")
            assert examine(catalog, store, "test").clean
        shutil.rmtree(state)
    assert killed >= -(-len(moments) // 2)


if __name__ == "__main__":
    run_and_tell(Path(sys.argv[1]), Path(sys.argv[2]))
