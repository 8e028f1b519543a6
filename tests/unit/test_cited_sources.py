"""Where the markers of an answer stand, and the list of its sources."""

import pytest

from kvasir.core.types import Answer, Chunk, Citation, Hit
from kvasir.frontends.api.sources import cited_sources, markdown_list

BASE = "https://kb.example.org/"


def hit(number, text, title="", page=None):
    document = f"d{number}"
    metadata = {"title": title, "source_uri": f"upload:ana/{document}.pdf"}
    return Hit(Chunk(f"c{number}", document, text, 0, len(text), page, (), metadata), 1.0)


def citation(marker, quote="quote", page=None):
    document = f"d{marker}"
    return Citation(marker, document, f"upload:ana/{document}.pdf", page, quote, 3, 8, "hash")


def places(text, *markers, hits=()):
    answer = Answer(text, tuple(citation(marker) for marker in markers), tuple(hits))
    return [(each.start, text[each.start : each.end]) for each in cited_sources(answer, "c", BASE)]


def test_each_citation_stands_at_its_own_marker():
    text = "One. [1] Two. [2][1] Three."
    assert places(text, 1, 2, 1) == [(5, "[1]"), (14, "[2]"), (17, "[1]")]


def test_a_bracketed_number_of_a_quoted_document_is_no_marker():
    text = "So in C, the array a[1] holds tea. [1]"
    hits = [hit(1, "In C, the array a[1] holds tea.")]
    assert places(text, 1, hits=hits) == [(35, "[1]")]


def test_a_number_that_no_citation_has_is_no_marker():
    assert places("See item [7] of the list. [2]", 2) == [(26, "[2]")]


@pytest.mark.parametrize("text", ["", "No marker.", "[1] one too many [1]"])
def test_every_citation_has_a_place_even_if_the_text_and_the_citations_differ(text):
    assert len(places(text, 1)) == 1


def test_the_list_names_each_source_once_with_title_page_and_address():
    answer = Answer(
        "One. [1] Two. [2] Three. [1]",
        (citation(1, page=3), citation(2), citation(1, page=3)),
        (hit(1, "one", "A [bold] *title*\n`x`", 3), hit(2, "two")),
    )
    shown = markdown_list(cited_sources(answer, "my papers", BASE))
    address = "https://kb.example.org/read/my%20papers"
    assert shown == (
        "\n\n"
        rf"- [1] [A \[bold\] \*title\* \`x\`, p. 3]({address}/d1?start=3&end=8)"
        "\n"
        f"- [2] [d2.pdf]({address}/d2?start=3&end=8)"
    )


def test_an_answer_without_citations_has_no_list():
    assert markdown_list(cited_sources(Answer("No."), "c", BASE)) == ""
