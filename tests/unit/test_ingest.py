import math
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kvasir.catalog.sql import SqlCatalog
from kvasir.components.extractors.markdown import MarkdownExtractor
from kvasir.components.splitters.window import WindowSplitter
from kvasir.core.deadline import check
from kvasir.core.errors import (
    ComponentError,
    ExtractionError,
    RejectedDataError,
    RequestError,
    StoppedError,
    StoreIncompleteError,
    StoreLockedError,
    WrongEmbedderError,
)
from kvasir.core.filters import parse_filter
from kvasir.core.reports import Failed
from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.text import has_scheme
from kvasir.core.types import Chunk, Document, Source, chunk_id, document_id
from kvasir.frontends.cli.paths import files
from kvasir.frontends.cli.remedies import explain
from kvasir.ingesting.local_files import FileReader
from kvasir.ingesting.pipeline import IngestPipeline
from kvasir.ingesting.publishing import Publisher
from kvasir.maintenance.repair import examine, restore
from kvasir.testing.fakes import FakeEmbedder, MemoryStore


def is_wire(each):
    return isinstance(each, tuple) or has_scheme(str(each))


class PowerCut(BaseException):
    """Ends the run wherever it is; no code may catch it and go on."""


class PlainPool:
    """Extracts text in this process; content that begins with ``!`` cannot be read."""

    def __init__(self):
        self.extracted = []

    def map(self, items, *, ordered=True, stop=None, on_page=None):
        for item in items:
            source, data = item if isinstance(item, tuple) else (Source(item, "text/plain"), None)
            data = Path(source.uri).read_bytes() if data is None else data
            self.extracted.append(source.uri)
            if data.startswith(b"!"):
                yield source, ExtractionError("malformed", "it is broken; save it again")
            else:
                title = Path(source.uri).name
                yield (
                    source,
                    Document(
                        document_id(source.uri),
                        source.uri,
                        title,
                        data.decode(),
                        metadata={"author": "Ada"},
                    ),
                )


class LineSplitter:
    """Makes a chunk of each line."""

    def split(self, document):
        start = 0
        for line in document.text.splitlines(keepends=True):
            text = line.rstrip("\n")
            if text:
                name = chunk_id(document.id, text, start, start + len(text))
                yield Chunk(name, document.id, text, start, start + len(text))
            start += len(line)


class World:
    def __init__(self, folder, **options):
        self.folder = folder
        self.folder.mkdir()
        self.catalog = SqlCatalog("sqlite://")
        self.store = MemoryStore()
        self.embedder = FakeEmbedder()
        self.pool = PlainPool()
        self.pipeline = self.make(**options)

    def make(self, **options):
        parts = {
            "pool": self.pool,
            "splitter": LineSplitter(),
            "embedder": self.embedder,
            "store": self.store,
            "catalog": self.catalog,
            "collection": "test",
            "language": "en",
        }
        return IngestPipeline(**{**parts, **options})

    @property
    def publisher(self):
        return Publisher(self.store, self.catalog, "test")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def ingest(self, *inputs, **options):
        given = [each if is_wire(each) else files(each)[0] for each in inputs or [self.folder]]
        return self.pipeline.ingest(given, **options)

    def texts(self):
        return sorted(chunk.text for batch in self.store.scroll() for chunk, _ in batch)

    def chunks(self):
        return {chunk.id: chunk for batch in self.store.scroll() for chunk, _ in batch}

    def restore(self, run):
        return restore(self.catalog, self.store, self.embedder, "test", run=run)

    def is_clean(self):
        return examine(self.catalog, self.store, "test").clean


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "docs")
    yield made
    made.catalog.close()


def names(uris):
    return [Path(uri).name for uri in uris]


def test_a_folder_is_ingested_and_the_report_says_what_was_done(world):
    world.write("a.txt", "one\ntwo\n")
    world.write("sub/b.txt", "three\n")
    report = world.ingest()
    assert names(report.added) == ["a.txt", "b.txt"]
    assert (report.chunks_embedded, report.chunks_reused, report.bytes_read) == (3, 0, 14)
    assert set(report.seconds) == {"read", "extract", "split", "embed", "store", "total"}
    assert world.texts() == ["one", "three", "two"]
    assert world.catalog.chunk_count("test") == world.store.count() == 3
    assert world.is_clean()


def test_chunks_carry_the_documents_metadata_the_given_and_where_they_come_from(world):
    path = world.write("a.txt", "one\n")
    os.utime(path, (1_700_000_000.5, 1_700_000_000.5))
    world.ingest(metadata={"course": "x"})
    (chunk,) = world.chunks().values()
    assert chunk.metadata == {
        "file_type": "txt",
        "modified": "2023-11-14T22:13:20+00:00",
        "author": "Ada",
        "course": "x",
        "source_uri": path,
        "title": "a.txt",
        "language": "en",
    }


