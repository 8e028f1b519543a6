"""Refining: a language model rewrites the question for the search.

Either every question, or only one that found too little as it was typed, which saves the cost of
asking the model. The model sees the last turns of the conversation too: they say what "it" means.

Source: the InstructLab proposal "Ingesting and Utilizing RAG Artifacts", 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

from kvasir.answering.prompts import PromptBuilder, prompt_room, refinement_messages
from kvasir.core import protocols
from kvasir.core.deadline import iterate_within_deadline
from kvasir.core.errors import DeadlineExceededError, KvasirError, SettingsError
from kvasir.core.protocols import QuotesOnly
from kvasir.core.templates import DEFAULT_REFINEMENT_PROMPT
from kvasir.core.types import Hit, Message, SearchRequest, Stage

PLAIN = "{{context}}{{question}}"
"""A prompt without retrieval: the context is empty."""

_ANSWER_TOKENS = 256
"""Kept free for a refined question, which is short whatever an answer may be."""
_LONGEST = 1000
"""Characters of a refined question."""
_TURNS = 4
"""Earlier messages that the refining model sees."""
_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)
_LABEL = re.compile(r"^(?:refined )?query\s*:\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search with or without refining found.

    Attributes:
        hits: The hits, best first.
        searched: What was searched for, where that is not the question as typed.
        notes: Sentences for the user.
    """

    hits: tuple[Hit, ...]
    searched: str = ""
    notes: tuple[str, ...] = ()


class Refiner:
    """Rewrites questions for the search."""

    def __init__(
        self,
        generator: protocols.Generator,
        *,
        prompt: str = DEFAULT_REFINEMENT_PROMPT,
        below: float | None = None,
    ) -> None:
        """Check the prompt.

        Args:
            generator: The language model.
            prompt: What asks for it, with ``{{user_query}}``.
            below: Refine only when no chunk for the question as typed reaches this
                ``dense_score``; None refines every question.

        Raises:
            SettingsError: The prompt lacks its placeholder.
            SettingsError: The generator has no language model.
        """
        if isinstance(generator, QuotesOnly):
            raise SettingsError(
                "refining a question needs a language model: set generator.type or "
                "chat.rag.context_refinement.generator, or chat.rag.context_refinement.enabled to "
                "false"
            )
        refinement_messages("", prompt)
        self._generator = generator
        self._prompt = prompt
        self._below = below

    def search(
        self,
        request: SearchRequest,
        history: Sequence[Message],
        retrieve: Callable[[SearchRequest], list[Hit]],
    ) -> Generator[Stage, None, SearchResult]:
        """Search for a question, refined where that is due.

        When refining fails, the question is searched for as typed, with a note.

        Args:
            request: The question as typed, and what limits the search.
            history: The conversation.
            retrieve: Searches.

        Yields:
            The stages ``refining`` and ``searching``.

        Returns:
            What was found.
        """
        hits: tuple[Hit, ...] = ()
        if self._below is not None:
            hits = tuple(retrieve(request))
            if any((hit.dense_score or 0.0) >= self._below for hit in hits):
                return SearchResult(hits)
        yield Stage("refining")
        refined, notes = request.query, tuple[str, ...]()
        try:
            refined = self.refine(request.query, history)
        except DeadlineExceededError:
            raise
        except KvasirError as error:
            notes = (f"the question was searched for as typed, not refined: {error}",)
        is_new = refined != request.query
        if is_new or self._below is None:
            yield Stage("searching")
            hits = tuple(retrieve(replace(request, query=refined))) or hits
        return SearchResult(hits, refined if is_new else "", notes)

    def refine(self, question: str, history: Sequence[Message] = ()) -> str:
        """Return what to search for; the question itself when the model returns nothing.

        Args:
            question: As typed.
            history: The conversation; its last turns tell what the question refers to.

        Raises:
            ComponentError: The model cannot be reached or failed.
            SettingsError: The server refuses the key.
            ModelNotFoundError: It does not have the model.
        """
        (asked,) = refinement_messages(question, self._prompt)
        recent = list(history)[-_TURNS:]
        room = prompt_room(self._generator, _ANSWER_TOKENS)
        prompt = PromptBuilder(PLAIN, system="").build(asked.content, (), history=recent, room=room)
        written = iterate_within_deadline(self._generator.generate(prompt), "refining")
        return _one_query("".join(written)) or question


def _one_query(text: str) -> str:
    """Take a query out of what a model wrote: no thoughts, label, quotation marks, lines."""
    lines = [line.strip() for line in _THINKING.sub("", text).splitlines()]
    kept = " ".join(line for line in lines if line)
    return _LABEL.sub("", kept).strip("\"'“”` ")[:_LONGEST]
