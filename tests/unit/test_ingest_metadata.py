"""The metadata that chunks and documents get in an ingest."""

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from ingest_world import PlainPool, names

from kvasir.components.extractors.markdown import MarkdownExtractor
from kvasir.core.errors import RequestError
from kvasir.core.filters import parse_filter
from kvasir.core.types import Document, Source, document_id
from kvasir.frontends.cli.paths import files


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


def test_whole_numbers_of_more_than_64_bits_in_a_files_own_metadata_become_text(world):
    class BigPool(PlainPool):
        def map(self, items, *, ordered=True, stop=None, on_page=None):
            for source, document in super().map(items, ordered=ordered):
                yield source, replace(document, metadata={"big": 10**30, "small": 7})

    world.write("a.txt", "one\n")
    world.make(pool=BigPool()).ingest(files(world.folder))
    (chunk,) = world.chunks().values()
    assert (chunk.metadata["big"], chunk.metadata["small"]) == (str(10**30), 7)
