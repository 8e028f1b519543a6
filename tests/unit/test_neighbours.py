"""A passage that was cut in a list, in code or after a colon is read on in its document."""

import pytest

from kvasir.answering.answers import Answerer
from kvasir.answering.neighbours import MOST_AFTER, read_on
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.core.ledger import DocumentVersion
from kvasir.core.types import Chunk, Hit, SearchRequest
from kvasir.testing.fakes import FakeEmbedder


def extended(document, passage, headings=()):
    """Return the passage as it is read on in its document."""
    start = document.index(passage)
    chunk = Chunk("c", "d", passage, start, start + len(passage), None, headings, {})
    (hit,) = read_on([Hit(chunk, 1.0)], lambda _: DocumentVersion(document))
    assert document[hit.chunk.start : hit.chunk.end] == hit.chunk.text
    return hit.chunk.text


STEPS = (
    "Change the filter as follows:\n\n1. Open the door.\n2. Take out the filter.\n\n"
    "   ```\n   reset --filter\n   ```\n\n3. Close the door."
)
MANUAL = f"# Printer\n\nIt is grey.\n\n{STEPS}\n\nThe guarantee is two years."


def test_a_short_section_is_read_from_its_heading_on_where_steps_are_asked_for():
    text = "# Tap\n\n## Fitting it\n\n1. Close it.\n2. Screw it in.\n\nIt drips no more."
    chunk = Chunk("c", "d", "It drips no more.", text.index("It"), len(text), None, ("Fitting it",))
    versions = {"d": DocumentVersion(text)}.get
    (hit,) = read_on([Hit(chunk, 1.0)], versions, from_heading=True)
    assert hit.chunk.text == "1. Close it.\n2. Screw it in.\n\nIt drips no more."
    assert hit.chunk.start == text.index("1. Close")
    assert read_on([Hit(chunk, 1.0)], versions)[0].chunk == chunk
    long = text.replace("Close it.", "Close it. " * 200)
    chunk = Chunk(
        "c", "d", "It drips no more.", long.index("It d"), len(long), None, ("Fitting it",)
    )
    (hit,) = read_on([Hit(chunk, 1.0)], {"d": DocumentVersion(long)}.get, from_heading=True)
    assert hit.chunk == chunk


def test_a_list_is_read_to_its_end():
    assert extended(MANUAL, "Change the filter as follows:\n\n1. Open the door.") == STEPS


def test_a_list_is_read_from_its_beginning():
    assert extended(MANUAL, "3. Close the door.") == STEPS


def test_what_a_colon_announces_is_read():
    assert extended(MANUAL, "Change the filter as follows:") == STEPS
    text = "Type this:\n\n```\nkvasir ask\n```\n\nIt answers.\n"
    assert extended(text, "Type this:") == "Type this:\n\n```\nkvasir ask\n```"
    assert extended("We sell:\n\nHoney of bees.\n\nGo home.", "We sell:") == (
        "We sell:\n\nHoney of bees."
    )


def test_code_is_read_to_its_end():
    text = "Type:\n\n```\none\n\ntwo\nthree\n```\n\nDone."
    assert extended(text, "Type:\n\n```\none") == text.removesuffix("\n\nDone.")


def test_a_heading_is_read_with_the_paragraph_under_it():
    text = "Care of the filter\n\nRinse it. Let it dry.\n\nNever heat it."
    assert extended(text, "Care of the filter") == "Care of the filter\n\nRinse it. Let it dry."


def test_a_table_is_read_to_its_end():
    table = "| a | b |\n| - | - |\n| 1 | 2 |\n| 3 | 4 |\n"
    assert extended(f"Text.\n\n{table}\nMore.", "| a | b |\n| - | - |\n| 1 | 2 |") == table
    rows = "".join(f"| row number {number} |\n" for number in range(1000))
    text = extended(rows, "| row number 0 |")
    assert text.endswith("|")
    assert len(text) < MOST_AFTER + 50


@pytest.mark.parametrize("passage", ["It is grey.", "The guarantee is two years.", STEPS])
def test_what_can_be_read_alone_stays(passage):
    assert extended(MANUAL, passage) == passage


def test_a_long_list_is_read_as_far_as_an_answer_may_use_it():
    items = "\n".join(f"- item number {number} of the list" for number in range(1000))
    text = extended(f"We sell:\n\n{items}", "We sell:")
    assert MOST_AFTER - 50 < len(text) < MOST_AFTER + 50
    assert text.endswith(" of the list")


def test_a_passage_that_its_document_no_longer_holds_stays():
    chunk = Chunk("c", "d", "We sell:", 0, 8, None, (), {})
    for found in (None, DocumentVersion("It has changed:\n\n- since")):
        assert read_on([Hit(chunk, 1.0)], lambda _, found=found: found)[0].chunk == chunk


def test_only_the_best_hits_are_read_on():
    read = []

    def find(document):
        read.append(document)

    chunks = [Chunk(f"c{n}", f"d{n}", "We sell it.", 0, 11, None, (), {}) for n in range(9)]
    assert read_on([Hit(chunk, 1.0) for chunk in chunks], find)[8].chunk == chunks[8]
    assert read == ["d0", "d1", "d2"]


def test_further_hits_with_a_part_of_a_list_are_read_on():
    read = []
    chunks = [Chunk(f"c{n}", f"d{n}", "We sell:", 0, 8, None, (), {}) for n in range(9)]
    read_on([Hit(chunk, 1.0) for chunk in chunks], read.append)
    assert read == [f"d{n}" for n in range(8)]


def test_a_list_goes_on_after_a_paragraph_of_one_of_its_items():
    text = "We sell:\n\n- tea\n\nIt is green.\n\nAsk us.\n- soap\n- salt\n\nGoodbye.\n\n- end"
    for piece in ("We sell:", "We sell:\n\n- tea", "- soap\n- salt"):
        start = text.index(piece)
        chunk = Chunk("c", "d", piece, start, start + len(piece), None, (), {})
        (hit,) = read_on([Hit(chunk, 1.0)], {"d": DocumentVersion(text)}.get)
        assert hit.chunk.text == text[: text.index("\n\nGoodbye")], piece


def test_a_list_is_read_after_the_sentence_that_it_follows():
    text = "There are two cases.\n\n- The first.\n- The second.\n\nGo on."
    assert extended(text, "There are two cases.") == text.removesuffix("\n\nGo on.")


def test_an_answer_quotes_the_whole_list_and_cites_it_in_the_document():
    passage = "Change the filter as follows:\n\n1. Open the door."
    start = MANUAL.index(passage)
    metadata = {"language": "en", "source_uri": "/manual.md"}
    chunk = Chunk("c", "d", passage, start, start + len(passage), None, (), metadata)

    class Finds:
        def retrieve(self, request):
            return [Hit(chunk, 1.0, 0.9, 1.0)]

    analyzer = Bm25Analyzer()
    answer = Answerer(
        Finds(),
        ExtractiveGenerator(FakeEmbedder(), analyzer),
        analyzer=analyzer,
        refuse=False,
        find_version={"d": DocumentVersion(MANUAL)}.get,
    ).ask(SearchRequest("How do I change the filter?"))
    assert answer.text == f"{STEPS}\n[1]"
    (citation,) = answer.citations
    assert MANUAL[citation.start : citation.end] == citation.quote == STEPS
    assert [hit.chunk for hit in answer.hits] == [chunk]
