"""The contract of every generator: subclass it and override one fixture.

    class TestMyGenerator(GeneratorContract):
        @pytest.fixture
        def generator(self):
            return MyGenerator(...)

The prompt of the suite asks a question that its two sources answer; a generator of any kind,
also a small language model, must be able to answer it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kvasir.answering.citations import CitationChecker
from kvasir.answering.prompts import PromptBuilder
from kvasir.core.protocols import BoundedContext, Generator
from kvasir.core.types import Chunk, Hit, Prompt, chunk_id, document_id

QUESTION = "What is the mead of poetry made of?"
TEXTS = (
    "The mead of poetry is made of honey and the blood of Kvasir. Two dwarfs brewed it.",
    "Suttungr hid the mead in the mountain Hnitbjörg. His daughter Gunnlöð watched over it.",
)


def make_prompt(question: str = QUESTION, texts: tuple[str, ...] = TEXTS) -> Prompt:
    """Return a prompt with one hit per text, each from another English document."""
    hits = []
    for number, text in enumerate(texts):
        document = document_id(f"/contract/{number}.md")
        identity = chunk_id(document, text, 0, len(text))
        metadata = {"language": "en", "source_uri": f"/contract/{number}.md"}
        chunk = Chunk(identity, document, text, 0, len(text), metadata=metadata)
        score = 1.0 - number / 10
        hits.append(Hit(chunk, score, score, score))
    return PromptBuilder().build(question, hits)


class GeneratorContract:
    """What holds for every generator."""

    @pytest.fixture
    def generator(self) -> Generator:
        raise NotImplementedError("override the fixture 'generator'")

    @pytest.fixture
    def prompt(self) -> Prompt:
        """Return a question with two sources, the first of which answers it."""
        return make_prompt()

    def test_an_answer_is_text_in_pieces(self, generator: Generator, prompt: Prompt) -> None:
        pieces = list(generator.generate(prompt))
        assert all(isinstance(piece, str) for piece in pieces)
        assert "".join(pieces).strip()

    def test_generate_returns_an_iterator(self, generator: Generator, prompt: Prompt) -> None:
        assert isinstance(generator.generate(prompt), Iterator)

    def test_the_answer_cites_a_supporting_source(
        self, generator: Generator, prompt: Prompt
    ) -> None:
        checker = CitationChecker(prompt.question, prompt.hits)
        for piece in generator.generate(prompt):
            checker.feed(piece)
        checker.finish()
        assert checker.citations
        for citation in checker.citations:
            text = prompt.hits[citation.marker - 1].chunk.text
            assert text[citation.start : citation.end] == citation.quote

    def test_letters_of_any_script_come_through(self, generator: Generator, prompt: Prompt) -> None:
        text = "".join(generator.generate(prompt))
        assert "\ufffd" not in text
        assert not re.search(r"\\u[0-9a-f]{4}", text)

    def test_an_answer_may_be_stopped(self, generator: Generator, prompt: Prompt) -> None:
        pieces = generator.generate(prompt)
        next(pieces)
        del pieces
        assert "".join(generator.generate(prompt)).strip()

    def test_several_answers_at_once_do_not_mix(self, generator: Generator, prompt: Prompt) -> None:

        def answer(_: int) -> str:
            return "".join(generator.generate(prompt))

        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(answer, range(8)))
        assert all(answer.strip() for answer in answers)

    def test_a_context_length_is_a_positive_number(self, generator: Generator) -> None:
        if isinstance(generator, BoundedContext):
            tokens = generator.context_tokens()
            assert tokens is None or tokens > 0

    def test_a_generator_with_a_context_length_gives_answer_tokens(
        self, generator: Generator
    ) -> None:
        if hasattr(generator, "context_tokens"):
            assert isinstance(generator, BoundedContext)
            assert generator.answer_tokens > 0
