"""Hits that stand beside each other in a document become one passage, and free their places."""

from dataclasses import replace

import pytest

from kvasir.answering.joining import MOST_JOINED, READ_FURTHER, Joining, _count_by_rank
from kvasir.answering.retrieval import CANDIDATES, Retriever
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.explanations import (
    LeftOut,
    LeftOutPassage,
    LeftOutReason,
)
from kvasir.core.ledger import DocumentVersion
from kvasir.core.types import Chunk, Hit, SearchRequest
from kvasir.testing.fakes import FakeEmbedder, MemoryStore

LETTER = "Dear Ruth,\n\nwe offer a roof. It is of slate.\n\nPrice: 6,180 pounds.\n\nBest wishes"
OTHER = "The roof of the barn is of straw."


def hit(text, passage, score=0.5, document="letter", **fields):
    start = text.index(passage)
    chunk = Chunk(
        f"{document}{start}", document, passage, start, start + len(passage), None, (), {}
    )
    return Hit(replace(chunk, **fields), score, score, 2.0 * score)


def joining(find_version, candidates=CANDIDATES):
    return Joining(find_version, candidates)


def joined(*hits, top_k=10, **texts):
    texts = {"letter": LETTER, "other": OTHER, **texts}
    found = joining(lambda each: DocumentVersion(texts[each])).joined(hits, top_k)
    for each in found:
        chunk = each.chunk
        assert texts[chunk.document_id][chunk.start : chunk.end] == chunk.text
    return found


def texts_of(hits):
    return [each.chunk.text for each in hits]


def test_neighbours_are_one_hit_at_the_place_of_the_best():
    price = hit(LETTER, "Price: 6,180 pounds.", 0.9, page=2, headings=("Your roof", "Price"))
    other = hit(OTHER, OTHER, 0.8, "other")
    offer = hit(LETTER, "we offer a roof. It is of slate.", 0.7, page=1, headings=("Your roof",))
    first, second = joined(price, other, offer)
    assert first.chunk.text == "we offer a roof. It is of slate.\n\nPrice: 6,180 pounds."
    assert (first.score, first.dense_score, first.lexical_score) == (0.9, 0.9, 1.8)
    assert first.chunk.id == price.chunk.id
    # It begins where the first part begins: on its page and under its headings.
    assert (first.chunk.page, first.chunk.headings) == (1, ("Your roof",))
    assert second == other


def test_a_hit_takes_in_neighbours_of_its_neighbours_on_both_sides():
    parts = ["Price: 6,180 pounds.", "Best wishes", "It is of slate.", "we offer a roof."]
    hits = [hit(LETTER, part, 0.9 - n / 10) for n, part in enumerate(parts)]
    (only,) = joined(*hits)
    assert only.chunk.text == LETTER.removeprefix("Dear Ruth,\n\n")


def test_hits_with_text_between_them_stay_apart():
    hits = [hit(LETTER, "Dear Ruth,"), hit(LETTER, "It is of slate."), hit(LETTER, "Best wishes")]
    assert joined(*hits) == hits


def test_overlapping_hits_are_one():
    hits = [hit(LETTER, "we offer a roof. It is"), hit(LETTER, "It is of slate.")]
    assert texts_of(joined(*hits)) == ["we offer a roof. It is of slate."]


@pytest.mark.parametrize("letter", ["a", "ü", "字"])
def test_a_joined_passage_is_no_longer_than_the_longest_of_one_piece(letter):
    size = MOST_JOINED // len(letter.encode()) // 2
    for length, number in ((size - 2, 1), (size + 1, 2)):
        text = f"{letter * length}\n\n{letter.upper() * length}"
        one = Chunk("1", "letter", text[:length], 0, length, None, (), {})
        two = Chunk("2", "letter", text[length + 2 :], length + 2, len(text), None, (), {})
        assert len(joined(Hit(one, 0.9), Hit(two, 0.8), letter=text)) == number


def test_what_is_not_in_the_stored_text_is_not_joined():
    changed = hit(LETTER, "It is of slate.")
    changed = replace(changed, chunk=replace(changed.chunk, text="It is of straw."))
    hits = [hit(LETTER, "we offer a roof."), changed]
    assert joining(lambda _: DocumentVersion(LETTER)).joined(hits, 10) == hits
    backwards = hits[::-1]
    assert joining(lambda _: DocumentVersion(LETTER)).joined(backwards, 10) == backwards
    assert joining(lambda _: None).joined(hits, 10) == hits


