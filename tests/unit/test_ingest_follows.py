"""An ingest whose collection is embedded again by another model before it has written."""

from dataclasses import replace

import numpy as np
import pytest
from ingest_world import World, names

from kvasir.core.errors import StoppedError
from kvasir.core.run import Run, StopToken
from kvasir.ingesting.publishing import CurrentIndex, Publisher
from kvasir.testing.fakes import FakeEmbedder, MemoryStore


class OtherEmbedder(FakeEmbedder):
    """Another model with as many numbers, whose vectors are opposite; it may call something."""

    name = "other"
    fingerprint = "fake-other"

    def __init__(self):
        super().__init__()
        self.before = lambda texts: None

    def embed_documents(self, texts):
        self.before(texts)
        return -super().embed_documents(texts)


class Replaced(World):
    """An ingest of thirty documents, whose collection gets another model when twenty are read."""

    def __init__(self, folder):
        super().__init__(folder)
        self.other = CurrentIndex("test@other", OtherEmbedder(), MemoryStore())
        self.now = CurrentIndex("", self.embedder, self.store)
        self.pipeline = self.make_now(batch_chunks=10)
        for number in range(30):
            self.write(f"{number:03}.txt", f"document {number}\n")
        self.embed, self.embedder.embed_documents = self.embedder.embed_documents, self.embed_old

    def make_now(self, **options):
        embedder, store = self.now.embedder, self.now.store
        given = {"index": self.now.index, "current": lambda: self.now, "hold_seconds": 60.0}
        return self.make(embedder=embedder, store=store, **given, **options)

    def embed_old(self, texts):
        if self.embedder.embedded >= 10 and self.now is not self.other:
            self.replace()
        return self.embed(texts)

    def replace(self):
        record, embedder = self.catalog.collection("test"), self.other.embedder
        writer = self.catalog.start_writer("test", lease_seconds=60)
        target = replace(
            record,
            embedder=embedder.name,
            fingerprint=embedder.fingerprint,
            index=self.other.index,
        )
        self.catalog.begin_model_change(target, writer)
        revision = self.catalog.revision("test")
        assert self.catalog.complete_model_change(target, writer, revision)
        self.catalog.end_writer(writer)
        self.now = self.other

    def has_vectors_of_the_new_model_only(self):
        for batch in self.other.store.scroll():
            for chunk, vector in batch:
                expected = -self.embed([chunk.passage])[0]
                assert np.allclose(vector, expected), chunk.text
        return True


@pytest.fixture
def replaced(tmp_path):
    made = Replaced(tmp_path / "docs")
    yield made
    made.catalog.close()


def test_what_is_not_written_yet_is_embedded_again(replaced):
    assert len(replaced.ingest().added) == 30
    assert (replaced.store.count(), replaced.other.store.count()) == (0, 30)
    assert replaced.has_vectors_of_the_new_model_only()


def test_a_stop_meanwhile_writes_no_vector_of_the_old_model(replaced):
    stop = StopToken()
    replaced.other.embedder.before = lambda texts: stop.set()
    report = replaced.ingest(run=Run(stop))
    assert report.interrupted
    assert len(report.added) + len(report.left) == 30
    assert replaced.has_vectors_of_the_new_model_only()
    replaced.pipeline = replaced.make_now()
    replaced.ingest()
    assert (replaced.store.count(), replaced.other.store.count()) == (0, 30)
    assert replaced.has_vectors_of_the_new_model_only()


def test_a_document_that_the_new_model_cannot_embed_fails_alone(replaced):
    def fails(texts):
        if any("document 5" in text for text in texts):
            raise ValueError("no such word")

    replaced.other.embedder.before = fails
    report = replaced.ingest()
    assert [(names([each.source_uri]), each.reason) for each in report.failed] == [
        (["005.txt"], "embed")
    ]
    assert len(report.added) == 29
    assert replaced.has_vectors_of_the_new_model_only()


def test_documents_that_are_written_one_by_one_follow_too(replaced):
    replaced.embedder.embed_documents = replaced.embed
    begin, tries = replaced.catalog.begin, []

    def fails(*arguments, **options):
        tries.append(len(arguments[1]))
        if len(tries) == 1:
            raise ValueError("one of them is faulty")
        if len(tries) == 3:
            replaced.replace()
        begin(*arguments, **options)

    replaced.catalog.begin = fails
    report = replaced.ingest()
    assert (len(report.added), report.failed) == (30, [])
    assert tries == [30, *[1] * 31]
    assert (replaced.store.count(), replaced.other.store.count()) == (1, 29)
    assert replaced.has_vectors_of_the_new_model_only()


def test_a_writer_that_cannot_follow_yet_pauses_between_its_tries_and_can_be_stopped(replaced):
    replaced.ingest()
    stop, tries = StopToken(), []

    def stale():
        tries.append(1)
        if len(tries) == 3:
            stop.set()
        return CurrentIndex("", replaced.embedder, replaced.store)

    publisher = Publisher(replaced.store, replaced.catalog, "test", index="", current=stale)
    with pytest.raises(StoppedError):
        publisher._when_free(lambda: publisher._recover(), stop)
    assert len(tries) == 3
    publisher.current = lambda: replaced.other
    assert publisher.recover() == 0
    assert publisher.index == "test@other"
