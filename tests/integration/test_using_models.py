"""A collection is embedded again by another model, beside the index in use."""

import threading
import time
from contextlib import ExitStack, closing, contextmanager

import pytest
from chroma_server import chroma_server
from gated_embedders import GatedEmbedder

from kvasir.answering.refusal import DEFAULT_CALIBRATION
from kvasir.app import App
from kvasir.core.errors import (
    CollectionNotFoundError,
    ConflictError,
    IndexReplacedError,
    StoppedError,
    WrongEmbedderError,
)
from kvasir.core.run import Run, StopToken
from kvasir.core.types import Source, StoreAddress
from kvasir.maintenance.reembedding import EMBEDDING
from kvasir.model_change import delete_unused
from kvasir.settings.schema import Settings

EMBEDDED = pytest.mark.parametrize("kind", ["qdrant", "milvuslite", "chroma"])
NOTES = {f"upload:{number}.txt": f"Note {number} is about subject{number}." for number in range(30)}


def upload(uri, text):
    return Source(uri, "text/plain"), text.encode()


def settings_in(folder, kind="qdrant", uri=None, model="old", embedder="GatedEmbedder"):
    return Settings(
        data_dir=folder / "kvasir-data",
        rag={
            "embedding_model": {"type": f"gated_embedders:{embedder}", "name": model},
            "vectordb": {"type": kind, "uri": uri or str(folder / "store.db")},
            "ingest": {"workers": 1},
            "language": "en",
        },
        answer={"refuse": False},
    )


@pytest.fixture
def opened(tmp_path):
    """Opens an application in the test's folder; all are closed at the end."""
    with ExitStack() as stack:

        def opened(*arguments, **options):
            return stack.enter_context(App(settings_in(tmp_path, *arguments, **options)))

        yield opened
    GatedEmbedder.hold("")


@pytest.fixture
def collection(opened):
    """A lease on a collection of thirty notes, in the default store."""
    with opened().collection("notes") as collection:
        collection.ingest(*(upload(*note) for note in NOTES.items()))
        yield collection


def found(collection, words):
    return [hit.chunk.metadata["source_uri"] for hit in collection.search(words)][:1]


def is_whole(collection, documents):
    """The index has the documents with their metadata, and the catalog names no other index."""
    index = collection.index
    assert collection.inspect().clean
    assert len(collection.documents()) == documents
    assert index.components.catalog.unused_indexes(collection.name) == []
    (vectors,) = [part for batch in index.store.scroll() for part in [dict(batch_of(batch))]]
    embedder = index.components.embedder_of(collection.record())
    expected = embedder.embed_documents(list(vectors))
    for row, vector in zip(expected, vectors.values(), strict=True):
        assert abs(float(row @ vector) - 1.0) < 1e-3
    return True


def batch_of(batch):
    return [(chunk.passage, vector) for chunk, vector in batch]


@contextmanager
def in_thread(work):
    """Runs work in a thread; raises its error at the end of the block, after it has ended."""
    results, errors = [], []

    def run():
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield results
    finally:
        GatedEmbedder.gate.set()
        thread.join(60)
    assert not thread.is_alive()
    for error in errors:
        raise error


@EMBEDDED
def test_a_collection_is_embedded_again_and_has_the_model_from_then_on(opened, kind):
    with opened(kind).collection("notes") as collection:
        collection.ingest(*(upload(*note) for note in NOTES.items()))
        report = collection.use_model("new-32")
        assert (report.changed, report.model, report.former) == (True, "new-32", "old")
        assert (report.dimension, report.chunks, report.embedded) == (32, 30, 30)
        assert collection.record().embedder == "new-32"
        assert found(collection, "subject7") == ["upload:7.txt"]
        assert is_whole(collection, 30)
        added = collection.ingest(upload("upload:more.txt", "More is about moresubject."))
        assert added.added == ["upload:more.txt"]
        assert collection.delete("upload:3.txt") == 1
        assert is_whole(collection, 30)
        assert not collection.use_model("new-32").changed
    opened_again = opened(kind, model="another")
    with opened_again.collection("notes") as collection:
        assert found(collection, "moresubject") == ["upload:more.txt"]
        collection.use_model("old")
        assert found(collection, "moresubject") == ["upload:more.txt"]
        assert is_whole(collection, 30)
        collection.drop()
    assert opened_again.collections() == []


