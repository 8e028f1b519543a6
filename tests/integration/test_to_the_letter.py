"""Extractive answers consist of the documents' text; ``bench/to_the_letter.py`` asks 14,280."""

from pathlib import Path

import pytest
from quoted_text import changed_pieces, xquad_hits

from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.core.types import Chunk, Hit, Prompt
from kvasir.evaluation.datasets import load_dataset
from kvasir.testing.fakes import FakeEmbedder

DATA = Path(__file__).parents[3] / "shared" / "data" / "retrieval"
GENERATOR = ExtractiveGenerator(FakeEmbedder(), Bm25Analyzer())
TRICKY = [
    "am 3. Mai 2024 im 2. Stock - 12 Grad; C++ und C#, -x und --foo.",
    "1. Open the door.\n2. Press FEED [2] twice.\n   $ rm -r a\n3. Wait.",
    "* a\n* b: c\n\n| a | b [1] |\n| - | - |\n| x\\|y | -3 |\n\n```\nfoo  bar\n```\n\nEnd of - it.",
    "Die Werte: \n\n- -5 °C\n- +3 °C\n- 2. Gang\n\n…\n\n“Quoted,” he said… and went.",
]


def answered(question, hits):
    return list(GENERATOR.generate(Prompt(question, tuple(hits), ())))


@pytest.mark.parametrize("language", ["en", "es", "vi", "zh"])
def test_answers_on_xquad_are_quoted_to_the_letter(language):
    folder = DATA / f"xquad-{language}"
    if not folder.is_dir():
        pytest.skip("no XQuAD here")
    for number, (question, hits) in enumerate(xquad_hits(load_dataset(folder))):
        if number % 24 == 0:
            assert changed_pieces(answered(question, hits), hits) == []


def test_answers_from_lists_tables_and_code_are_quoted_to_the_letter():
    hits = [
        Hit(Chunk(f"c{n}", f"d{n}", text, 0, len(text), metadata={"language": "de"}), 1.0)
        for n, text in enumerate(TRICKY)
    ]
    questions = [
        "Was ist im 2. Stock?",
        "How do I press FEED?",
        "Which values?",
        "b",
        "x -3",
        "C++",
    ]
    for question in questions:
        for chosen in (hits, *([hit] for hit in hits)):
            assert changed_pieces(answered(question, chosen), chosen) == []


def test_a_changed_letter_is_seen():
    text = "The term is C++ here."
    hits = [Hit(Chunk("c", "d", text, 0, len(text)), 1.0)]
    assert changed_pieces(["The term is C++ here.", " ", "[1]"], hits) == []
    assert changed_pieces(["The term is C+ here.", " ", "[1]"], hits) == ["The term is C+ here."]
