"""Writers of one collection keep out of each other's way, on every engine."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from kvasir.catalog.sql import SqlCatalog
from kvasir.catalog.tables import versions, writers
from kvasir.core.errors import CollectionNotFoundError, DocumentBusyError, WriterConflictError
from kvasir.core.ledger import SourceState, VersionDraft
from kvasir.core.types import Chunk, Document, chunk_id, document_id
from kvasir.database import reading, writing


def draft(uri, text="one two"):
    name = document_id(uri)
    chunks = tuple(
        Chunk(chunk_id(name, word, i, i + 3), name, word, i, i + 3)
        for i, word in enumerate(text.split())
    )
    state = SourceState(uri, "text/plain", "0" * 64, len(text), None, "settings")
    return VersionDraft(state, Document(name, uri, uri, text), "en", {}, chunks)


@pytest.fixture
def catalog(catalog_url):
    made = SqlCatalog(catalog_url)
    made.create_collection("test", embedder="model", dimension=3, fingerprint="abc")
    yield made
    made.close()


def start(catalog, lease_seconds=60, **options):
    return catalog.start_writer("test", lease_seconds=lease_seconds, **options)


def age(catalog, writer, seconds):
    """Let the last heartbeat of a writer be longer ago by some seconds."""
    older = update(writers).where(writers.c.id == writer)
    with writing(catalog._engine) as connection:
        connection.execute(older.values(heartbeat=writers.c.heartbeat - seconds))


def owners(catalog):
    with reading(catalog._engine) as connection:
        return set(connection.execute(select(versions.c.writer_id)).scalars())


def test_one_writers_recovery_leaves_anothers_work_alone(catalog):
    first, second = start(catalog), start(catalog)
    catalog.begin("test", [draft("/a")], first)
    assert catalog.discard_pending("test", second) == 0
    assert catalog.stale_chunks("test", second) == []
    catalog.purge("test", second)
    catalog.publish("test", [document_id("/a")], first)
    assert catalog.chunk_count("test") == 2


def test_what_a_writer_left_is_taken_over_when_its_lease_ends_by_the_databases_clock(catalog):
    dead, heir = start(catalog), start(catalog)
    catalog.begin("test", [draft("/a")], dead)
    assert catalog.discard_pending("test", heir) == 0
    age(catalog, dead, 60)
    assert catalog.other_writers("test", heir) == []
    assert catalog.discard_pending("test", heir) == 1
    assert len(catalog.stale_chunks("test", heir)) == 2
    catalog.purge("test", heir)
    assert catalog.unfinished("test") == 0


def test_a_heartbeat_keeps_a_lease(catalog):
    writer = start(catalog)
    for _ in range(3):
        age(catalog, writer, 30)
        assert catalog.renew_writer(writer)
    assert catalog.other_writers("test") == [f"process {os.getpid()} on {os.uname().nodename}"]
    catalog.end_writer(writer)
    assert not catalog.renew_writer(writer)
    assert catalog.other_writers("test") == []


def test_a_writer_whose_lease_was_taken_cannot_write(catalog):
    late, heir = start(catalog), start(catalog)
    catalog.begin("test", [draft("/a")], late)
    age(catalog, late, 60)
    catalog.discard_pending("test", heir)
    assert not catalog.renew_writer(late)
    name = [document_id("/a")]
    for attempt in (
        lambda: catalog.publish("test", name, late),
        lambda: catalog.begin("test", [draft("/b")], late),
        lambda: catalog.mark_deleted("test", name, late),
        lambda: catalog.purge("test", late),
        lambda: catalog.discard_pending("test", late),
        lambda: catalog.mark_metadata_applied("test", name, late),
    ):
        with pytest.raises(WriterConflictError, match="lease on collection 'test' ended"):
            attempt()
    assert catalog.chunk_count("test") == 0


def test_a_lease_that_ended_and_was_not_taken_goes_on(catalog):
    writer = start(catalog)
    catalog.begin("test", [draft("/a")], writer)
    age(catalog, writer, 60)
    assert catalog.other_writers("test") == []
    assert catalog.renew_writer(writer)
    catalog.publish("test", [document_id("/a")], writer)
    assert catalog.chunk_count("test") == 2


def test_a_document_that_another_writer_has_in_progress_is_busy(catalog):
    first, second = start(catalog), start(catalog)
    catalog.begin("test", [draft("/a", "one")], first)
    for attempt in (
        lambda: catalog.begin("test", [draft("/b"), draft("/a", "two")], second),
        lambda: catalog.mark_deleted("test", [document_id("/a")], second),
        lambda: catalog.set_metadata("test", {document_id("/a"): {}}, second),
    ):
        with pytest.raises(DocumentBusyError, match=r"is writing '/a'"):
            attempt()
    assert owners(catalog) == {first}
    catalog.publish("test", [document_id("/a")], first)
    catalog.begin("test", [draft("/a", "two")], second)
    catalog.publish("test", [document_id("/a")], second)
    assert catalog.text("test", document_id("/a")) == "two"
    assert len(catalog.stale_chunks("test", second)) == 1


def test_changed_metadata_belongs_to_its_writer_until_it_is_applied(catalog):
    first, second = start(catalog), start(catalog)
    catalog.begin("test", [draft("/a")], first)
    catalog.publish("test", [document_id("/a")], first)
    catalog.set_metadata("test", {document_id("/a"): {"term": 1}}, first)
    assert catalog.pending_metadata_updates("test", second) == []
    with pytest.raises(DocumentBusyError):
        catalog.begin("test", [draft("/a", "new")], second)
    catalog.end_writer(first)
    catalog.discard_pending("test", second)
    (change,) = catalog.pending_metadata_updates("test", second)
    assert change.metadata["term"] == 1
    catalog.mark_metadata_applied("test", [change.document_id], second)
    assert catalog.pending_metadata_updates("test") == []


def test_a_failed_try_of_the_same_writer_gives_way_to_its_next(catalog):
    writer = start(catalog)
    catalog.begin("test", [draft("/a", "one two")], writer)
    catalog.begin("test", [draft("/a", "two three")], writer)
    catalog.publish("test", [document_id("/a")], writer)
    assert catalog.text("test", document_id("/a")) == "two three"
    assert len(catalog.stale_chunks("test", writer)) == 2
    catalog.purge("test", writer)
    assert catalog.unfinished("test") == 0


def test_an_exclusive_writer_is_alone(catalog):
    writer = start(catalog)
    with pytest.raises(WriterConflictError, match=rf"process {os.getpid()} on .* is writing"):
        start(catalog, exclusive=True)
    catalog.end_writer(writer)
    writer = start(catalog, exclusive=True)
    with pytest.raises(WriterConflictError):
        start(catalog)
    age(catalog, writer, 60)
    start(catalog)


def test_a_collection_is_not_deleted_under_a_writer(catalog):
    writer = start(catalog)
    catalog.begin("test", [draft("/a")], writer)
    with pytest.raises(WriterConflictError, match="delete it when that has finished"):
        catalog.delete_collection("test")
    catalog.publish("test", [document_id("/a")], writer)
    catalog.end_writer(writer)
    catalog.delete_collection("test")
    with pytest.raises(CollectionNotFoundError, match="there is no collection"):
        start(catalog)


def test_the_lease_of_a_process_that_died_on_this_machine_ends_at_once(catalog, catalog_url):
    code = (
        "import os, sys; from kvasir.catalog.sql import SqlCatalog;"
        f"print(SqlCatalog({catalog_url!r}).start_writer('test', lease_seconds=600), flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        writer = child.stdout.readline().strip()
        catalog.begin("test", [draft("/a")], writer)
        heir = start(catalog)
        assert catalog.other_writers("test", heir) == [
            f"process {child.pid} on {os.uname().nodename}"
        ]
        assert catalog.discard_pending("test", heir) == 0
        child.kill()
    assert catalog.other_writers("test", heir) == []
    assert catalog.discard_pending("test", heir) == 1


@pytest.mark.parametrize("column", ["machine", "process_start"])
def test_a_process_id_proves_nothing_elsewhere_or_after_it_was_given_again(catalog, column):
    writer = start(catalog)
    with writing(catalog._engine) as connection:
        values = {"pid": 2**22 + 1, "machine": "another"} if column == "machine" else {}
        connection.execute(update(writers).values({column: "another", **values}))
    others = catalog.other_writers("test")
    assert bool(others) == (column == "machine")
    assert catalog.renew_writer(writer)


def test_writers_in_many_threads_leave_one_live_version_of_each_document(catalog, catalog_url):
    catalogs = [SqlCatalog(catalog_url) for _ in range(4)]

    def work(number):
        mine = catalogs[number]
        writer = mine.start_writer("test", lease_seconds=60)
        for turn in range(5):
            for uri in ("/a", "/b"):
                while True:
                    try:
                        mine.begin("test", [draft(uri, f"same t{turn} w{number}")], writer)
                    except DocumentBusyError:
                        time.sleep(0.002)
                        continue
                    break
                mine.publish("test", [document_id(uri)], writer)
                mine.purge("test", writer)
        mine.end_writer(writer)

    with ThreadPoolExecutor() as threads:
        list(threads.map(work, range(4)))
    for each in catalogs:
        each.close()
    assert catalog.unfinished("test") == 0
    assert catalog.chunk_count("test") == 6
    assert len(list(catalog.every_chunk("test"))) == 6
