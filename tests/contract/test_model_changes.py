"""The catalog's part of a change of the model, on every engine; and the change at a server."""

from dataclasses import replace

import pytest

from kvasir.app import App
from kvasir.catalog.sql import SqlCatalog
from kvasir.core.errors import ConflictError, IndexReplacedError
from kvasir.core.ledger import EmbeddingModel, SourceState, VersionDraft
from kvasir.core.run import Run
from kvasir.core.types import Chunk, Document, chunk_id, document_id
from kvasir.frontends.api.owner import OwnerServer
from kvasir.remote.service import RemoteService, connect_to_owner
from kvasir.settings.schema import Settings
from kvasir.sharing import owner_of
from kvasir.testing.collections import upload
from kvasir.testing.fake_collection import FakeCollections

MODEL = EmbeddingModel("openvino", "b", {"max_tokens": 3})


def draft(uri, text="one"):
    name = document_id(uri)
    chunk = Chunk(chunk_id(name, text, 0, 3), name, text, 0, 3)
    state = SourceState(uri, "text/plain", "0" * 64, 3, None, "recipe")
    return VersionDraft(state, Document(name, uri, uri, text), "en", {}, (chunk,))


@pytest.fixture
def catalog(catalog_url):
    made = SqlCatalog(catalog_url)
    made.create_collection("test", embedder="a", dimension=3, fingerprint="abc")
    yield made
    made.close()


@pytest.fixture
def writer(catalog):
    return catalog.start_writer("test", lease_seconds=60)


@pytest.fixture
def target(catalog):
    new = {"embedder": "b", "dimension": 4, "fingerprint": "def", "index": "test@1"}
    return replace(catalog.collection("test"), model=MODEL, **new)


def publish(catalog, writer, *drafts, index=None):
    catalog.begin("test", drafts, writer, index=index)
    catalog.publish("test", [each.document.id for each in drafts], writer)
    catalog.purge("test", writer)


def test_one_step_gives_a_collection_its_new_index_and_model(catalog, writer, target):
    assert catalog.collection("test").store_name == "test"
    catalog.set_calibration("test", {"x": 1.0})
    catalog.begin_model_change(target, writer)
    assert catalog.unused_indexes("test") == []
    assert catalog.complete_model_change(target, writer, catalog.revision("test"))
    assert catalog.collection("test") == target
    (unused,) = catalog.unused_indexes("test")
    assert (unused.store_name, unused.dimension, unused.fingerprint) == ("test", 3, "abc")
    catalog.forget_index("test", "test")
    assert catalog.unused_indexes("test") == []
    catalog.set_model("test", None)
    assert catalog.collection("test").model is None


def test_the_change_waits_for_changes_of_documents_and_for_writers(catalog, writer, target):
    other = catalog.start_writer("test", lease_seconds=60)
    catalog.begin_model_change(target, writer)
    revision = catalog.revision("test")
    publish(catalog, other, draft("/a"))
    assert not catalog.complete_model_change(target, writer, revision)
    catalog.begin("test", [draft("/b")], other)
    assert not catalog.complete_model_change(target, writer, catalog.revision("test"))
    catalog.publish("test", [document_id("/b")], other)
    for change in (
        lambda: catalog.mark_deleted("test", [document_id("/b")], other),
        lambda: catalog.set_metadata("test", {document_id("/a"): {"x": 1}}, other),
    ):
        revision = catalog.revision("test")
        change()
        assert catalog.revision("test") > revision
        assert not catalog.complete_model_change(target, writer, catalog.revision("test"))
        catalog.purge("test", other)
        catalog.mark_metadata_applied("test", [document_id("/a")], other)
    assert catalog.complete_model_change(target, writer, catalog.revision("test"))


