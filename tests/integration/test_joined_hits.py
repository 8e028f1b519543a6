"""Passages that stand side by side come as one hit of a search and of an answer."""

from contextlib import contextmanager

import pytest

import kvasir
from kvasir.core.types import Source

STEPS = [f"Step {number}: turn the blue wheel of the pump {number} times." for number in range(4)]
MANUAL = ["The pump is grey.", *STEPS, "The guarantee is two years.", "Pumps are heavy."]


@pytest.fixture
def filled(tmp_path):
    @contextmanager
    def filled(**splitter):
        with kvasir.open(
            None,
            data_dir=str(tmp_path / "data"),
            rag__embedding_model__type="kvasir.testing.fakes:FakeEmbedder",
            **{f"rag__splitter__{key}": value for key, value in splitter.items()},
        ) as kb:
            kb.ingest(
                (Source("upload:manual", "text/plain"), "\n\n".join(MANUAL).encode()),
                (Source("upload:other", "text/plain"), b"A wheel of cheese."),
            )
            yield kb

    return filled


@pytest.fixture
def kb(filled):
    with filled(options={"target_tokens": 4, "max_tokens": 32}) as kb:
        assert kb.chunk_count() > len(STEPS)
        yield kb


def test_a_search_and_its_explanation_have_the_steps_as_one_hit(kb):
    text = kb.text("upload:manual")
    for top_k in (1, 10):
        first, *others = kb.search("turn the blue wheel of the pump", top_k=top_k)
        assert all(step in first.chunk.text for step in STEPS)
        assert text[first.chunk.start : first.chunk.end] == first.chunk.text
        assert all(other.chunk.document_id != first.chunk.document_id for other in others)
        explained = kb.explain("turn the blue wheel of the pump", top_k=top_k)
        assert list(explained.hits) == [first, *others]


def test_an_answer_cites_the_joined_passage_at_its_place(kb):
    answer = kb.ask("How often must one turn the blue wheel of the pump in step 2?")
    text = kb.text("upload:manual")
    assert answer.citations
    for citation in answer.citations:
        assert text[citation.start : citation.end] == citation.quote
    assert STEPS[2] in answer.hits[0].chunk.text


def test_passages_of_a_length_that_is_asked_for_stay_apart(filled):
    with filled(split_by="line", split_length=1) as kb:
        hits = kb.search("turn the blue wheel of the pump")
        assert {hit.chunk.text.strip() for hit in hits} >= set(STEPS)
        assert list(kb.explain("turn the blue wheel of the pump").hits) == hits
    # The collection remembers it, whatever the settings of a later search are.
    with filled() as kb:
        assert kb.search("turn the blue wheel of the pump") == hits
