"""A document is found again by the name under which it was ingested, whatever kind of name."""

import pytest

import kvasir
from kvasir.core.errors import AmbiguousDocumentError, DocumentNotFoundError
from kvasir.core.types import Source
from kvasir.frontends.cli.paths import files, find_document, find_documents, location

ADDRESS = "https://example.org/Page?x=1"


@pytest.fixture
def kb(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with kvasir.open(
        None,
        data_dir=str(tmp_path / "data"),
        rag__embedding_model__type="kvasir.testing.fakes:FakeEmbedder",
        rag__splitter__type="window",
    ) as opened:
        yield opened


def upload(name):
    return Source(name, "text/plain"), f"What {name} says.".encode()


@pytest.mark.parametrize("name", ["upload:notes", "notes.txt", "s3://bucket/key#1", ADDRESS])
def test_an_upload_is_shown_relabelled_and_deleted_by_its_name(kb, name):
    kb.ingest(upload(name))
    assert find_document(kb, name).source_uri == name
    assert kb.text(name) == f"What {name} says."
    kb.set_metadata(name, {"course": "physics"})
    assert find_document(kb, name).given == {"course": "physics"}
    assert [each.source_uri for each in find_documents(kb, name[:5])] == [name]
    assert kb.delete(name) == 1
    assert list(kb.documents()) == []


def test_an_address_is_found_with_and_without_its_fragment(kb):
    kb.ingest(upload(ADDRESS))
    assert find_document(kb, f"{ADDRESS}#part").source_uri == ADDRESS
    assert [each.source_uri for each in find_documents(kb, f"{ADDRESS}#part")] == [ADDRESS]


def test_a_file_is_found_by_its_relative_path_and_an_upload_of_that_name_comes_first(kb, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("What the file says.")
    kb.ingest(*files("notes.txt"))
    assert find_document(kb, "notes.txt").source_uri == str(path)
    kb.ingest(upload("notes.txt"))
    assert find_document(kb, "notes.txt").source_uri == "notes.txt"
    assert find_document(kb, "./notes.txt").source_uri == str(path)
    assert [each.source_uri for each in find_documents(kb, "notes")] == [str(path), "notes.txt"]


def test_a_document_is_listed_once_when_its_name_begins_with_the_prefix_in_both_readings(
    kb, tmp_path
):
    (tmp_path / "notes.txt").write_text("What the file says.")
    kb.ingest(*files("notes.txt"))
    assert len(list(find_documents(kb, f"{tmp_path}/"))) == 1


def test_a_folder_with_its_slash_is_that_folder_alone(kb, tmp_path):
    for folder in ("notes", "notes2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(f"What {folder} says.")
    kb.ingest(*files(tmp_path))
    assert len(list(find_documents(kb, "notes"))) == 2
    assert [each.title for each in find_documents(kb, "notes/")] == ["a.txt"]
    assert len(list(find_documents(kb, f"{tmp_path}/"))) == 2


def test_documents_are_listed_where_the_working_directory_is_gone(kb, tmp_path, monkeypatch):
    kb.ingest(upload("upload:notes"))
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert [location(each.source_uri) for each in kb.documents()] == ["upload:notes"]


def test_a_name_that_nothing_has_is_refused(kb):
    kb.ingest(upload("upload:notes"))
    with pytest.raises(DocumentNotFoundError, match="there is no document 'upload:other'"):
        find_document(kb, "upload:other")


def test_a_file_name_or_the_beginning_of_a_name_is_enough(kb, tmp_path):
    (tmp_path / "notes").mkdir()
    for name in ("moon.md", "moonlight.md", "tea.txt"):
        (tmp_path / "notes" / name).write_text(f"What {name} says.")
    kb.ingest(*files("notes"))
    tea = str(tmp_path / "notes" / "tea.txt")
    for typed in ("tea.txt", "te", "notes/te", "notes/tea.txt", kb.document(tea).id[:8]):
        assert find_document(kb, typed).source_uri == tea
    assert find_document(kb, "moon.md").title == "moon.md"
    with pytest.raises(AmbiguousDocumentError, match="'moon' fits 2 documents") as several:
        find_document(kb, "moon")
    assert several.value.fitting == ("notes/moon.md", "notes/moonlight.md")
    with pytest.raises(AmbiguousDocumentError, match="fits 3 documents"):
        find_document(kb, "notes/")
    assert [each.title for each in find_documents(kb, "moon")] == ["moon.md", "moonlight.md"]


def test_what_is_spelled_alike_is_proposed_as_it_is_typed_from_here(kb, tmp_path):
    (tmp_path / "moon.md").write_text("What the Moon says.")
    kb.ingest(*files("moon.md"))
    with pytest.raises(DocumentNotFoundError, match=r"did you mean 'moon\.md'\?"):
        find_document(kb, "mooon.md")