def test_writers_with_the_old_index_are_refused_before_they_change_anything(
    catalog, writer, target
):
    publish(catalog, writer, draft("/a"), index="")
    catalog.begin_model_change(target, writer)
    assert catalog.complete_model_change(target, writer, catalog.revision("test"))
    for refused in (
        lambda: catalog.begin("test", [draft("/b")], writer, index=""),
        lambda: catalog.mark_deleted("test", [document_id("/a")], writer, index=""),
        lambda: catalog.set_metadata("test", {document_id("/a"): {}}, writer, index=""),
        lambda: catalog.discard_pending("test", writer, index=""),
        lambda: catalog.set_calibration("test", {"x": 1.0}, index=""),
    ):
        with pytest.raises(IndexReplacedError, match="'test' was embedded again meanwhile"):
            refused()
    assert catalog.unfinished("test") == 0
    assert catalog.collection("test").calibration is None
    catalog.set_calibration("test", {"x": 2.0}, index="test@1")
    assert catalog.collection("test").calibration == {"x": 2.0}
    catalog.purge("test", writer)
    publish(catalog, writer, draft("/b"), index="test@1")
    catalog.keep_vectors("test", {"a" * 32: [1.0]}, "abc")
    assert catalog.kept_vectors("test", ["a" * 32]) == {}


def test_one_writer_builds_an_index_and_what_an_ended_one_began_is_unused(catalog, writer, target):
    catalog.begin_model_change(target, writer)
    other = catalog.start_writer("test", lease_seconds=60)
    third = replace(target, index="test@2", embedder="c")
    with pytest.raises(ConflictError, match="again with the model 'b': try again when"):
        catalog.begin_model_change(third, other)
    catalog.end_writer(writer)
    assert [each.store_name for each in catalog.unused_indexes("test")] == ["test@1"]
    assert catalog.unused_indexes("test", begun=False) == []
    catalog.begin_model_change(target, other)
    assert catalog.complete_model_change(target, other, catalog.revision("test"))


def test_a_copy_of_the_records_has_an_index_of_its_own(catalog, writer, target):
    publish(catalog, writer, draft("/a"))
    catalog.begin_model_change(target, writer)
    assert catalog.complete_model_change(target, writer, catalog.revision("test"))
    catalog.copy_collection("test", "copy")
    copied = catalog.collection("copy")
    assert (copied.store_name, copied.model, copied.fingerprint) == ("copy", MODEL, "def")
    assert catalog.unused_indexes("copy") == []


class ModelChangeContract:
    """What ``use_model`` does, wherever the collection is."""

    def test_the_collection_has_the_model_and_answers(self, collection):
        stages = []
        collection.ingest(upload("upload:tea.txt", "Green tea is steeped for two minutes."))
        report = collection.use_model("b-32", run=Run(progress=lambda e: stages.append(e.stage)))
        assert (report.changed, report.model, report.dimension) == (True, "b-32", 32)
        assert (report.collection, report.chunks, report.embedded) == (collection.name, 1, 1)
        assert "embedding again" in stages
        assert collection.record().embedder == "b-32"
        assert collection.search("green tea")
        assert "two minutes" in collection.ask("How long is green tea steeped?").text
        assert collection.inspect().clean
        assert not collection.use_model("b-32").changed


class TestFakeModelChange(ModelChangeContract):
    @pytest.fixture
    def collection(self):
        with FakeCollections().lease("contract") as lease:
            yield lease


class TestRemoteModelChange(ModelChangeContract):
    @pytest.fixture
    def collection(self, tmp_path):
        settings = Settings(
            data_dir=tmp_path / "kvasir-data",
            rag={
                "embedding_model": {"type": "kvasir.testing.fakes:NamedEmbedder", "name": "a"},
                "ingest": {"workers": 1},
            },
            answer={"refuse": False},
        )
        with App(settings) as app:
            server = OwnerServer(app)
            assert server.start()
            record = owner_of(settings)
            service = RemoteService(
                lambda chosen: connect_to_owner(record, chosen), collection="contract"
            )
            try:
                with service, service.collection("contract") as lease:
                    yield lease
            finally:
                server.stop()

    def test_a_request_cannot_name_a_class(self, collection):
        collection.ingest(upload("upload:tea.txt", "Green tea is steeped for two minutes."))
        with pytest.raises(Exception, match="cannot name a class to import"):
            collection.use_model("b", kind="module:Class")
