"""What an ingest embeds, reuses and reports."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ingest_world import PlainPool, names

from kvasir.core.errors import WrongEmbedderError
from kvasir.core.run import Progress, Run
from kvasir.frontends.cli.paths import files
from kvasir.frontends.cli.remedies import explain
from kvasir.testing.fakes import FakeEmbedder


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
