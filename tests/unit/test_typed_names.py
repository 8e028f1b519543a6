"""What is typed of a document's name finds it, and the nearest names are proposed."""

import pytest

from kvasir.core.document_names import matching, nearest
from kvasir.core.errors import AmbiguousDocumentError, CollectionNotFoundError

URIS = {
    "1a2b3c4d-0000": "/home/ana/notes/moon.md",
    "1a2b9999-0000": "/home/ana/notes/moonlight.md",
    "77777777-0000": "/home/ana/old/moon.md",
    "88888888-0000": "upload:ana/tea.txt",
    "99999999-0000": "https://example.org/a/b?page=moon",
}


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("moon.md", ["1a2b3c4d-0000", "77777777-0000"]),
        ("notes/moon.md", ["1a2b3c4d-0000"]),
        ("notes/moo", ["1a2b3c4d-0000", "1a2b9999-0000"]),
        ("notes/", ["1a2b3c4d-0000", "1a2b9999-0000"]),
        ("moonl", ["1a2b9999-0000"]),
        ("tea", ["88888888-0000"]),
        ("ana/tea.txt", ["88888888-0000"]),
        ("upload:", ["88888888-0000"]),
        ("https://example.org/", ["99999999-0000"]),
        ("1A2B3", ["1a2b3c4d-0000"]),
        ("1a2b", ["1a2b3c4d-0000", "1a2b9999-0000"]),
        ("1a2", []),
        ("light", []),
        ("Moon.md", []),
        ("", []),
    ],
)
def test_names_and_their_beginnings_are_matched(typed, found):
    assert matching(URIS, [typed]) == found


def test_a_name_that_was_typed_whole_comes_before_those_that_begin_with_it():
    uris = {"1": "/a/moon", "2": "/a/moon.md"}
    assert matching(uris, ["moon"]) == ["1"]


def test_the_spellings_of_one_name_are_read_together():
    assert matching(URIS, ["./moon.md", "/home/ana/old/moon.md"]) == ["77777777-0000"]


def test_near_names_are_proposed_whatever_their_case():
    assert nearest(URIS, "MOONLIGTH.md")[0] == "/home/ana/notes/moonlight.md"
    assert nearest(URIS, "other/tee.txt") == ["upload:ana/tea.txt"]
    assert nearest(URIS, "invoice-2026.pdf") == []


def test_a_long_list_of_fitting_documents_is_cut():
    error = AmbiguousDocumentError("a", "default", [f"a{number}" for number in range(12)])
    assert str(error).endswith("'a8', 'a9' and 2 more")


def test_a_collection_with_a_similar_name_is_proposed():
    known = ["papers", "papers-2025", "tea"]
    assert "did you mean 'tea'? there are: papers" in str(CollectionNotFoundError("tee", known))
    begun = "did you mean 'papers' or 'papers-2025'?"
    assert begun in str(CollectionNotFoundError("pap", known))
    assert "did you mean" not in str(CollectionNotFoundError("x", known))
