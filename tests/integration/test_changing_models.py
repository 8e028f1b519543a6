"""Deleting needs no model; a deleted collection is made anew with another one."""

import threading

import pytest

import kvasir
from kvasir.core.errors import WrongEmbedderError
from kvasir.frontends.cli.paths import files
from kvasir.testing.fakes import FakeEmbedder


class TestEmbedder(FakeEmbedder):
    __test__ = False

    def __init__(self, dimension: int = 64, name: str = "fake"):
        super().__init__(dimension)
        self.name = name
        self.fingerprint = f"{name}-{dimension}"


EVERY_STORE = pytest.mark.parametrize("kind", ["qdrant", "milvuslite", "chroma"])


@pytest.fixture
def kind():
    return "qdrant"


@pytest.fixture
def opened(kind, tmp_path):
    def opened(model="fake", embedder=f"{__name__}:TestEmbedder", **options):
        return kvasir.open(
            None,
            data_dir=str(tmp_path / "data"),
            rag__vectordb__type=kind,
            rag__vectordb__uri=str(tmp_path / "store.db"),
            rag__embedding_model__type=embedder,
            rag__embedding_model__name=model,
            rag__embedding_model__options=options,
            rag__splitter__type="window",
        )

    return opened


@pytest.fixture
def notes(tmp_path):
    (tmp_path / "notes").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"notes/{name}.txt").write_text(f"The note {name} says something.\n")
    return tmp_path / "notes"


@EVERY_STORE
def test_a_collection_is_deleted_without_its_model_and_made_anew_with_another(opened, notes):
    with opened() as kb:
        assert len(kb.ingest(*files(notes)).added) == 2
    with opened(embedder="gone") as kb:
        kb.drop()
    with opened("other", dimension=32) as kb:
        assert kb.index.components.collections() == []
        assert len(kb.ingest(*files(notes)).added) == 2
        assert kb.record().embedder == "other"
        assert kb.inspect().clean
        assert len(kb.search("note")) == 2


@EVERY_STORE
def test_one_application_deletes_a_collection_and_ingests_it_again(opened, notes):
    with opened() as kb:
        kb.ingest(*files(notes))
        assert len(kb.search("note")) == 2
        kb.drop()
        assert len(kb.ingest(*files(notes)).added) == 2
        assert len(kb.search("note")) == 2
        assert kb.inspect().clean


def test_deleting_a_collection_that_was_interrupted_is_finished_by_doing_it_again(
    opened, notes, monkeypatch
):
    with opened() as kb:
        kb.ingest(*files(notes))
        with monkeypatch.context() as patched:
            patched.setattr(kb.index.components.catalog, "delete_collection", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                kb.drop()
    with opened(embedder="gone") as kb:
        assert list(kb.documents()) == []
        kb.drop()
    with opened("other", dimension=32) as kb:
        assert len(kb.ingest(*files(notes)).added) == 2


def test_documents_are_deleted_and_relabelled_without_the_model(opened, notes):
    with opened() as kb:
        kb.ingest(*files(notes))
    with opened(embedder="gone") as kb:
        assert kb.delete(str(notes / "a.txt")) == 1
        kb.set_metadata(str(notes / "b.txt"), {"course": "x"})
        assert kb.inspect().clean
        assert [d.given for d in kb.documents()] == [{"course": "x"}]


def test_searching_and_ingesting_with_another_model_are_refused_with_the_same_sentence(
    opened, notes
):
    with opened() as kb:
        kb.ingest(*files(notes))
    for options, named in [
        ({"model": "other", "dimension": 32}, "'fake' (64 dimensions), but the settings name 'oth"),
        ({"dimension": 32}, "'fake', which the settings name too, but with other options"),
    ]:
        with opened(**options) as kb:
            messages = []
            for act in (lambda: kb.search("note"), lambda: kb.ingest(*files(notes))):
                with pytest.raises(WrongEmbedderError) as raised:
                    act()
                messages.append(str(raised.value))
        assert messages[0] == messages[1]
        assert named in messages[0]
        assert "fake-64" not in messages[0]


def test_threads_may_ingest_and_delete_at_the_same_time(opened, notes):
    with opened() as kb:
        kb.ingest(*files(notes))
        errors = []

        def repeat(act):
            try:
                for _ in range(5):
                    act()
            except Exception as error:  # noqa: BLE001 - told by the assertion
                errors.append(error)

        for number in range(20):
            (notes / f"{number}.txt").write_text(f"Number {number}.\n")
        kb.ingest(*files(notes))
        acts = [
            lambda: kb.ingest(*files(notes)),
            lambda: kb.delete(*(d.source_uri for d in list(kb.documents())[:1])),
        ]
        threads = [threading.Thread(target=repeat, args=[act]) for act in acts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert kb.inspect().clean
