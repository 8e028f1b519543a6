"""A source that fails in an ingest fails alone; what hits all of them ends the run."""

import threading
import time

import pytest
from ingest_world import LineSplitter, names

from kvasir.components.splitters.window import WindowSplitter
from kvasir.core.deadline import check
from kvasir.core.errors import ComponentError, RejectedDataError, StoreLockedError
from kvasir.core.reports import Failed
from kvasir.core.types import document_id
from kvasir.frontends.cli.paths import files


def test_a_broken_file_is_reported_and_recorded_and_the_rest_go_on(world):
    broken = world.write("a.txt", "!broken\n")
    world.write("b.txt", "fine\n")
    report = world.ingest()
    (failure,) = report.failed
    assert (failure.source_uri, failure.reason) == (broken, "malformed")
    assert names(report.added) == ["b.txt"]
    record = world.catalog.document("test", document_id(broken))
    assert (record.status, record.error_reason) == ("failed", "malformed")
    assert world.is_clean()


def test_the_good_version_of_a_file_that_broke_stays_live(world):
    path = world.write("a.txt", "good\n")
    world.ingest()
    world.write("a.txt", "!broken\n")
    assert len(world.ingest().failed) == 1
    record = world.catalog.document("test", document_id(path))
    assert (record.status, record.error_reason) == ("live", "malformed")
    assert world.texts() == ["good"]
    world.write("a.txt", "good again\n")
    world.ingest()
    assert world.catalog.document("test", document_id(path)).error_reason is None
    assert world.texts() == ["good again"]


def test_a_failure_is_forgotten_when_the_old_content_comes_back(world):
    path = world.write("a.txt", "good\n")
    world.ingest()
    world.write("a.txt", "!broken\n")
    world.ingest()
    world.write("a.txt", "good\n")
    world.embedder.embedded = 0
    world.ingest()
    assert world.catalog.document("test", document_id(path)).error_reason is None
    assert world.embedder.embedded == 0
    assert names(world.ingest().unchanged) == ["a.txt"]


def test_an_error_of_the_reader_is_raised_to_the_caller(world):
    world.write("a.txt", "one\n")

    class BrokenPool:
        def map(self, items, *, ordered=True, stop=None, on_page=None):
            raise ComponentError("pool", "start", "no reason")

    with pytest.raises(ComponentError, match="no reason"):
        world.make(pool=BrokenPool()).ingest(files(world.folder))
    assert not [t for t in threading.enumerate() if t.name == "preparer" and t.is_alive()]


def test_failures_are_sorted_by_source(world):
    for name in "cab":
        world.write(f"{name}.txt", "!broken\n")
    report = world.ingest(world.folder / "c.txt", world.folder / "no", world.folder)
    assert names(f.source_uri for f in report.failed) == ["a.txt", "b.txt", "c.txt", "no"]


def test_a_failure_in_between_is_no_conflict(world):
    path = world.write("a.txt", "good\n")
    world.ingest()
    world.write("a.txt", "!broken\n")
    world.ingest()
    world.write("a.txt", "good\n")
    assert not world.ingest(on_conflict="error").failed
    assert world.catalog.document("test", document_id(path)).error_reason is None


def test_a_failure_is_shown_in_one_line_whatever_the_files_name(world):
    world.write("a\nb\x1b[31m.txt", "!broken\n")
    (failure,) = world.ingest().failed
    assert failure.line == (f"{world.folder}/a\\nb\\x1b[31m.txt: it is broken; save it again")
    assert Failed("a", "malformed", "x\ny").line == "a: x\\ny"


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_the_old_version_of_an_emptied_file_does_not_go_on_answering(world, text):
    path = world.write("a.txt", "secret\n")
    world.write("b.txt", "kept\n")
    world.ingest()
    world.write("a.txt", text)
    world.pipeline = world.make(splitter=WindowSplitter(split_by="line", split_length=1))
    (failure,) = world.ingest().failed
    assert (failure.source_uri, failure.reason) == (path, "empty")
    assert "removed from the index" in failure.message
    assert [kept.strip() for kept in world.texts()] == ["kept"]
    record = world.catalog.document("test", document_id(path))
    assert (record.status, record.error_reason) == ("failed", "empty")
    assert world.is_clean()
    assert "removed" not in world.ingest().failed[0].message


