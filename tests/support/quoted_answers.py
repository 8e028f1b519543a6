"""Checked answers of the extractive generator from passages that a test writes."""

from __future__ import annotations

from kvasir.answering.citations import CitationChecker
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.generators.extractive import ExtractiveGenerator
from kvasir.core.types import Chunk, Hit, Prompt
from kvasir.testing.fakes import FakeEmbedder

ANALYZER = Bm25Analyzer()


def hit(text, number=0, score=1.0, headings=(), language="en"):
    """Return a passage of a document of its own."""
    metadata = {"language": language}
    end = 5 + len(text)
    chunk = Chunk(f"c{number}", f"d{number}", text, 5, end, None, headings, metadata)
    return Hit(chunk, score, score, score)


def answer(question, *hits, **options):
    """Return the checked answer; every marker must stay, and every quote be its chunk's."""
    generator = ExtractiveGenerator(FakeEmbedder(), ANALYZER, **options)
    checker = CitationChecker(question, hits, ANALYZER)
    pieces = [checker.feed(piece) for piece in generator.generate(Prompt(question, hits, ()))]
    text = "".join(pieces) + checker.finish()
    assert checker.removed == 0
    for citation in checker.citations:
        chunk = hits[citation.marker - 1].chunk
        assert chunk.text[citation.start - 5 : citation.end - 5] == citation.quote
    return text
