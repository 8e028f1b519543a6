"""Copying a collection: what is written, what is left alone, and what is found out at the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kvasir.core.errors import StoppedError
from kvasir.core.run import Progress, Run, StopToken
from kvasir.maintenance.copying import CHECKING, COPYING, copy_chunks
from kvasir.testing.fakes import MemoryStore
from kvasir.testing.store_cases import DIMENSION, everything, make_chunk, make_vectors

COUNT = 1300


@pytest.fixture
def source():
    return filled(COUNT)


@pytest.fixture
def target():
    return Recorder(dimension=DIMENSION)


def filled(count):
    store = MemoryStore(dimension=DIMENSION)
    store.upsert([make_chunk(i) for i in range(count)], make_vectors(count))
    return store


class Recorder(MemoryStore):
    """Remembers which chunks were written."""

    def __init__(self, **options):
        super().__init__(**options)
        self.written = []

    def upsert(self, chunks, vectors):
        self.written += [chunk.id for chunk in chunks]
        super().upsert(chunks, vectors)


def stop_after(batches):
    seen = []

    def progress(event):
        seen.append(event)
        if len(seen) > batches:
            stop.set()

    stop = StopToken()
    return Run(stop, progress)


def test_every_chunk_and_vector_is_in_the_target(source, target):
    report = copy_chunks(source, target)
    assert report.verified
    assert (report.chunks, report.written, report.kept, report.extra) == (COUNT, COUNT, 0, ())
    assert everything(target) == everything(source)
    ids = [make_chunk(i).id for i in range(COUNT)]
    for (_, vector), (_, other) in zip(source.fetch(ids), target.fetch(ids), strict=True):
        assert np.array_equal(vector, other)


def test_an_empty_collection_is_copied(target):
    report = copy_chunks(MemoryStore(dimension=DIMENSION), target)
    assert report.verified
    assert report.chunks == target.count() == 0


def test_a_copy_that_was_stopped_goes_on_where_it_was(source, target):
    with pytest.raises(StoppedError):
        copy_chunks(source, target, run=stop_after(2))
    there = target.count()
    assert there == 1000
    first = list(target.written)
    report = copy_chunks(source, target)
    assert report.verified
    assert (report.kept, report.written) == (there, COUNT - there)
    assert not set(first) & set(target.written[len(first) :])


@pytest.mark.parametrize(
    "change",
    [
        lambda chunk: replace(chunk, text="another"),
        lambda chunk: replace(chunk, start=chunk.start + 1),
        lambda chunk: replace(chunk, end=chunk.end + 1),
        lambda chunk: replace(chunk, page=None),
        lambda chunk: replace(chunk, headings=("One",)),
        lambda chunk: replace(chunk, document_id="other"),
        lambda chunk: replace(chunk, metadata={**chunk.metadata, "more": 1}),
        lambda chunk: replace(chunk, metadata={**chunk.metadata, "number": "7"}),
    ],
)
def test_a_chunk_that_differs_in_the_target_is_written_again(source, target, change):
    copy_chunks(source, target)
    target.upsert([change(make_chunk(7))], make_vectors(COUNT)[7:8])
    report = copy_chunks(source, target)
    assert (report.verified, report.written) == (True, 1)
    assert target.fetch([make_chunk(7).id])[0][0] == make_chunk(7)


def test_a_vector_that_differs_is_written_again_and_rounding_is_no_difference(source, target):
    copy_chunks(source, target)
    vectors = make_vectors(COUNT)
    rounded = vectors.astype(np.float16).astype(np.float32)
    target.upsert([make_chunk(i) for i in range(COUNT)], rounded)
    assert copy_chunks(source, target).written == 0
    near = vectors[7] + 0.05 * vectors[8]
    target.upsert([make_chunk(7)], (near / np.linalg.norm(near))[None])
    assert copy_chunks(source, target).written == 1


def test_metadata_of_another_type_are_a_difference(target):
    source = MemoryStore(dimension=DIMENSION)
    source.upsert([make_chunk(1, "text", {"a": 1, "b": True})], make_vectors(1))
    target.upsert([make_chunk(1, "text", {"a": 1.0, "b": 1})], make_vectors(1))
    assert copy_chunks(source, target).written == 1


def test_what_the_source_lacks_is_reported_and_only_removed_when_asked(source, target):
    stranger = make_chunk(COUNT + 5)
    target.upsert([stranger], make_vectors(1))
    report = copy_chunks(source, target)
    assert report.verified
    assert (report.extra, report.removed) == ((stranger.id,), 0)
    assert target.count() == COUNT + 1
    report = copy_chunks(source, target, exact=True)
    assert report.verified
    assert (report.extra, report.removed, report.written) == ((stranger.id,), 1, 0)
    assert everything(target) == everything(source)


def test_chunks_that_the_target_loses_or_alters_are_found(source):
    class Lossy(MemoryStore):
        def upsert(self, chunks, vectors):
            kept = [i for i, chunk in enumerate(chunks) if chunk.id != make_chunk(3).id]
            changed = [
                replace(chunks[i], text="?") if chunks[i].id == make_chunk(4).id else chunks[i]
                for i in kept
            ]
            super().upsert(changed, vectors[kept])

    report = copy_chunks(source, Lossy(dimension=DIMENSION))
    assert not report.verified
    assert set(report.faulty) == {make_chunk(3).id, make_chunk(4).id}
    assert report.checksum != report.target_checksum


def test_a_source_that_is_written_to_meanwhile_is_noticed(source, target):
    def on_progress(event):
        if event.stage == CHECKING and event.done:
            source.upsert([make_chunk(COUNT + 1)], make_vectors(1))

    report = copy_chunks(source, target, run=Run(progress=on_progress))
    assert report.changed
    assert not report.verified


def test_the_checksum_does_not_depend_on_the_order(source):
    backwards = MemoryStore(dimension=DIMENSION)
    chunks, vectors = [make_chunk(i) for i in range(COUNT)], make_vectors(COUNT)
    backwards.upsert(chunks[::-1], vectors[::-1])
    one = copy_chunks(source, MemoryStore(dimension=DIMENSION))
    two = copy_chunks(backwards, MemoryStore(dimension=DIMENSION))
    assert one.checksum == two.checksum == two.target_checksum


def test_progress_goes_through_the_stages_up_to_the_whole(source, target):
    seen = []
    copy_chunks(source, target, run=Run(progress=seen.append))
    assert seen[0] == Progress(COPYING, 0, COUNT, "chunks")
    assert Progress(COPYING, COUNT, COUNT, "chunks") in seen
    assert seen[-1] == Progress(CHECKING, COUNT, COUNT, "chunks")