def test_a_document_that_the_splitter_cannot_cut_fails_alone(world):
    class Picky(LineSplitter):
        def split(self, document):
            if document.title == "a.txt":
                raise ZeroDivisionError("division by zero")
            return super().split(document)

    path = world.write("a.txt", "one\n")
    world.write("b.txt", "fine\n")
    report = world.make(splitter=Picky()).ingest(files(world.folder))
    (failure,) = report.failed
    assert (failure.source_uri, failure.reason) == (path, "split")
    assert "ZeroDivisionError: division by zero" in failure.message
    assert world.texts() == ["fine"]
    assert world.catalog.document("test", document_id(path)).error_reason == "split"


def test_an_error_that_nobody_thought_of_fails_its_source_alone(world, monkeypatch):
    first, last = world.write("a.txt", "one\n"), world.write("b.txt", "two\n")

    def by_name(path):
        if path == first:
            raise LookupError("no such codec")
        return "text/plain"

    monkeypatch.setattr("kvasir.core.media_types.by_name", by_name)
    report = world.ingest()
    assert report.added == [last]
    assert [f.reason for f in report.failed] == ["unreadable"]
    assert "LookupError: no such codec" in report.failed[0].message


def _breaks_for(monkeypatch, target, step, guilty, error):
    """Makes a step fail whenever a document is among those it is called with."""
    real = getattr(target, step)

    def fails(*args, **kwargs):
        if guilty in repr(args):
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(target, step, fails)


@pytest.mark.parametrize("guilty", ["a.txt", "c.txt", "e.txt"])
@pytest.mark.parametrize(
    ("target", "step", "error"),
    [
        ("catalog", "begin", OverflowError("Python int too large")),
        ("catalog", "begin", RejectedDataError("catalog", "writing", "out of range")),
        ("store", "upsert", ComponentError("store", "upsert", "bad payload")),
        ("store", "upsert", TypeError("not a number")),
        ("embedder", "embed_documents", ZeroDivisionError("no tokens")),
    ],
)
def test_a_document_that_catalog_store_or_embedder_cannot_take_fails_alone(
    world, monkeypatch, target, step, error, guilty
):
    for name in "abcde":
        world.write(f"{name}.txt", f"words of {name}.txt\n")
    _breaks_for(monkeypatch, getattr(world, target), step, f"words of {guilty}", error)
    report = world.ingest()
    (failure,) = report.failed
    assert names([failure.source_uri]) == [guilty]
    assert failure.reason == ("embed" if target == "embedder" else "write")
    assert str(error) in failure.message
    assert len(report.added) == 4
    assert report.chunks_embedded == (4 if target == "embedder" else 5)
    assert world.texts() == [f"words of {n}.txt" for n in "abcde" if f"{n}.txt" != guilty]
    record = world.catalog.document("test", document_id(failure.source_uri))
    assert record.error_reason == failure.reason
    assert world.is_clean()
    monkeypatch.undo()
    assert names(world.ingest().added) == [guilty]
    assert world.is_clean()


@pytest.mark.parametrize(
    ("target", "step", "error"),
    [
        ("catalog", "begin", ComponentError("catalog", "writing", "disk is full")),
        ("store", "upsert", ComponentError("store", "upsert", "cannot connect")),
        ("store", "upsert", StoreLockedError("another process holds the index")),
        ("embedder", "embed_documents", ComponentError("embedder", "embed", "cannot connect")),
    ],
)
def test_what_hits_every_document_ends_the_run_and_keeps_what_was_finished(
    world, monkeypatch, target, step, error
):
    world.write("a.txt", "kept\n")
    world.ingest()
    for number in range(20):
        world.write(f"b{number}.txt", f"number {number}\n")
    _breaks_for(monkeypatch, getattr(world, target), step, "number", error)
    with pytest.raises(type(error), match=str(error)):
        world.ingest()
    monkeypatch.undo()
    assert world.texts() == ["kept"]
    assert len(world.ingest().added) == 20
    assert world.is_clean()


class EndlessSplitter:
    """Splits for ever documents that begin with a question mark."""

    def __init__(self):
        self.ended = threading.Event()

    def split(self, document):
        try:
            while document.text.startswith("?"):
                check("splitting")
                time.sleep(0.005)
        finally:
            self.ended.set()
        return LineSplitter().split(document)


def test_a_document_whose_splitting_takes_too_long_is_given_up_alone(world):
    path = world.write("a.txt", "?\n")
    world.write("b.txt", "one\n")
    splitter = EndlessSplitter()
    report = world.make(file_timeout=1.0, splitter=splitter).ingest(files(world.folder))
    assert names(report.added) == ["b.txt"]
    assert [(f.source_uri, f.reason) for f in report.failed] == [(path, "timeout")]
    assert "rag.ingest.timeout" in report.failed[0].message
    assert splitter.ended.wait(60)
