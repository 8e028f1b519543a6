"""A collection that is recorded again under another name is there twice, each on its own."""

from __future__ import annotations

import pytest

from kvasir.catalog.sql import SqlCatalog
from kvasir.core.errors import CollectionNotFoundError
from kvasir.core.ledger import SourceState, VersionDraft
from kvasir.core.types import Chunk, Document, chunk_id, document_id

MODEL = {"embedder": "model", "dimension": 3, "fingerprint": "abc"}


def draft(uri, text):
    name = document_id(uri)
    document = Document(name, uri, f"title of {uri}", text, metadata={"author": "Ada", "n": 1})
    chunks = tuple(
        Chunk(chunk_id(name, word, i, i + 3), name, word, i, i + 3, 2, ("Überschrift",))
        for i, word in enumerate(text.split())
    )
    state = SourceState(uri, "text/plain", "0" * 64, len(text), 12.5, "recipe")
    return VersionDraft(state, document, "en", {"author": "given"}, chunks)


@pytest.fixture
def catalog(catalog_url):
    catalog = SqlCatalog(catalog_url)
    for name in ("other", "test"):
        catalog.create_collection(name, **MODEL)
        drafts = [draft("/a", "one two"), draft("/b", f"three {name}")]
        writer = catalog.start_writer(name, lease_seconds=60)
        catalog.begin(name, drafts, writer)
        catalog.publish(name, [each.document.id for each in drafts], writer)
        catalog.end_writer(writer)
    unreadable = SourceState("/c", "", "", 0, None, "recipe")
    catalog.fail("test", unreadable, "encrypted", "remove the password")
    catalog.fail("test", drafts[0].state, "timeout", "too slow this time")
    catalog.set_calibration("test", {"bias": 2.0})
    yield catalog
    catalog.close()


def contents(catalog, name):
    documents = list(catalog.documents(name))
    return [
        (each, catalog.text(name, each.id), catalog.chunks(name, each.id)) for each in documents
    ]


def test_all_that_is_recorded_is_recorded_again(catalog):
    catalog.copy_collection("test", "copy")
    record, copied = catalog.collection("test"), catalog.collection("copy")
    assert copied.name == "copy"
    for field in ("embedder", "dimension", "fingerprint", "languages", "calibration", "created"):
        assert getattr(copied, field) == getattr(record, field)
    assert contents(catalog, "copy") == contents(catalog, "test")
    assert [each.status for each in catalog.documents("copy")] == ["live", "live", "failed"]
    assert catalog.chunk_count("copy") == 4
    assert catalog.pending_metadata_updates("copy") == []


def test_original_and_copy_do_not_touch_each_other(catalog):
    catalog.copy_collection("test", "copy")
    before, other = contents(catalog, "test"), contents(catalog, "other")
    writer = catalog.start_writer("copy", lease_seconds=60)
    catalog.mark_deleted("copy", [document_id("/a")], writer)
    catalog.purge("copy", writer)
    assert contents(catalog, "test") == before
    catalog.delete_collection("test")
    assert [each.source_uri for each in catalog.documents("copy")] == ["/b", "/c"]
    assert contents(catalog, "other") == other


def test_half_written_versions_are_not_copied(catalog):
    writer = catalog.start_writer("test", lease_seconds=60)
    catalog.begin("test", [draft("/a", "four five six")], writer)
    catalog.copy_collection("test", "copy")
    assert catalog.unfinished("copy") == 0
    assert catalog.chunk_count("copy") == 4


def test_an_unknown_collection_cannot_be_copied(catalog):
    with pytest.raises(CollectionNotFoundError, match="there is no collection 'none'"):
        catalog.copy_collection("none", "copy")
