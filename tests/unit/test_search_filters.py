"""What filters may name: sources, file types and ids, and which fields there are."""

import unicodedata

import pytest

from kvasir.core.errors import FilterError, UnknownFieldError
from kvasir.core.types import Source
from kvasir.testing.fake_collection import FakeCollections

BOTH = {"field": "source", "operator": "in", "value": ["upload:*", "*/e.rs"]}
MARKDOWN, PLAIN, CODE = "text/markdown", "text/plain", "text/x-source"
SOURCES = {
    "/home/ana/notes/2024-a.md": MARKDOWN,
    "/home/ana/notes/old/b.MD": MARKDOWN,
    "/home/ana/notes/c [1].txt": PLAIN,
    "/home/ana/code/d.py": CODE,
    "/home/ana/code/e.rs": CODE,
    "https://example.org/docs/f": "text/html",
    "upload:ana/g.pdf": "application/pdf",
}


@pytest.fixture(scope="module")
def collections():
    made = FakeCollections()
    with made.lease() as collection:
        for uri, media_type in SOURCES.items():
            own = {"source": "press", "type": "letter"} if uri.endswith("d.py") else None
            collection.ingest((Source(uri, media_type), b"The same words."), metadata=own)
    return made


def found(collections, filters):
    with collections.lease() as collection:
        hits = collection.search("words", top_k=100, filters=filters)
        uris = [uri for hit in hits for uri in (hit.chunk.metadata["source_uri"], *hit.copies)]
        return sorted(collection.document(str(uri)).title for uri in uris)


@pytest.mark.parametrize(
    ("filters", "endings"),
    [
        ("source=/home/ana/notes/*", ["2024-a.md", "b.MD", "c [1].txt"]),
        ("source=/home/ana/notes/", ["2024-a.md", "b.MD", "c [1].txt"]),
        ("source=/home/ana/notes/**", ["2024-a.md", "b.MD", "c [1].txt"]),
        ("source=/home/ana/notes/2024*", ["2024-a.md"]),
        ("source=*.md", ["2024-a.md"]),
        ("source=*/c [1].txt", ["c [1].txt"]),
        ("source=/home/ana/code/d.py", ["d.py"]),
        ("source=https://example.org/docs/*", ["f"]),
        ("source=upload:ana/*,type=pdf", ["g.pdf"]),
        ("source=notes/*", []),
        ("source=press", ["d.py"]),
        ("source!=/home/ana/*", ["f", "g.pdf"]),
        ("type=md", ["2024-a.md", "b.MD"]),
        ("type=.markdown", ["2024-a.md", "b.MD"]),
        ("type=text/html", ["f"]),
        ("type=htm", ["f"]),
        ("type=py", ["d.py"]),
        ("type=letter", ["d.py"]),
        ("type=txt", ["c [1].txt"]),
        ("file_type=rs", ["e.rs"]),
        ("type!=md,source=/home/ana/notes/*", ["c [1].txt"]),
        ("type=unheard", []),
        (BOTH, ["e.rs", "g.pdf"]),
    ],
)  # fmt: skip
def test_sources_and_types_are_found_by_patterns_and_names(collections, filters, endings):
    assert found(collections, filters) == endings


def test_a_document_is_found_by_its_id(collections):
    with collections.lease() as collection:
        id = collection.document("upload:ana/g.pdf").id
    assert found(collections, f"document_id={id}") == ["g.pdf"]
    assert len(found(collections, f"document_id!={id}")) == len(SOURCES) - 1


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    "filters",
    ["source=/gebühren/Fähre.md", "source=/gebühren/", "source=/gebühren/Fä*", "author=Zoë",
     "source=*Fähre.md", '{"field": "author", "operator": "in", "value": ["Zoë", "x"]}'],
)  # fmt: skip
def test_filters_find_names_in_composed_and_decomposed_letters(filters, form):
    other = "NFD" if form == "NFC" else "NFC"
    source = Source(unicodedata.normalize(form, "/gebühren/Fähre.md"), MARKDOWN)
    given = {"author": unicodedata.normalize(form, "Zoë")}
    with FakeCollections().lease() as collection:
        collection.ingest((source, b"The same words."), metadata=given)
        wanted = unicodedata.normalize(other, filters)
        assert len(collection.search("words", filters=wanted)) == 1
        assert not collection.search(
            "words", filters="author!=" + unicodedata.normalize(other, "Zoë")
        )
        assert (
            collection.document(unicodedata.normalize(other, source.uri)).source_uri == source.uri
        )


def test_a_pattern_that_fits_too_many_documents_is_refused(collections, monkeypatch):
    monkeypatch.setattr("kvasir.answering.search_filters._MOST_SOURCES", 2)
    with pytest.raises(FilterError, match=r"fits 5 documents, more than 2: name a folder"):
        found(collections, "source=/home/ana/*.*")


@pytest.mark.parametrize("filters", ["topic=tea", "topic!=tea", "source=press,topic>=2024"])
def test_an_unknown_field_is_an_error_that_names_the_known_ones(collections, filters):
    with pytest.raises(UnknownFieldError) as raised:
        found(collections, filters)
    assert str(raised.value) == (
        "no document of collection 'default' has the field 'topic' (there are: document_id, "
        "file_type, language, source, source_uri, title, type)"
    )


def test_a_field_of_one_of_many_documents_is_known(collections, monkeypatch):
    monkeypatch.setattr("kvasir.catalog.search_scope._PAGE", 1)
    with collections.lease("many") as collection:
        for number in range(5):
            own = {"last": True} if number == 4 else None
            source = Source(f"upload:{number}", PLAIN)
            collection.ingest((source, f"Words {number}.".encode()), metadata=own)
        assert len(collection.search("words", filters="last=true")) == 1
        assert collection.search("words", filters="last=false") == []
        with pytest.raises(UnknownFieldError, match="did you mean 'last'"):
            collection.search("words", filters="lasst=true")
        # It is far to find, so it is looked for once.
        monkeypatch.setattr("kvasir.catalog.search_scope._PAGE", "unread")
        assert len(collection.search("words", filters="last=true")) == 1


def test_in_a_collection_without_documents_nothing_is_found(collections):
    with collections.lease("empty") as collection:
        collection.ingest((Source("upload:a", PLAIN), b"Words."))
        collection.delete("upload:a")
        assert collection.search("words", filters="topic=tea") == []
