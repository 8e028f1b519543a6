from dataclasses import replace

import numpy as np
import pytest

from kvasir.catalog.sql import SqlCatalog
from kvasir.core.document_metadata import chunk_metadata
from kvasir.core.errors import (
    CollectionNotFoundError,
    DamagedError,
    WriterConflictError,
    WrongEmbedderError,
)
from kvasir.core.ledger import SourceState, VersionDraft
from kvasir.core.run import Run
from kvasir.core.types import Chunk, Document, chunk_id, document_id
from kvasir.ingesting.embedding import PassageEmbedder
from kvasir.ingesting.publishing import Publisher
from kvasir.maintenance.repair import examine, repair, restore
from kvasir.testing.fakes import FakeEmbedder, MemoryStore

WORDS = ["alpha", "beta", "gamma", "delta"]


def draft(uri, words=WORDS, headings=("Top", "Sub")):
    name = document_id(uri)
    document = Document(name, uri, "Greek", " ".join(words), metadata={"author": "Ada"})
    state = SourceState(uri, "text/plain", "0" * 64, 10, None, "recipe")
    metadata = chunk_metadata(
        document.metadata,
        {"term": 1},
        source_uri=uri,
        title="Greek",
        language="en",
        media_type=state.media_type,
    )
    chunks = []
    start = 0
    for word in words:
        end = start + len(word)
        chunk = Chunk("", name, word, start, end, 2, headings, metadata)
        chunks.append(replace(chunk, id=chunk_id(name, chunk.passage, start, end)))
        start = end + 1
    return VersionDraft(state, document, "en", {"term": 1}, tuple(chunks))


@pytest.fixture
def catalog():
    made = SqlCatalog("sqlite://")
    yield made
    made.close()


@pytest.fixture
def store(catalog):
    store = MemoryStore()
    publisher, drafts = Publisher(store, catalog, "test"), [draft("/a.txt"), draft("/b.txt")]
    publisher.open_collection(FakeEmbedder())
    publisher.write([PassageEmbedder(FakeEmbedder(), store, catalog, "test").embed(drafts)])
    return store


@pytest.fixture
def embedder(store):
    return FakeEmbedder()


def content(store):
    return {c.id: (c, tuple(v.tolist())) for batch in store.scroll() for c, v in batch}


def ids(store):
    return sorted(content(store))


def check(catalog, store, embedder, before, **found):
    """What was found is what was broken, repairing gives all back, and is done at once."""
    findings = examine(catalog, store, "test")
    for name, value in found.items():
        assert getattr(findings, name) == value, name
    assert not findings.clean
    repairs = repair(catalog, store, embedder, "test")
    for name, value in found.items():
        assert getattr(repairs.found, name) == value, name
    assert content(store) == before
    assert examine(catalog, store, "test").clean
    embedder.embedded = 0
    again = repair(catalog, store, embedder, "test")
    assert (again.recovered, again.removed, again.rewritten, again.relabelled) == (0, 0, 0, 0)
    assert embedder.embedded == 0
    return repairs


def test_a_collection_in_order_is_clean(catalog, store):
    findings = examine(catalog, store, "test")
    assert findings.clean
    assert (findings.expected, findings.counted) == (8, 8)


def test_an_orphan_is_found_and_removed(catalog, store, embedder):
    before = content(store)
    stray = Chunk("0f0f0f0f-0000-4000-8000-000000000000", "x", "stray", 0, 5)
    store.upsert([stray], embedder.embed_queries(["stray"]))
    repairs = check(catalog, store, embedder, before, orphans=(stray.id,), counted=9)
    assert repairs.removed == 1


def test_missing_chunks_are_made_anew_from_the_stored_text(catalog, store, embedder):
    before = content(store)
    lost = tuple(ids(store)[:3])
    store.delete(lost)
    repairs = check(catalog, store, embedder, before, missing=lost, expected=8, counted=5)
    assert repairs.rewritten == 3


def test_a_chunk_of_other_text_is_found_and_rewritten(catalog, store, embedder):
    before = content(store)
    chunk, vector = store.fetch(ids(store)[:1])[0]
    store.upsert([replace(chunk, text="other")], np.array([vector]))
    check(catalog, store, embedder, before, altered=(chunk.id,))