def test_reingesting_an_unchanged_file_embeds_nothing(world):
    world.write("a.txt", "one\ntwo\n")
    world.ingest()
    world.embedder.embedded = 0
    world.pool.extracted.clear()
    os.utime(world.folder / "a.txt", (1, 1))
    report = world.ingest()
    assert names(report.unchanged) == ["a.txt"]
    assert not (report.added or report.replaced)
    assert (world.embedder.embedded, world.pool.extracted) == (0, [])


def test_a_file_of_the_same_size_and_time_but_other_content_is_ingested_again(world):
    path = world.write("a.txt", "one\n")
    world.ingest()
    status = Path(path).stat()
    world.write("a.txt", "six\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert names(world.ingest().replaced) == ["a.txt"]
    assert world.texts() == ["six"]


def test_touching_one_file_embeds_only_its_changed_chunks(world):
    world.write("a.txt", "one\ntwo\nthree\n")
    world.write("b.txt", "four\n")
    world.ingest()
    world.embedder.embedded = 0
    world.write("a.txt", "zero\none\ntwo\nchanged\n")
    report = world.ingest()
    assert (names(report.replaced), names(report.unchanged)) == (["a.txt"], ["b.txt"])
    assert world.embedder.embedded == report.chunks_embedded == 2
    assert report.chunks_reused == 2
    assert world.texts() == ["changed", "four", "one", "two", "zero"]
    assert world.is_clean()


def test_reused_vectors_are_those_that_embedding_would_give(world):
    world.write("a.txt", "one\ntwo\n")
    world.ingest()
    world.write("a.txt", "zero\ntwo\none\n")
    world.ingest()
    for batch in world.store.scroll():
        for chunk, vector in batch:
            assert (vector == world.embedder.embed_queries([chunk.text])[0]).all()


def test_a_moved_file_embeds_nothing(world):
    old = world.write("a.txt", "one\ntwo\n")
    world.ingest()
    world.embedder.embedded = 0
    Path(old).rename(world.folder / "b.txt")
    report = world.ingest(prune=True)
    assert (moved(report), report.added, report.removed) == ([("a.txt", "b.txt")], [], [])
    assert world.embedder.embedded == 0
    assert world.texts() == ["one", "two"]
    assert world.is_clean()


def test_changed_settings_cut_again_and_embed_only_new_passages(world):
    world.write("a.txt", "one\ntwo\n")
    world.ingest()
    world.pipeline = world.make(chunk_settings="other")
    report = world.ingest()
    assert names(report.replaced) == ["a.txt"]
    assert (report.chunks_embedded, report.chunks_reused) == (0, 2)


def test_a_changed_source_can_be_skipped_or_reported(world):
    world.write("a.txt", "one\n")
    world.ingest()
    world.write("a.txt", "two\n")
    assert names(world.ingest(on_conflict="skip").skipped) == ["a.txt"]
    (failure,) = world.ingest(on_conflict="error").failed
    assert failure.reason == "conflict"
    assert world.texts() == ["one"]


def test_pruning_removes_what_is_gone_from_the_folder_and_nothing_else(world):
    gone = world.write("docs/gone.txt", "gone\n")
    world.write("docs/kept.txt", "kept\n")
    elsewhere = world.write("docs2/other.txt", "other\n")
    world.ingest()
    Path(gone).unlink()
    Path(elsewhere).unlink()
    assert world.ingest(world.folder / "docs").removed == []
    assert world.ingest(world.folder / "docs", prune=True).removed == [gone]
    assert world.texts() == ["kept", "other"]
    assert world.is_clean()


def test_a_folder_that_is_not_there_prunes_nothing(world):
    world.write("a.txt", "one\n")
    world.ingest()
    world.folder.rename(world.folder.with_name("unmounted"))
    report = world.ingest(prune=True)
    assert [f.reason for f in report.failed] == ["missing"]
    assert world.texts() == ["one"]


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


def test_metadata_alone_can_be_changed_without_embedding(world):
    path = world.write("a.txt", "one\n")
    world.ingest(metadata={"course": "x"})
    world.embedder.embedded = 0
    report = world.ingest(metadata={"course": "y"})
    assert names(report.relabelled) == ["a.txt"]
    world.publisher.set_metadata({document_id(path): {"term": 3}})
    assert world.embedder.embedded == 0
    assert world.store.count(parse_filter({"field": "term", "operator": "==", "value": 3})) == 1
    assert world.store.count(parse_filter("course=y")) == 0
    assert world.store.count(parse_filter("author=Ada")) == 1
    assert world.is_clean()


def test_given_metadata_stays_when_the_file_changes(world):
    world.write("a.txt", "one\n")
    world.ingest(metadata={"course": "x"})
    world.write("a.txt", "two\n")
    world.ingest()
    assert world.store.count(parse_filter("course=x")) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"title": "x"},
        {"tags": ["a", None]},
        {"tags": [["a"]]},
        {"tags": ["a", math.nan]},
        {"nested": {"a": 1}},
        {"": 1},
        {"none": None},
        {"not a number": math.nan},
        {"infinite": -math.inf},
        {"not UTF-8": "\udcff"},
        {"\udcff": "not UTF-8"},
    ],
)
def test_metadata_that_cannot_be_kept_is_refused_before_anything_is_done(world, given):
    world.write("a.txt", "one\n")
    with pytest.raises(RequestError, match="metadata field"):
        world.ingest(metadata=given)
    assert world.store.count() == 0


