"""Several writers of one collection: pipelines and publishers with catalogs of their own."""

import threading
import time

import pytest
from sqlalchemy import select, update

from kvasir.catalog.sql import SqlCatalog
from kvasir.catalog.tables import writers
from kvasir.core.errors import StoreIncompleteError, WriterConflictError
from kvasir.core.run import Run, StopToken
from kvasir.core.types import Chunk, Document, Source, chunk_id, document_id
from kvasir.database import reading, writing
from kvasir.ingesting.pipeline import IngestPipeline
from kvasir.ingesting.publishing import Publisher
from kvasir.maintenance.repair import examine, repair, restore
from kvasir.testing.fakes import FakeEmbedder, MemoryStore


class PlainPool:
    def map(self, items, *, ordered=True, stop=None, on_page=None):
        for source, data in items:
            name = document_id(source.uri)
            yield source, Document(name, source.uri, source.uri, data.decode())


class LineSplitter:
    def split(self, document):
        start = 0
        for line in document.text.splitlines():
            name = chunk_id(document.id, line, start, start + len(line))
            yield Chunk(name, document.id, line, start, start + len(line))
            start += len(line) + 1


class Shared:
    """A store and a catalog's file that several processes share; each has its own connections."""

    def __init__(self, folder):
        self.url = f"sqlite:///{folder}/catalog.db"
        self.store = MemoryStore()
        self.opened = []

    def catalog(self):
        self.opened.append(SqlCatalog(self.url))
        return self.opened[-1]

    def pipeline(self, **options):
        parts = {"language": "en", **options}
        embedder = parts.pop("embedder", None) or FakeEmbedder()
        return IngestPipeline(
            PlainPool(), LineSplitter(), embedder, self.store, self.catalog(), "test", **parts
        )

    def publisher(self):
        return Publisher(self.store, self.catalog(), "test")

    def findings(self):
        return examine(self.catalog(), self.store, "test")

    def texts(self):
        return sorted(chunk.text for batch in self.store.scroll() for chunk, _ in batch)


@pytest.fixture
def shared(tmp_path):
    made = Shared(tmp_path)
    yield made
    for catalog in made.opened:
        catalog.close()


def upload(name, text):
    return Source(f"upload:{name}", "text/plain"), text.encode()


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_deleting_a_collection_during_an_ingest_is_a_conflict_and_changes_nothing(
    shared, monkeypatch
):
    pipeline = shared.pipeline()
    pipeline.ingest([upload("a", "one\n")])
    publisher, conflicts = shared.publisher(), []
    upsert = shared.store.upsert

    def delete_meanwhile(chunks, vectors):
        with pytest.raises(WriterConflictError, match="is writing to collection 'test'") as told:
            publisher.delete_collection()
        conflicts.append(told.value)
        upsert(chunks, vectors)

    monkeypatch.setattr(shared.store, "upsert", delete_meanwhile)
    report = pipeline.ingest([upload("b", "two\nthree\n")])
    assert (report.added, len(conflicts)) == (["upload:b"], 1)
    assert shared.texts() == ["one", "three", "two"]
    assert shared.findings().clean
    monkeypatch.undo()
    publisher.delete_collection()
    assert shared.catalog().collections() == []


def test_an_ingest_that_waits_for_a_document_of_another_writer_can_be_stopped(shared, monkeypatch):
    first, second, stop = shared.pipeline(), shared.pipeline(), StopToken()
    first.ingest([upload("a", "one\n")])
    upsert, reports = shared.store.upsert, []

    def ingest_the_same_meanwhile(chunks, vectors):
        monkeypatch.undo()
        threading.Timer(0.1, stop.set).start()
        run = Run(stop)
        in_thread(lambda: reports.append(second.ingest([upload("a", "three\n")], run=run)))
        upsert(chunks, vectors)

    monkeypatch.setattr(shared.store, "upsert", ingest_the_same_meanwhile)
    assert first.ingest([upload("a", "two\n")]).replaced == ["upload:a"]
    assert [(report.interrupted, report.left) for report in reports] == [(True, ["upload:a"])]
    assert shared.texts() == ["two"] and shared.findings().clean


def test_an_ingest_during_the_deletion_of_its_collection_is_a_conflict(shared, monkeypatch):
    pipeline, publisher, conflicts = shared.pipeline(), shared.publisher(), []
    pipeline.ingest([upload("a", "one\n")])
    drop = shared.store.drop

    def ingest_meanwhile():
        with pytest.raises(WriterConflictError) as told:
            pipeline.ingest([upload("b", "two\n")])
        conflicts.append(told.value)
        drop()

    monkeypatch.setattr(shared.store, "drop", ingest_meanwhile)
    publisher.delete_collection()
    assert len(conflicts) == 1
    assert shared.catalog().collections() == []