def test_only_sources_of_all_parts_have_copies():
    offer, price = hit(LETTER, "It is of slate."), hit(LETTER, "Price: 6,180 pounds.")
    offer, price = replace(offer, copies=("a", "b")), replace(price, copies=("b", "c"))
    assert joined(offer, price)[0].copies == ("b",)


def test_texts_are_read_only_where_hits_may_be_neighbours():
    far = "one " * 10 + "." * 100 + " two"
    hits = [hit(far, "one "), hit(far, " two"), hit(OTHER, OTHER, document="other")]
    assert joining(lambda _: pytest.fail("a text was read")).joined(hits, 10) == hits


def test_the_end_of_a_very_long_text_is_not_unpacked(monkeypatch):
    text = "one two. three four."
    parts = hit(text, "one two."), hit(text, "three four.")
    assert len(joined(*parts, letter=text)) == 1
    monkeypatch.setattr("kvasir.answering.joining._FARTHEST", 10)
    assert len(joined(*parts, letter=text)) == 2


@pytest.mark.parametrize(("score", "reason"), [(0.7, "rank"), (0.95, "document")])
def test_what_the_wider_search_left_out_below_the_hits_is_left_out_by_its_rank(score, reason):
    left = LeftOutPassage("x", "letter", "letter.txt", None, 0, 4, score)
    wider = LeftOut(LeftOutReason.DOCUMENT, 2, (left,))
    left_out = {LeftOutReason.DOCUMENT: wider}
    _count_by_rank(left_out, [hit(OTHER, OTHER, 0.9, "other"), hit(LETTER, "Dear", 0.8)])
    assert {each.value: found.count for each, found in left_out.items()} == {reason: 2}


def test_one_document_has_at_most_half_of_the_hits():
    lines = [f"Line {number}." for number in range(30)]
    text = " - ".join(lines)
    hits = [hit(text, line) for line in lines[:13]] + [hit(OTHER, OTHER, 0.4, "other")]
    found = joined(*hits, letter=text)
    assert (len(found), found[-1]) == (10, hits[-1])


def test_further_hits_are_as_many_as_there_are_candidates():
    def widened(top_k, candidates=CANDIDATES):
        return joining(lambda _: None, candidates).widened(SearchRequest("x", top_k)).top_k

    assert widened(3) == 3 + READ_FURTHER
    assert widened(3, 5) == 5
    for top_k in (0, CANDIDATES, CANDIDATES + 1):  # A wrong number is refused as it is.
        assert widened(top_k) == top_k


def test_without_candidates_nothing_is_joined():
    hits = [hit(LETTER, "It is of slate."), hit(LETTER, "Price: 6,180 pounds.")]
    off = joining(lambda _: pytest.fail("a text was read"), 0)
    assert off.widened(SearchRequest("x", 3)) == SearchRequest("x", 3)
    assert off.joined(hits, 10) == hits


@pytest.mark.parametrize("top_k", [1, 3, 10])
def test_the_explanation_is_of_the_joined_hits_and_counts_all_candidates(top_k):
    sentences = [f"The wolf of chapter {number} sleeps." for number in range(4)]
    text = "\n\n".join(sentences)
    far = [f"A wolf was seen at place {number}.{' -' * number}" for number in range(20)]
    texts = {"book": text, "log": " ... ".join(far)}
    chunks = [hit(text, each, document="book").chunk for each in sentences]
    chunks += [hit(texts["log"], each, document="log").chunk for each in far]
    embedder, store = FakeEmbedder(64), MemoryStore(64, Bm25Analyzer())
    store.upsert(chunks, embedder.embed_documents([chunk.passage for chunk in chunks]))
    retriever = Retriever(embedder, store, languages=["en"])
    request = SearchRequest("Which wolf sleeps in the chapter?", top_k)
    joins = joining(lambda each: DocumentVersion(texts[each]))
    found = retriever.explain(joins.widened(request))
    explained, hits = joins.explained(found, top_k), joins.joined(found.hits, top_k)
    why = explained.explanation
    assert list(explained.hits) == hits
    assert [each.chunk_id for each in why.hits] == [each.chunk.id for each in hits]
    assert hits[0].chunk.text == text
    counts = {each.reason: each.count for each in why.left_out}
    assert counts[LeftOutReason.JOINED] == 3
    assert why.candidates == len(hits) + sum(counts.values())
    assert why.top_k == top_k
