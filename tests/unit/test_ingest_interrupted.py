"""An ingest that ended at any step: the next run puts everything right."""

from pathlib import Path

import pytest
from ingest_world import PowerCut, names

from kvasir.core.errors import StoppedError, StoreIncompleteError
from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.types import Chunk
from kvasir.testing.fakes import MemoryStore


def ingest_stopped(world):
    """Ingest 40 documents, stopped after 20; the next ingest is not stopped."""
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
    try:
        return world.ingest(run=Run(stop))
    finally:
        world.embedder.embed_documents = embed


def test_ctrl_c_keeps_what_is_finished_and_the_report_says_what_is_left(world):
    report = ingest_stopped(world)
    assert report.interrupted
    assert (len(report.added), len(report.left)) == (20, 20)
    sizes = [Path(uri).stat().st_size for uri in report.added]
    assert report.bytes_read == sum(sizes)
    assert world.store.count() == 20
    assert world.is_clean()
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
    report = ingest_stopped(world)
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