def test_removed_documents_are_gone_from_store_and_catalog(world):
    path = world.write("a.txt", "one\ntwo\n")
    world.write("b.txt", "three\n")
    world.ingest()
    assert world.publisher.remove([document_id(path), document_id("unknown")]) == 1
    assert world.texts() == ["three"]
    assert [r.title for r in world.catalog.documents("test")] == ["b.txt"]
    assert world.is_clean()


def test_a_failed_document_can_be_removed(world):
    path = world.write("a.txt", "!broken\n")
    world.ingest()
    assert world.publisher.remove([document_id(path)]) == 1
    assert list(world.catalog.documents("test")) == []


def test_removing_says_so_when_the_store_did_not_delete(world, monkeypatch):
    path = world.write("a.txt", "one\n")
    world.ingest()
    monkeypatch.setattr(world.store, "delete", lambda ids: None)
    with pytest.raises(ComponentError, match="still there"):
        world.publisher.remove([document_id(path)])
    monkeypatch.undo()
    world.publisher.recover()
    assert world.store.count() == 0
    assert world.is_clean()


def test_bytes_are_ingested_under_their_uri_and_replaced_when_given_again(world):
    source = Source("upload:notes.txt", "text/plain")
    assert world.ingest((source, b"one\n")).added == ["upload:notes.txt"]
    assert world.ingest((source, b"one\n")).unchanged == ["upload:notes.txt"]
    assert world.ingest((source, b"two\n")).replaced == ["upload:notes.txt"]
    assert world.texts() == ["two"]


def test_an_address_is_fetched_and_known_by_the_address_that_was_asked_for(world):
    def fetch(url):
        return Source(url + "/redirected", "text/html"), b"from the net\n"

    assert world.ingest("https://example.org/a").failed[0].reason == "fetch"
    world.pipeline = world.make(fetch=fetch)
    assert world.ingest("https://example.org/a").added == ["https://example.org/a"]
    assert world.texts() == ["from the net"]


def test_a_collection_of_another_embedder_is_refused_in_one_sentence(world):
    world.write("a.txt", "one\n")
    world.ingest()
    other = FakeEmbedder(dimension=8)
    with pytest.raises(WrongEmbedderError, match=r"'fake', which the settings name too, .*options"):
        world.make(embedder=other).ingest(files(world.folder))
    other.name = "other"
    told = r"'test' was made with .*'fake' .*'other' .*back"
    with pytest.raises(WrongEmbedderError, match=told) as refused:
        world.make(embedder=other).ingest(files(world.folder))
    assert "or ingest into another --collection" in explain(refused.value)


def test_the_old_version_answers_until_the_new_one_is_complete(world):
    world.write("a.txt", "old one\nold two\n")
    world.ingest()
    seen = []
    world.write("a.txt", "new one\nnew two\n")
    embed, upsert = world.embedder.embed_documents, world.store.upsert

    def watched_embed(texts):
        seen.append(world.texts())
        return embed(texts)

    def watched_upsert(chunks, vectors):
        seen.append(world.texts())
        upsert(chunks, vectors)
        seen.append(world.texts())

    world.embedder.embed_documents, world.store.upsert = watched_embed, watched_upsert
    world.ingest()
    old, new = ["old one", "old two"], ["new one", "new two"]
    assert seen == [old, old, new + old]
    assert world.texts() == new


