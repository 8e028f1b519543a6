"""MCP: its library is loaded when it is used; long documents are read in part."""

import subprocess
import sys

import anyio
import pytest
from libraries import library

import kvasir
from kvasir.app import App
from kvasir.core.errors import (
    MissingExtraError,
    NotFoundError,
    RequestError,
    UnknownFieldError,
)
from kvasir.core.run import StopToken
from kvasir.core.types import Source
from kvasir.frontends import mcp
from kvasir.frontends.mcp.library import MOST_CHARACTERS, local_library
from kvasir.settings.schema import Settings

official = library("mcp", extra="mcp")


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "kvasir.frontends.mcp.serving", raising=False)
    monkeypatch.setitem(sys.modules, "mcp_types", None)
    with pytest.raises(MissingExtraError) as caught:
        mcp.load()
    assert caught.value.extra == "mcp"


def test_the_server_and_the_command_line_load_the_protocols_library_only_for_its_clients():
    code = (
        "import sys, kvasir.frontends.api.application, kvasir.frontends.cli.main\n"
        "sys.exit(bool({'mcp', 'mcp_types'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def long_library(tmp_path):
    embedder = {"type": "kvasir.testing.fakes:FakeEmbedder"}
    settings = Settings(data_dir=tmp_path, rag={"embedding_model": embedder})
    with App(settings) as app:
        sentences = [f"Sentence {number} is about tea and cups." for number in range(3000)]
        source = Source("upload:long.txt", "text/plain")
        with app.collection("a.b") as collection:
            collection.ingest((source, "\n\n".join(sentences).encode()))
            text = collection.text(source.uri)
            document = collection.document(source.uri).id
        yield local_library(app, settings), text, f"a.b/{document}"


def test_of_a_long_document_the_part_around_the_passage_is_read(long_library):
    library, text, document = long_library
    assert len(text) > MOST_CHARACTERS
    for start in (0, len(text) // 2, len(text) - 30):
        found = library.fetch(f"{document}/{start}-{start + 30}")
        first, last = found.metadata["text_start"], found.metadata["text_end"]
        assert found.text == text[first:last]
        assert len(found.text) == MOST_CHARACTERS
        assert first <= start < start + 30 <= last
        assert found.metadata["passage"] == text[start : start + 30]
    whole = library.fetch(document)
    assert whole.text == text[:MOST_CHARACTERS]
    assert whole.metadata["characters"] == len(text)


def test_without_documents_a_search_and_an_answer_say_so(tmp_path):
    embedder = {"type": "kvasir.testing.fakes:FakeEmbedder"}
    with App(Settings(data_dir=tmp_path, rag={"embedding_model": embedder})) as app:
        with app.collection("tea") as collection:
            collection.ingest((Source("upload:tea.txt", "text/plain"), b"Tea is hot."))
            collection.delete("upload:tea.txt")
        library = local_library(app, app.settings)
        with pytest.raises(NotFoundError, match="no documents yet"):
            library.search("tea")
        answer = library.ask("How hot is tea?", None, StopToken())
        assert (answer.refused, "has no documents" in answer.answer) == (True, True)


def test_the_hint_to_another_language_says_who_can_do_something(tmp_path):
    with App(Settings(data_dir=tmp_path)) as app:
        with app.collection("tea") as collection:
            text = b"Green tea is brewed with water of eighty degrees, and black tea with boiling."
            collection.ingest((Source("upload:tea.txt", "text/plain"), text))
        library = local_library(app, app.settings)
        (note,) = library.ask("¿A qué temperatura se prepara?", None, StopToken()).notes
        assert note.startswith("the question seems to be in 'es'")
        assert note.endswith(
            "whoever runs this server can have the collection embedded again with one"
        )


def test_filters_limit_a_search_and_an_answer_and_name_unknown_fields(tmp_path):
    embedder = {"type": "kvasir.testing.fakes:FakeEmbedder"}
    with App(Settings(data_dir=tmp_path, rag={"embedding_model": embedder})) as app:
        for name, metadata in (("tea", {"topic": "tea"}), ("other", None)):
            with app.collection(name) as collection:
                source = Source(f"upload:{name}.txt", "text/plain")
                collection.ingest((source, b"Tea is hot."), metadata=metadata)
        library = local_library(app, app.settings)
        assert len(library.search("tea").results) == 2
        for filters in ("topic=tea", "source=upload:tea*"):
            (found,) = library.search("tea", filters).results
            assert found.id.startswith("tea/"), filters
            answer = library.ask("How hot is tea?", None, StopToken(), filters)
            assert answer.collection == "tea"
        with pytest.raises(UnknownFieldError, match="has the field 'topik'"):
            library.search("tea", "topik=tea")
        with pytest.raises(UnknownFieldError, match="collection 'other' has the field 'topic'"):
            library.ask("How hot is tea?", "other", StopToken(), "topic=tea")


def test_a_search_and_an_answer_explain_themselves(tmp_path):
    embedder = {"type": "kvasir.testing.fakes:FakeEmbedder"}
    limit = {"field": "meta.language", "operator": "==", "value": "en"}
    chat = {"rag": {"retriever": {"filters": limit}}}
    settings = Settings(data_dir=tmp_path, rag={"embedding_model": embedder}, chat=chat)
    with App(settings) as app:
        for name in ("tea", "other"):
            with app.collection(name) as collection:
                collection.ingest((Source(f"upload:{name}.txt", "text/plain"), b"Tea is hot."))
        library = local_library(app, app.settings)
        plain = library.search("hot tea")
        assert plain.explanations is None
        found = library.search("hot tea", explain=True)
        assert found.results == plain.results
        assert found.explanations.keys() == {"tea", "other"}
        answer = library.ask("How hot is tea?", "tea", StopToken(), explain=True)
        assert library.ask("How hot is tea?", "tea", StopToken()).explanation is None
        assert answer.explanation["confidence"] == answer.confidence
        shown = [*found.explanations.values(), *answer.explanation["searches"]]
        assert all(each["hits"] and each["operator_filters"] is None for each in shown)


@pytest.mark.parametrize("id", ["", "/", "a.b", "a.b/", "a.b/x", "a.b/x/1-2", "x/{d}", "{d}/5-5"])
def test_an_id_of_nothing_is_not_found(long_library, id):
    library, text, document = long_library
    for wrong in (id.replace("{d}", document), f"{document}/0-{len(text) + 1}"):
        with pytest.raises(RequestError, match=r"there is no document|has changed"):
            library.fetch(wrong)
    with pytest.raises(NotFoundError):
        library.fetch(f"../{document}")


def test_what_was_not_foreseen_is_logged_and_not_told(caplog):
    serving = mcp.load()

    def use(work):
        raise ZeroDivisionError("a secret")

    async def search():
        async with official.Client(serving.make_server(use), mode="legacy") as client:
            return await client.call_tool("search", {"query": "tea"})

    result = anyio.run(search)
    assert result.is_error
    assert "a secret" not in result.content[0].text
    assert "a secret" in caplog.text


def test_without_a_server_links_lead_to_the_sources(tmp_path):
    embedder = {"type": "kvasir.testing.fakes:FakeEmbedder"}
    settings = Settings(data_dir=tmp_path / "data", rag={"embedding_model": embedder})
    file = tmp_path / "green tea.txt"
    file.write_text("Green tea is brewed at 80 degrees.")
    page = "https://example.org/black tea"
    with App(settings) as app:
        with app.collection("tea") as collection:
            collection.ingest(*kvasir.files(file))
            for uri in (page, "upload:tea.txt", str(tmp_path / "gone.txt")):
                collection.ingest((Source(uri, "text/plain"), f"Tea of {uri}.".encode()))
        library = local_library(app, settings)
        expected = {
            str(file): file.as_uri(),
            page: "https://example.org/black%20tea",
            "upload:tea.txt": "",
            str(tmp_path / "gone.txt"): "",
        }
        listed = library.list_documents("tea").documents
        assert {each.source: each.url for each in listed} == expected
        (document,) = [each for each in listed if each.source == str(file)]
        assert library.fetch(document.id).url == file.as_uri()
        found = library.search("Green tea is brewed at 80 degrees.").results
        assert sorted(each.url for each in found) == sorted(expected.values())
        answer = library.ask("How hot is green tea brewed?", "tea", StopToken())
        named = {each.url for each in (*answer.citations, *answer.nearest)}
        assert named <= set(expected.values())
        public = local_library(app, Settings(server={"public_url": "https://kb.example.org"}))
        assert public.fetch(document.id).url.startswith("https://kb.example.org/read/tea/")
