"""The cards of an answer: one a passage, and none twice."""

from dataclasses import replace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from kvasir.frontends.ui import elements
from kvasir.frontends.ui.sources import count_passages
from kvasir.frontends.ui.turns import Source, nearest_of

SOURCE = Source(1, "d1", "Tea", "Green tea.", 10, 20, None, None, ("Brewing",), "")


CARDS = """
from kvasir.frontends.ui.sources import show_sources
from kvasir.frontends.ui.turns import Source

sources = [
    Source(marker, "d1", "Tea", f"Sentence {start}.", start, start + 9, None, None, (), "")
    for marker, start in [(1, 30), (2, 90), (1, 10), (1, 10), (1, 50)]
]
show_sources(None, "tea", "a1", sources, "Sources")
"""


def test_the_quotes_of_one_passage_are_on_one_card():
    page = AppTest.from_string(CARDS).run()
    assert not page.exception
    assert [each.label for each in page.button] == ["Open source 1", "Open source 2"]
    shown = [each.value.replace("\\", "") for each in page.markdown]
    assert shown == [
        "**[1] Tea**",
        *(f"> Sentence {start}." for start in (10, 30, 50)),
        "**[2] Tea**",
        "> Sentence 90.",
    ]


def test_sources_are_counted_as_their_cards():
    own = [SOURCE, replace(SOURCE, start=15), replace(SOURCE, marker=3)]
    assert count_passages(own) == 2


@pytest.mark.parametrize(
    ("marked", "shown"),
    [
        ([(0, 3)], "a <mark>one</mark> two three z"),
        ([(8, 13), (0, 3)], "a <mark>one</mark> two <mark>three</mark> z"),
        ([(0, 5), (4, 7)], "a <mark>one t</mark><mark>wo</mark> three z"),
    ],
)
def test_each_quote_of_a_passage_is_marked(monkeypatch, marked, shown):
    drawn = []
    monkeypatch.setattr(st, "html", drawn.append)
    elements.passage("a ", "one two three", " z", marked)
    assert drawn == [f'<div class="kvasir-passage">{shown}</div>']


def hit(document, quote, *headings, page=None, title="Tea"):
    metadata = {"title": title}
    chunk = {"document_id": document, "text": quote, "start": 0, "end": 9, "page": page}
    chunk |= {"headings": headings, "metadata": metadata}
    return {"chunk": chunk, "line": None, "box": None}


def quotes(*hits):
    return [each.quote for each in nearest_of({"hits": hits})]


def test_the_nearest_passages_name_no_place_twice():
    hits = [
        hit("d1", "one", "Brewing"),
        hit("d1", "two", "Brewing"),
        hit("d2", "one", "Brewing"),
        hit("d1", "three", "Brewing", page=2),
        hit("d2", "four", "Mate"),
        hit("d2", "five", "Chai"),
    ]
    assert quotes(*hits) == ["one", "three", "four"]
    assert [each.marker for each in nearest_of({"hits": hits})] == [1, 2, 3]


def test_passages_without_a_place_are_apart_by_their_words():
    assert quotes(hit("d1", "one"), hit("d1", "two"), hit("d1", "one")) == ["one", "two"]