def test_the_former_model_answers_and_changes_go_on_until_the_new_index_is_ready(collection):
    GatedEmbedder.hold("new")
    with in_thread(lambda: collection.use_model("new")) as results:
        assert GatedEmbedder.arrived.wait(60)
        assert collection.record().embedder == "old"
        assert found(collection, "subject7") == ["upload:7.txt"]
        collection.ingest(upload("upload:late.txt", "Late is about latesubject."))
        collection.ingest(upload("upload:8.txt", "Note 8 is about changedsubject."))
        collection.delete("upload:9.txt")
        collection.set_metadata("upload:10.txt", {"course": "x"})
        assert found(collection, "latesubject") == ["upload:late.txt"]
        with pytest.raises(ConflictError, match="is being embedded again"):
            collection.use_model("third")
        assert results == []
    assert results[0].changed
    assert collection.record().embedder == "new"
    for words, uri in [("latesubject", "late"), ("changedsubject", "8"), ("subject10", "10")]:
        assert found(collection, words) == [f"upload:{uri}.txt"]
    assert [hit.chunk.document_id for hit in collection.search("x", filters="course=x")]
    assert is_whole(collection, 30)


def test_an_ingest_that_began_before_the_change_goes_on_with_the_new_model(collection):
    GatedEmbedder.hold("old")
    late = upload("upload:late.txt", "Late is about latesubject.")
    with in_thread(lambda: collection.ingest(late)) as results:
        assert GatedEmbedder.arrived.wait(60)
        assert collection.use_model("new").changed
        assert found(collection, "subject7") == ["upload:7.txt"]
        assert results == []
    assert results[0].added == ["upload:late.txt"]
    assert ("new", 1) in GatedEmbedder.calls
    assert found(collection, "latesubject") == ["upload:late.txt"]
    collection.use_model("new")
    assert is_whole(collection, 31)


def test_a_stopped_change_is_gone_on_with_and_another_one_discards_it(collection, monkeypatch):
    monkeypatch.setattr("kvasir.ingesting.embedding._FIRST_CALL", 8)
    monkeypatch.setattr("kvasir.ingesting.embedding._CALL_SECONDS", 0.0)
    monkeypatch.setattr("kvasir.ingesting.embedding._SMALLEST_CALL", 8)

    def stopped_after(chunks, model):
        stop = StopToken()

        def watch(event):
            if event.stage == EMBEDDING and event.done >= chunks:
                stop.set()

        with pytest.raises(StoppedError):
            collection.use_model(model, run=Run(stop, watch))

    for reached in (8, 16):
        stopped_after(reached, "new")
        assert collection.record().embedder == "old"
        assert found(collection, "subject7") == ["upload:7.txt"]
        assert collection.inspect().clean
        assert collection.repair().rewritten == 0
    report = collection.use_model("new")
    assert (report.chunks, report.embedded) == (30, 14)
    assert is_whole(collection, 30)
    stopped_after(8, "third")
    assert len(collection.index.components.catalog.unused_indexes("notes")) == 1
    assert not collection.use_model("new").changed
    assert is_whole(collection, 30)