def test_progress_tells_what_became_of_every_source_and_how_far_embedding_is(world):
    added = world.write("a.txt", "one\ntwo\n")
    failed = world.write("b.txt", "!broken\n")
    events = []
    world.ingest(run=Run(progress=events.append))
    assert events[0] == Progress("documents", 0, 2, "documents")
    documents = [e for e in events[1:] if e.stage == "documents"]
    assert [(e.done, e.total, e.unit) for e in documents] == [
        (1, 2, "documents"),
        (2, 2, "documents"),
    ]
    assert sorted((e.item, e.outcome, e.reason, e.message) for e in documents) == [
        (added, "added", "", ""),
        (failed, "failed", "malformed", "it is broken; save it again"),
    ]
    passages = [e for e in events if e.stage == "passages"]
    assert [each.done for each in passages] == [0, 2]
    assert passages[-1] == Progress("passages", 2, 2, "chunks")
    assert len(events) == 1 + len(documents) + len(passages)


def test_small_documents_are_embedded_together(world):
    calls = []
    embed = world.embedder.embed_documents
    world.embedder.embed_documents = lambda texts: (calls.append(len(texts)), embed(texts))[1]
    for number in range(100):
        world.write(f"{number:03}.txt", f"document {number}\n")
    world.pipeline = world.make(batch_chunks=32)
    world.ingest()
    assert calls == [32, 32, 32, 4]


def test_the_same_passage_is_embedded_once(world):
    world.write("a.txt", "same\nsame\n")
    world.write("b.txt", "same\n")
    assert world.ingest().chunks_embedded == 1
    assert world.store.count() == 3
    assert world.is_clean()


def test_ctrl_c_keeps_what_is_finished_and_the_report_says_what_is_left(world):
    for number in range(40):
        world.write(f"{number:03}.txt", f"document {number}\n")
    world.pipeline = world.make(batch_chunks=10)
    embed = world.embedder.embed_documents

    def stopped(texts):
        if world.embedder.embedded >= 20:
            stop.set()
        return embed(texts)

    stop = StopToken()
    world.embedder.embed_documents = stopped
    report = world.ingest(run=Run(stop))
    assert report.interrupted
    assert (len(report.added), len(report.left)) == (20, 20)
    assert world.store.count() == 20
    assert world.is_clean()
    world.embedder.embed_documents = embed
    report = world.ingest()
    assert (len(report.unchanged), len(report.added), report.left) == (20, 20, [])
    assert world.is_clean()


def test_an_interruption_after_going_live_counts_as_done(world):
    world.write("a.txt", "one\n")
    world.ingest()
    world.write("a.txt", "two\n")
    delete = world.store.delete

    def stopped(ids):
        world.store.delete = delete
        raise StoppedError

    world.store.delete = stopped
    report = world.ingest()
    assert report.interrupted
    assert (names(report.replaced), report.left) == (["a.txt"], [])
    assert world.texts() == ["two"]
    assert world.is_clean()


def test_an_error_of_the_reader_is_raised_to_the_caller(world):
    world.write("a.txt", "one\n")

    class BrokenPool:
        def map(self, items, *, ordered=True, stop=None, on_page=None):
            raise ComponentError("pool", "start", "no reason")

    with pytest.raises(ComponentError, match="no reason"):
        world.make(pool=BrokenPool()).ingest(files(world.folder))
    assert not [t for t in threading.enumerate() if t.name == "preparer" and t.is_alive()]


