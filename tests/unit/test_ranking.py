"""Equal passages take one place, and one document does not take all of them."""

import pytest

from kvasir.answering.ranking import (
    crowds_out,
    limit_documents,
    merge_copies,
    most_of_one,
    prefer_described,
    scoring_alike,
)
from kvasir.core.protocols import Candidate
from kvasir.core.types import Chunk, Hit


def hit(document, number, score=1.0, text=None, headings=()):
    text = text or f"Passage {number} of {document}."
    chunk = Chunk(
        f"{document}-{number}",
        document,
        text,
        0,
        len(text),
        headings=headings,
        metadata={"source_uri": f"/{document}.txt"},
    )
    return Hit(chunk, score, score)


def ids(hits):
    return [each.chunk.id for each in hits]


def test_copies_take_one_place_and_name_their_sources():
    found = merge_copies([hit("b", 0, text="Same  text."), hit("c", 0, text="Same\ntext."),
                          hit("d", 0), hit("a", 0, text="Same text.")])  # fmt: skip
    assert ids(found) == ["b-0", "d-0"]
    assert [each.copies for each in found] == [("/a.txt", "/c.txt"), ()]


def test_the_same_passage_twice_in_one_document_names_no_other_source():
    (found,) = merge_copies([hit("a", 0, text="Same."), hit("a", 1, text="Same.")])
    assert found.copies == ()


def test_equal_words_under_other_headings_are_another_passage():
    found = merge_copies([hit("a", 0, text="12 EUR", headings=("Adults",)),
                          hit("b", 0, text="12 EUR", headings=("Children",))])  # fmt: skip
    assert len(found) == 2


def test_five_passages_of_one_book_leave_room_for_other_documents():
    hits = [*(hit("book", n, 1.0 - n / 100) for n in range(5)), hit("a", 0, 0.9), hit("b", 0, 0.8)]
    assert ids(limit_documents(hits, 5)) == ["book-0", "book-1", "book-2", "a-0", "b-0"]
    assert crowds_out(hits, 5)
    assert most_of_one(10) == 5


def test_the_only_good_document_keeps_its_places():
    hits = [*(hit("book", n, 1.0 - n / 100) for n in range(5)), hit("a", 0, 0.1)]
    assert ids(limit_documents(hits, 5)) == [f"book-{n}" for n in range(5)]
    assert ids(limit_documents(hits[:5], 5)) == [f"book-{n}" for n in range(5)]


def test_three_places_may_be_of_one_document():
    hits = [*(hit("book", n) for n in range(4)), hit("a", 0)]
    assert ids(limit_documents(hits, 3)) == ["book-0", "book-1", "book-2"]
    assert not crowds_out(hits, 3)


@pytest.mark.parametrize(
    ("dense", "lexical", "is_alike"),
    [
        (0.8005, 3.0, True),
        (0.7, 3.0, False),
        (0.8, 2.0, False),
        (0.8, None, False),  # A copy would have been given by the keyword search, too.
    ],
)
def test_candidates_that_score_alike_may_be_copies(dense, lexical, is_alike):
    ranked = [(1.0, Candidate("a", 0.8, 3.0)), (0.9, Candidate("b", dense, lexical))]
    ranked.append((0.1, Candidate("c", 0.1, 1.0)))
    assert scoring_alike(ranked, 1) == (ranked[1:2] if is_alike else [])


def test_candidates_that_the_keyword_search_did_not_give_may_be_copies_of_its_last():
    last = [(1.0, Candidate("a", 0.8, 3.0)), (0.9, Candidate("b", 0.8, None))]
    assert scoring_alike(last, 1) == last[1:]
    neither = [(1.0, Candidate("a", 0.8, None)), (0.9, Candidate("b", 0.8, None))]
    assert scoring_alike(neither, 1) == neither[1:]


def test_a_passage_that_describes_what_is_asked_for_comes_before_those_that_name_it():
    texts = ["A ketch and a ketch.", "The ketch sank.", "A ketch is a boat with two masts."]
    chunks = {
        each.chunk.id: each.chunk for each in (hit("d", n, text=t) for n, t in enumerate(texts))
    }
    ranked = [(1.0 - 0.2 * n, Candidate(key, 0.5, 1.0)) for n, key in enumerate(chunks)]
    order = [candidate.chunk_id for _, candidate in prefer_described(ranked, ["ketch"], chunks)]
    assert order == [list(chunks)[2], *list(chunks)[:2]]
    assert prefer_described(ranked, ["yawl"], chunks) == ranked