def test_repairing_and_restoring_wait_until_nobody_writes(shared, monkeypatch):
    pipeline, catalog, conflicts = shared.pipeline(), shared.catalog(), []
    upsert = shared.store.upsert

    def repair_meanwhile(chunks, vectors):
        for work in (repair, restore):
            with pytest.raises(WriterConflictError) as told:
                work(catalog, shared.store, FakeEmbedder(), "test")
            conflicts.append(told.value)
        upsert(chunks, vectors)

    monkeypatch.setattr(shared.store, "upsert", repair_meanwhile)
    pipeline.ingest([upload("a", "one\n")])
    assert (len(conflicts), shared.texts()) == (2, ["one"])
    assert shared.findings().clean


def test_a_writer_whose_lease_is_taken_while_it_writes_publishes_nothing_and_leaves_no_orphan(
    shared, monkeypatch
):
    shared.pipeline().ingest([upload("a", "old\n")])
    slow = shared.pipeline(lease_seconds=0.2, heartbeat_seconds=60)
    other = shared.publisher()
    upsert, recovered = shared.store.upsert, []

    def stopped_meanwhile(chunks, vectors):
        monkeypatch.setattr(shared.store, "upsert", upsert)
        time.sleep(0.3)
        in_thread(lambda: recovered.append(other.recover()))
        upsert(chunks, vectors)

    monkeypatch.setattr(shared.store, "upsert", stopped_meanwhile)
    with pytest.raises(WriterConflictError, match="ended, and another process"):
        slow.ingest([upload("a", "new\nlines\n")])
    assert recovered == [1]
    assert shared.texts() == ["old"]
    assert shared.findings().clean


def test_a_late_writer_takes_nothing_from_the_one_that_wrote_the_same_document(shared, monkeypatch):
    slow = shared.pipeline(lease_seconds=0.2, heartbeat_seconds=60)
    other = shared.pipeline()
    upsert = shared.store.upsert

    def stopped_meanwhile(chunks, vectors):
        monkeypatch.setattr(shared.store, "upsert", upsert)
        time.sleep(0.3)
        in_thread(lambda: other.ingest([upload("a", "same\nother\n")]))
        upsert(chunks, vectors)

    monkeypatch.setattr(shared.store, "upsert", stopped_meanwhile)
    with pytest.raises(WriterConflictError):
        slow.ingest([upload("a", "same\nlate\n")])
    assert shared.texts() == ["other", "same"]
    assert shared.findings().clean


def test_heartbeats_keep_a_slow_writers_work(shared, monkeypatch):
    slow = shared.pipeline(lease_seconds=60, heartbeat_seconds=0.1)
    other, engine = shared.publisher(), shared.catalog()._engine
    upsert, recovered = shared.store.upsert, []

    def last_heartbeat():
        with reading(engine) as connection:
            return connection.execute(select(writers.c.heartbeat)).scalar_one()

    def take_long(chunks, vectors):
        with writing(engine) as connection:
            connection.execute(update(writers).values(heartbeat=0.0))
        end = time.monotonic() + 60
        while last_heartbeat() == 0.0 and time.monotonic() < end:
            time.sleep(0.01)
        in_thread(lambda: recovered.append(other.recover()))
        upsert(chunks, vectors)

    monkeypatch.setattr(shared.store, "upsert", take_long)
    assert slow.ingest([upload("a", "one\n")]).added == ["upload:a"]
    assert recovered == [0]
    assert shared.findings().clean


def test_counts_that_move_while_another_writer_is_active_are_not_compared(shared):
    pipeline = shared.pipeline()
    pipeline.ingest([upload("a", "one\ntwo\n")])
    shared.store.delete([chunk.id for batch in shared.store.scroll() for chunk, _ in batch][:1])
    with shared.publisher().session():
        assert pipeline.ingest([upload("b", "three\n")]).added == ["upload:b"]
    embedder = FakeEmbedder()
    with pytest.raises(StoreIncompleteError) as told:
        shared.pipeline(embedder=embedder).ingest([upload("c", "four\n")])
    assert (told.value.expected, told.value.counted, embedder.embedded) == (3, 2, 0)


def test_the_same_documents_by_several_writers_at_once_are_there_once(shared):
    pipelines, failures = [shared.pipeline() for _ in range(3)], []

    def ingest(number):
        try:
            for turn in range(4):
                files = [upload(name, f"{name} {turn}\n{name} by {number}\n") for name in "abc"]
                pipelines[number].ingest(files)
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=ingest, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(list(shared.catalog().documents("test"))) == 3
    assert shared.store.count() == 6
    assert shared.findings().clean