STEPS = ["begin", "upsert", "publish", "delete", "purge"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_is_repaired_by_the_next_run(world, monkeypatch, step, after):
    world.write("a.txt", "one\ntwo\n")
    world.write("b.txt", "kept\n")
    world.ingest(metadata={"term": 1})
    world.write("a.txt", "zero\ntwo\nthree\n")
    target = world.store if hasattr(world.store, step) else world.catalog
    real = getattr(target, step)
    armed = [True]

    def fails(*args, **kwargs):
        # The first sweep belongs to recovery; the second one ends publishing.
        if step != "purge" or world.catalog.stale_chunks(*args):
            if after:
                real(*args, **kwargs)
            if armed:
                armed.clear()
                raise PowerCut("power cut")
            return None if after else real(*args, **kwargs)
        return real(*args, **kwargs)

    monkeypatch.setattr(target, step, fails)
    with pytest.raises(PowerCut, match="power cut"):
        world.ingest(metadata={"term": 2})
    monkeypatch.undo()
    world.ingest(metadata={"term": 2})
    assert world.texts() == ["kept", "three", "two", "zero"]
    assert {chunk.metadata["term"] for chunk in world.chunks().values()} == {2}
    assert world.is_clean()


def test_recovery_alone_gives_the_old_version_back(world, monkeypatch):
    world.write("a.txt", "one\ntwo\n")
    world.ingest(metadata={"term": 1})
    before = world.chunks()
    world.write("a.txt", "one\nthree\n")

    def cut(*_):
        raise PowerCut

    monkeypatch.setattr(world.catalog, "publish", cut)
    with pytest.raises(PowerCut):
        world.ingest(metadata={"term": 2})
    assert world.texts() == ["one", "three", "two"]
    assert world.publisher.recover() == 1
    assert world.chunks() == before
    assert world.is_clean()


def test_replacing_a_language_changes_what_chunks_carry(world):
    world.write("a.txt", "one\n")
    world.ingest()
    world.pipeline = world.make(language="es")
    report = world.ingest()
    assert (names(report.replaced), report.chunks_embedded) == (["a.txt"], 0)
    (chunk,) = world.chunks().values()
    assert chunk.metadata["language"] == "es"
    assert world.catalog.collection("test").languages == ("es",)
    assert replace(chunk, metadata={}).text == "one"


def test_halves_of_surrogate_pairs_are_replaced_and_offsets_stay(world):
    class OddPool:
        def map(self, items, *, ordered=True, stop=None, on_page=None):
            for uri in items:
                broken = "a\ud800b\nsecond"
                title = "t\udfff"
                yield (
                    Source(uri, "text/plain"),
                    Document(document_id(uri), uri, title, broken, metadata={"x": "\udc00"}),
                )

    path = world.write("a.txt", "one\n")
    world.make(pool=OddPool()).ingest(files(world.folder))
    assert world.texts() == ["a\ufffdb", "second"]
    record = world.catalog.document("test", document_id(path))
    assert (record.title, record.metadata["x"]) == ("t\ufffd", "\ufffd")


def test_what_is_no_number_in_a_files_own_metadata_becomes_text(world):
    front_matter = "---\ngrade: .nan\nlimit: .inf\nyear: 2026\n---\n\n"
    path = world.write("a.md", f"{front_matter}one\n")

    class MarkdownPool:
        def map(self, items, *, ordered=True, stop=None, on_page=None):
            for uri in items:
                source = Source(uri, "text/markdown")
                yield source, MarkdownExtractor().extract(source, Path(uri).read_bytes())

    world.pipeline = world.make(pool=MarkdownPool())
    world.ingest()
    metadata = world.catalog.document("test", document_id(path)).metadata
    assert (metadata["grade"], metadata["limit"], metadata["year"]) == ("nan", "inf", 2026)
    assert world.is_clean()


def test_every_chunk_of_a_new_version_is_counted_once(world):
    world.write("a.txt", "one\ntwo\n")
    world.ingest()
    world.write("b.txt", "one\nthree\nthree\nfour\n")
    events = []
    report = world.ingest(run=Run(progress=events.append))
    counts = report.chunks_embedded, report.chunks_reused, report.chunks_repeated
    assert counts == (2, 1, 1)
    assert sum(counts) + 2 == world.store.count()
    passages = [(e.done, e.total) for e in events if e.stage == "passages"]
    assert passages == [(0, 4), (2, 4), (4, 4)]


def test_failures_are_sorted_by_source(world):
    for name in "cab":
        world.write(f"{name}.txt", "!broken\n")
    report = world.ingest(world.folder / "c.txt", world.folder / "no", world.folder)
    assert names(f.source_uri for f in report.failed) == ["a.txt", "b.txt", "c.txt", "no"]


def test_a_folder_without_files_is_named(world):
    world.write("full/a.txt", "one\n")
    world.write("empty/.hidden", "one\n")
    report = world.ingest(world.folder / "full", world.folder / "empty")
    assert names(report.without_files) == ["empty"]
    assert not report.failed


def test_a_conflict_of_the_settings_alone_does_not_say_that_the_file_changed(world):
    world.write("a.txt", "one\n")
    world.ingest()
    world.pipeline = world.make(chunk_settings="other")
    (failure,) = world.ingest(on_conflict="error").failed
    assert "settings" in failure.message
    assert "it changed" not in failure.message
    world.write("a.txt", "two\n")
    (failure,) = world.ingest(on_conflict="error").failed
    assert "it changed" in failure.message


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


@pytest.fixture
def alarm():
    """Ends a test that waits for ever."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits"))
    signal.alarm(20)
    yield
    signal.alarm(0)


@pytest.mark.usefixtures("alarm")
def test_pipes_devices_and_sockets_are_refused_without_waiting(world):
    pipe = world.folder / "pipe"
    os.mkfifo(pipe)
    (world.folder / "later").symlink_to(pipe)
    report = world.ingest(pipe, "/dev/zero", world.folder)
    assert [f.reason for f in report.failed] == ["unreadable", "unreadable"]
    assert all("not a regular file" in f.message for f in report.failed)


@pytest.mark.usefixtures("alarm")
def test_a_file_that_becomes_a_pipe_after_it_was_listed_is_refused_without_waiting(world):
    first = world.write("a.txt", "one\n")
    last = Path(world.write("b.txt", "two\n"))

    def replace_last(event):
        if event == Progress("documents", 0, 2, "documents"):
            last.unlink()
            os.mkfifo(last)

    report = world.ingest(run=Run(progress=replace_last))
    assert report.added == [first]
    assert [(f.source_uri, f.reason) for f in report.failed] == [(str(last), "unreadable")]


def test_a_file_that_is_not_read_in_time_fails(world):
    path = world.write("a.txt", "one\n")
    report = world.make(file_timeout=1e-9).ingest(files(path))
    assert [(f.source_uri, f.reason) for f in report.failed] == [(path, "timeout")]
    assert "rag.ingest.timeout" in report.failed[0].message


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("endless", ["/proc/kmsg", "/proc/self/mem"])
def test_a_regular_file_without_an_end_fails_alone(world, endless):
    if not os.access(endless, os.R_OK):
        pytest.skip(f"{endless} cannot be read here")
    fine = world.write("fine.txt", "fine\n")
    (world.folder / "log.txt").symlink_to(endless)
    report = world.ingest(world.folder, world.folder / "log.txt")
    assert report.added == [fine]
    assert [f.reason for f in report.failed] == ["missing"]


def test_a_file_that_grows_while_it_is_read_is_not_read_without_limit(world):
    path = Path(world.write("a.txt", "x" * 2_000))
    made_up = "/proc/self/status"  # Its size is 0 by ``stat``.
    with FileReader(9.0) as reader:
        assert reader.examine(str(path), 2_000).content_hash
        assert not reader.examine(str(path), 1_999).content_hash
        if Path(made_up).exists():
            assert reader.examine(made_up, 1 << 20).size > 100
            assert not reader.examine(made_up, 100).content_hash


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


def test_a_file_over_the_limit_is_not_even_read(world):
    path = world.folder / "big.txt"
    with path.open("wb") as file:
        file.truncate(3 << 20)
    source = Source("upload:big.txt", "text/plain")
    report = world.make(max_file_mb=1).ingest([*files(path), (source, bytes(2 << 20))])
    assert [f.reason for f in report.failed] == ["too_large", "too_large"]
    assert report.bytes_read == 0
    assert world.pool.extracted == []
    assert world.catalog.document("test", document_id(str(path))).error_reason == "too_large"


@pytest.mark.parametrize(
    "address",
    [
        "http://user:pa55word@example.org/x",
        "https://user:p/a55word@example.org/x",
        "https://pa55word@example.org/x?y=@",
        "ftp://user:pa55word@example.org/x",
    ],
)
def test_no_password_of_an_address_is_shown_or_kept(world, address):
    world.pipeline = world.make(fetch=lambda url: pytest.fail("it was fetched"))
    report = world.ingest(address)
    (failure,) = report.failed
    assert failure.reason == "fetch"
    assert failure.source_uri.partition("://")[2].startswith("example.org/x")
    assert "a55word" not in f"{report}"
    assert list(world.catalog.documents("test")) == []


def test_other_addresses_than_those_of_the_web_are_refused_as_such(world):
    (failure,) = world.ingest("ftp://example.org/x").failed
    assert (failure.source_uri, failure.reason) == ("ftp://example.org/x", "fetch")
    assert "only http and https" in failure.message


def test_an_at_sign_in_a_path_is_no_login(world):
    world.pipeline = world.make(fetch=lambda url: (Source(url, "text/html"), b"text\n"))
    address = "https://example.org:8080/@someone?to=a@b"
    assert world.ingest(address).added == [address]


class FlushedStore(MemoryStore):
    """Loses in a power cut what was not flushed."""

    def __init__(self):
        super().__init__()
        self.flush()

    def flush(self):
        self.kept = dict(self._stored.entries)

    def cut_power(self):
        self._stored.entries = dict(self.kept)


@pytest.fixture
def flushed(world):
    world.store = FlushedStore()
    world.pipeline = world.make()
    return world


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", [*STEPS, "set_metadata", "mark_metadata_applied"])
def test_a_power_cut_at_any_step_is_repaired_by_the_next_run(flushed, monkeypatch, step, after):
    world = flushed
    world.write("a.txt", "one\ntwo\n")
    world.write("b.txt", "kept\n")
    world.ingest(metadata={"term": 1})
    world.write("a.txt", "zero\ntwo\nthree\n")
    target = world.store if hasattr(world.store, step) else world.catalog
    real = getattr(target, step)

    def fails(*args, **kwargs):
        if step == "purge" and not world.catalog.stale_chunks(*args):
            return real(*args, **kwargs)
        if after:
            real(*args, **kwargs)
        raise PowerCut("power cut")

    monkeypatch.setattr(target, step, fails)
    with pytest.raises(PowerCut, match="power cut"):
        world.ingest(metadata={"term": 2})
    monkeypatch.undo()
    world.store.cut_power()
    world.ingest(metadata={"term": 2})
    world.store.cut_power()
    assert world.texts() == ["kept", "three", "two", "zero"]
    assert {chunk.metadata["term"] for chunk in world.chunks().values()} == {2}
    assert world.is_clean()


def test_several_batches_are_written_with_one_flush(flushed, monkeypatch):
    world = flushed
    flushes = []
    flush = world.store.flush
    monkeypatch.setattr(world.store, "flush", lambda: (flushes.append(1), flush()))
    for number in range(40):
        world.write(f"{number:03}.txt", f"document {number}\nthe same\n")
    world.pipeline = world.make(batch_chunks=10)
    report = world.ingest()
    assert (len(report.added), len(flushes)) == (40, 1)
    assert (report.chunks_embedded, report.chunks_repeated) == (41, 39)
    assert world.is_clean()


def test_ctrl_c_keeps_what_was_embedded_and_waits_to_be_written(flushed):
    world = flushed
    for number in range(40):
        world.write(f"{number:03}.txt", f"document {number}\n")
    world.pipeline = world.make(batch_chunks=10)
    embed = world.embedder.embed_documents

    def stopped(texts):
        if world.embedder.embedded >= 20:
            stop.set()
        return embed(texts)

    stop = StopToken()
    world.embedder.embed_documents = stopped
    report = world.ingest(run=Run(stop))
    assert (report.interrupted, len(report.added), len(report.left)) == (True, 20, 20)
    assert world.store.count() == 20
    assert world.is_clean()


def test_an_ingest_into_a_store_that_lost_chunks_says_so_until_they_are_restored(world):
    world.write("a.txt", "one\ntwo\nthree\n")
    world.ingest()
    before = world.chunks()
    world.store.delete(list(before)[:2])
    world.embedder.embedded = 0
    with pytest.raises(StoreIncompleteError, match=r"has 1 of 3 chunks") as told:
        world.ingest()
    assert (told.value.expected, told.value.counted) == (3, 1)
    assert world.embedder.embedded == 0
    events = []
    assert world.restore(Run(progress=events.append)) == 2
    assert events[-2:] == [
        Progress("writing again", 0, 2, "chunks"),
        Progress("writing again", 2, 2, "chunks"),
    ]
    report = world.ingest()
    assert (report.chunks_embedded, len(report.unchanged)) == (0, 1)
    assert world.chunks() == before
    assert world.is_clean()


def test_chunks_that_no_document_has_are_reported_and_left_alone(world):
    world.write("a.txt", "one\n")
    world.ingest()
    stray = Chunk("0f0f0f0f-0000-4000-8000-000000000000", "x", "stray", 0, 5)
    world.store.upsert([stray], world.embedder.embed_queries(["stray"]))
    assert world.ingest().chunks_unknown == 1
    assert world.texts() == ["one", "stray"]


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


def test_an_address_whose_fetch_breaks_in_any_way_fails_alone(world):
    def fetch(url):
        raise UnicodeError("malformed A-label")

    world.write("a.txt", "fine\n")
    report = world.make(fetch=fetch).ingest(["http://xn--/", *files(world.folder)])
    assert [(f.source_uri, f.reason) for f in report.failed] == [("http://xn--/", "fetch")]
    assert "malformed A-label" in report.failed[0].message
    assert world.texts() == ["fine"]


def test_whole_numbers_of_more_than_64_bits_in_a_files_own_metadata_become_text(world):
    class BigPool(PlainPool):
        def map(self, items, *, ordered=True, stop=None, on_page=None):
            for source, document in super().map(items, ordered=ordered):
                yield source, replace(document, metadata={"big": 10**30, "small": 7})

    world.write("a.txt", "one\n")
    world.make(pool=BigPool()).ingest(files(world.folder))
    (chunk,) = world.chunks().values()
    assert (chunk.metadata["big"], chunk.metadata["small"]) == (str(10**30), 7)


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
    report = world.make(file_timeout=0.2, splitter=splitter).ingest(files(world.folder))
    assert names(report.added) == ["b.txt"]
    assert [(f.source_uri, f.reason) for f in report.failed] == [(path, "timeout")]
    assert "rag.ingest.timeout" in report.failed[0].message
    assert splitter.ended.wait(5)


def test_what_was_not_certain_in_reading_a_document_is_in_the_report(world):
    class WarningPool(PlainPool):
        def map(self, items, **options):
            for source, document in super().map(items, **options):
                yield source, replace(document, warnings=(f"it has {len(document.text)} letters",))

    path = world.write("b.txt", "one\n")
    world.write("a.txt", "four\n")
    report = world.make(pool=WarningPool()).ingest(files(world.folder))
    assert [one.message for one in report.warnings] == ["it has 5 letters", "it has 4 letters"]
    assert report.warnings[1].line == f"{path}: it has 4 letters"
    assert world.make(pool=WarningPool()).ingest(files(world.folder)).warnings == []


class SlowPool(PlainPool):
    """Extracts the second file when the first one is in the index."""

    def map(self, items, *, ordered=True, stop=None, on_page=None):
        results = super().map(items, ordered=ordered, stop=stop)
        yield next(results)
        deadline = time.monotonic() + 10
        while not self.is_written() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.was_written = self.is_written()
        yield from results


def test_a_document_does_not_wait_for_one_that_takes_long_to_extract(world, monkeypatch):
    monkeypatch.setattr("kvasir.ingesting.preparing._IDLE_SECONDS", 0.05)
    uri = world.write("a.txt", "one\ntwo\n")
    world.write("b.txt", "three\n")
    pool = SlowPool()
    pool.is_written = lambda: world.catalog.document("test", document_id(uri)) is not None
    world.pipeline = world.make(pool=pool, hold_seconds=0.1)
    assert len(world.ingest().added) == 2
    assert pool.was_written


def moved(report):
    return [(Path(each.former_uri).name, Path(each.source_uri).name) for each in report.moved]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("one\ntwo\nthree\n", [("a.txt", "z.txt")]),
        ("one\ntwo\nTHREE\n", [("a.txt", "z.txt")]),
        ("one\nfive\nsix\n", []),
    ],
)
def test_a_file_that_shares_half_of_its_text_with_a_gone_one_was_moved(world, new, expected):
    world.write("a.txt", "one\ntwo\nthree\n")
    world.write("b.txt", "seven\neight\n")
    world.ingest(metadata={"term": 1})
    (world.folder / "a.txt").unlink()
    world.write("z.txt", new)
    report = world.ingest()
    assert moved(report) == expected
    given = {Path(each.source_uri).name: each.given for each in world.catalog.documents("test")}
    assert given["z.txt"] == ({"term": 1} if expected else {})
    assert ("a.txt" in given) == (not expected)
    assert world.is_clean()


def test_of_several_gone_documents_each_new_file_takes_the_most_alike(world):
    for name in ("x/a.txt", "y/a.txt", "y/b.txt"):
        world.write(name, "one\ntwo\n")
    world.write("c.txt", "one\ntwo\nthree\nfour\n")
    world.ingest()
    for name in ("x/a.txt", "y/a.txt", "y/b.txt", "c.txt"):
        (world.folder / name).unlink()
    for name in ("n/a.txt", "n/b.txt", "n/d.txt", "n/e.txt"):
        world.write(name, "one\ntwo\n")
    world.write("n/c.txt", "one\ntwo\nthree\n")
    report = world.ingest()
    pairs = moved(report)
    assert {("a.txt", "a.txt"), ("b.txt", "b.txt"), ("c.txt", "c.txt")} < set(pairs)
    assert (len(pairs), len(report.added), len(list(world.catalog.documents("test")))) == (4, 1, 5)


def test_a_file_from_elsewhere_is_the_document_whose_file_is_gone(world, tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    world.ingest(tmp_path / "a.txt")
    (tmp_path / "a.txt").rename(world.folder / "A.txt")
    assert moved(world.ingest()) == [("a.txt", "A.txt")]
    assert world.embedder.embedded == 2


@pytest.mark.parametrize("conflict", ["skip", "error"])
def test_a_moved_file_is_a_new_document_where_changes_are_not_taken(world, conflict):
    path = Path(world.write("a.txt", "one\n"))
    world.ingest()
    path.rename(world.folder / "b.txt")
    report = world.ingest(on_conflict=conflict)
    assert (len(report.added), report.moved) == (1, [])