def test_an_index_that_was_replaced_before_a_crash_is_deleted_by_a_repair(collection, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("kvasir.model_change._delete", lambda *_: None)
        patch.setattr(collection.index.components.catalog, "forget_index", lambda *_: None)
        collection.use_model("new")
    assert len(collection.index.components.catalog.unused_indexes("notes")) == 1
    collection.repair()
    assert is_whole(collection, 30)


def test_an_index_is_deleted_whatever_this_process_knew_of_the_collection(collection, monkeypatch):
    index, former = collection.index, collection.record()
    with monkeypatch.context() as patch:
        patch.setattr("kvasir.model_change._delete", lambda *_: None)
        patch.setattr(index.components.catalog, "forget_index", lambda *_: None)
        collection.use_model("new")
    index._known = (time.monotonic(), former)
    delete_unused(index)
    assert is_whole(collection, 30)
    with closing(index.components.open_store(former.store_name, former)) as old:
        assert old.count() == 0


def test_a_collection_can_be_deleted_while_it_is_embedded_again(opened, collection):
    GatedEmbedder.hold("new")
    stopped = []

    def change():
        try:
            collection.use_model("new")
        except StoppedError as error:
            stopped.append(error)

    with in_thread(change):
        assert GatedEmbedder.arrived.wait(60)
        collection.drop()
        assert len(stopped) == 1
    with pytest.raises(CollectionNotFoundError):
        collection.search("subject7")


def test_documents_are_listed_again_only_if_one_was_changed(collection, monkeypatch):
    catalog = collection.index.components.catalog
    complete, documents, refused, listed = catalog.complete_model_change, catalog.documents, [], []

    def busy(*arguments):
        refused.append(1)
        return len(refused) > 3 and complete(*arguments)

    def count(*arguments, **options):
        listed.append(1)
        return documents(*arguments, **options)

    monkeypatch.setattr(catalog, "complete_model_change", busy)
    monkeypatch.setattr(catalog, "documents", count)
    collection.use_model("new")
    often = len(listed)
    refused.extend([1] * 3)
    listed.clear()
    collection.use_model("old")
    assert often == len(listed)
    assert is_whole(collection, 30)


def test_a_fitted_decision_to_refuse_is_forgotten_with_its_model(collection):
    collection.keep_calibration(DEFAULT_CALIBRATION)
    assert collection.use_model("new").calibration_lost
    assert collection.record().calibration is None


def test_a_decision_that_is_fitted_during_a_change_of_the_model_is_not_kept(collection):
    changes = []

    def change(event):
        if not changes:
            with in_thread(lambda: collection.use_model("new")) as results:
                changes.append(results)

    answered = [f"What is subject{number}?" for number in range(30)]
    unanswered = [f"Who painted the moon {number}?" for number in range(30)]
    with pytest.raises(IndexReplacedError):
        collection.calibrate(answered, unanswered, apply=True, run=Run(progress=change))
    assert changes[0][0].changed
    assert collection.record().calibration is None


def test_the_settings_model_is_for_new_collections_where_one_was_chosen(opened, collection):
    collection.use_model("new")
    collection.index.leases.close()
    app = opened(model="third")
    with app.collection("notes") as collection, app.collection("others") as others:
        assert found(collection, "subject7") == ["upload:7.txt"]
        others.ingest(upload("upload:a.txt", "The first of others."))
        assert (collection.record().embedder, others.record().embedder) == ("new", "third")


def test_a_chosen_model_whose_files_changed_is_one_clear_sentence(opened, collection):
    collection.use_model("new")
    catalog = collection.index.components.catalog
    chosen = catalog.collection("notes").model
    collection.index.leases.close()
    app = opened()
    app.catalog.set_model("notes", type(chosen)(chosen.type, "changed"))
    with app.collection("notes") as again:
        with pytest.raises(WrongEmbedderError, match="was chosen for it, but the model's files"):
            again.search("subject7")
        assert again.delete("upload:7.txt") == 1


def test_a_copy_of_a_collection_with_a_chosen_model_is_searched_by_it(opened, collection, tmp_path):
    collection.use_model("new")
    address = StoreAddress("qdrant", str(tmp_path / "copies"))
    assert collection.copy(address).verified
    assert collection.copy(address, name="renamed").verified
    collection.index.leases.close()
    app = opened("qdrant", str(tmp_path / "copies"))
    for name in ("notes", "renamed"):
        with app.collection(name) as copied:
            assert found(copied, "subject7") == ["upload:7.txt"]
            assert copied.record().embedder == "new"
            assert copied.inspect().clean


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with chroma_server(tmp_path_factory.mktemp("chroma")) as address:
        yield address


def test_other_processes_at_a_shared_store_follow_the_change(opened, server, monkeypatch):
    monkeypatch.setattr("kvasir.model_change._GRACE_SECONDS", 0.0)
    # Whoever is refused, or finds nothing, reads the record at once.
    monkeypatch.setattr("kvasir.collection_index.RECORD_SECONDS", 3600.0)
    first, second = opened("chroma", server), opened("chroma", server)
    with first.collection("notes") as changing, second.collection("notes") as other:
        changing.ingest(*(upload(*note) for note in NOTES.items()))
        assert found(other, "subject7") == ["upload:7.txt"]
        GatedEmbedder.hold("new-32")
        with in_thread(lambda: changing.use_model("new-32")):
            assert GatedEmbedder.arrived.wait(60)
            other.ingest(upload("upload:late.txt", "Late is about latesubject."))
            with pytest.raises(ConflictError, match=r"embeds collection 'notes' again with"):
                other.use_model("third")
        # The old index is gone, whatever the other process knew of the collection.
        assert found(other, "latesubject") == ["upload:late.txt"]
        GatedEmbedder.hold("new-32")
        text = upload("upload:more.txt", "More is about moresubject.")
        with in_thread(lambda: other.ingest(text)) as results:
            assert GatedEmbedder.arrived.wait(60)
            changing.use_model("old")
        assert results[0].added == ["upload:more.txt"]
        assert found(changing, "moresubject") == ["upload:more.txt"]
        assert is_whole(changing, 32)
        assert is_whole(other, 32)
        changing.drop()
