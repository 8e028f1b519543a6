"""The words of a question in a passage, in every inflection that a search finds."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.matches import MatchFinder


@pytest.fixture(scope="module")
def analyzer():
    return Bm25Analyzer()


@pytest.mark.parametrize(
    ("language", "question", "text", "matching"),
    [
        ("en", "How are craters formed?", "The crater's rim formed; forms of it.", 3),
        ("es", "¿Qué dicen los informes?", "El informe dice que hay informes.", ["informe"]),
        ("de", "Wie hoch sind die Häuser?", "Das Haus ist ein hohes Gebäude.", ["Haus"]),
        ("zh", "月亮离地球多远？", "月亮围绕地球运行。", ["月亮", "地球"]),
        ("zh", "Kvasir 的索引在哪里？", "Kvasir把索引写在磁盘上。", ["Kvasir", "索引"]),
        ("en", "What is the Sun?", "The Sun is a star. Sunday is not.", ["Sun"]),
        ("und", "termid", "Termid 3", ["Termid"]),
    ],
)
def test_words_of_the_question_are_found(analyzer, language, question, text, matching):
    spans = MatchFinder(analyzer, question).spans(text, language)
    found = [text[start:end] for start, end in spans]
    if isinstance(matching, int):
        assert len(found) == matching
    else:
        assert set(matching) <= set(found)
    assert spans == sorted(spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_stop_words_and_other_words_do_not_match(analyzer):
    text = "The tea is hot, and it is green."
    assert MatchFinder(analyzer, "What is the Moon?").spans(text, "en") == []