def test_outdated_metadata_is_found_and_put_right_without_embedding(catalog, store, embedder):
    before = content(store)
    name = ids(store)[0]
    store.set_metadata([name], {"term": 2})
    repairs = check(catalog, store, embedder, before, mislabelled=(name,))
    assert (repairs.relabelled, repairs.rewritten) == (1, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 3.0])
def test_a_broken_vector_is_found_and_embedded_again(catalog, store, embedder, value):
    before = content(store)
    chunk, vector = store.fetch(ids(store)[:1])[0]
    store.upsert([chunk], np.full((1, len(vector)), value, dtype=np.float32))
    check(catalog, store, embedder, before, bad_vectors=(chunk.id,))


def test_a_half_written_version_is_taken_back(catalog, store, embedder):
    before = content(store)
    new = draft("/a.txt", ["alpha", "new", "words"])
    writer = catalog.start_writer("test", lease_seconds=60)
    catalog.begin("test", [new], writer)
    store.upsert(new.chunks[1:], embedder.embed_queries([c.passage for c in new.chunks[1:]]))
    with pytest.raises(WriterConflictError, match="is writing to collection 'test'"):
        repair(catalog, store, embedder, "test")
    catalog.end_writer(writer)
    repairs = check(catalog, store, embedder, before, unfinished=1)
    assert repairs.recovered == 1


def test_a_half_deleted_document_is_deleted_whole(catalog, store, embedder):
    kept = {k: v for k, v in content(store).items() if v[0].document_id == document_id("/b.txt")}
    writer = catalog.start_writer("test", lease_seconds=60)
    catalog.mark_deleted("test", [document_id("/a.txt")], writer)
    catalog.end_writer(writer)
    store.delete(ids(store)[:1])
    assert examine(catalog, store, "test").unfinished == 1
    repair(catalog, store, embedder, "test")
    assert content(store) == kept
    assert examine(catalog, store, "test").clean


def test_an_empty_catalog_beside_a_full_store_is_not_believed(catalog, store, embedder):
    catalog.delete_collection("test")
    Publisher(store, catalog, "test").open_collection(embedder)
    with pytest.raises(DamagedError, match="backup"):
        repair(catalog, store, embedder, "test")
    assert store.count() == 8


def test_a_lost_store_is_filled_again_from_the_catalog(catalog, store, embedder):
    before = content(store)
    new = MemoryStore()
    assert repair(catalog, new, embedder, "test").rewritten == 8
    assert content(new) == before


def test_the_doctor_tells_how_far_it_is(catalog, store, embedder):
    told = []

    def hear(event):
        assert event.unit == "chunks"
        told.append((event.stage, event.done, event.total))

    run = Run(progress=hear)
    examine(catalog, store, "test", run=run)
    assert told == [("comparing", 0, 8), ("comparing", 8, 8)]
    store.delete(ids(store)[:3])
    told.clear()
    repair(catalog, store, embedder, "test", run=run)
    assert told == [
        ("comparing", 0, 5),
        ("comparing", 5, 5),
        ("writing again", 0, 3),
        ("writing again", 3, 3),
    ]


def test_a_store_is_filled_again_in_steps(catalog, store, embedder, monkeypatch):
    monkeypatch.setattr("kvasir.maintenance.repair.MOST_PASSAGES", 3)
    before = content(store)
    told = []
    new = MemoryStore()
    run = Run(progress=lambda event: told.append(event.done))
    restore(catalog, new, embedder, "test", run=run)
    assert told[-4:] == [0, 3, 6, 8]
    assert content(new) == before


def test_an_unknown_collection_is_refused_with_the_known_ones(catalog, store):
    with pytest.raises(
        CollectionNotFoundError, match=r"'tset' \(did you mean 'test'\? there are: test\)"
    ):
        examine(catalog, store, "tset")


def test_repairing_with_another_embedder_is_refused(catalog, store):
    with pytest.raises(WrongEmbedderError, match="was made with"):
        repair(catalog, store, FakeEmbedder(dimension=8), "test")
