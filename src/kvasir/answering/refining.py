"""Let a language model rewrite a question for the search.

Every question, or only one that finds too little as typed, which saves time. The model also reads
the last turns of the conversation, which show what "it" refers to. Source: the InstructLab proposal
"Ingesting and Utilizing RAG Artifacts", 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import KW_ONLY, dataclass, replace

from kvasir.answering.prompts import (
    PLAIN,
    PromptBuilder,
    prompt_counter,
    prompt_room,
    refinement_messages,
)
from kvasir.answering.search_result import SearchResult
from kvasir.answering.thoughts import whole, written
from kvasir.core import protocols
from kvasir.core.errors import DeadlineExceededError, KvasirError, SettingsError
from kvasir.core.protocols import QuotesOnly
from kvasir.core.templates import DEFAULT_REFINEMENT_PROMPT
from kvasir.core.types import Hit, Message, SearchRequest, Stage

_ANSWER_TOKENS = 256
"""Tokens reserved for the refined question."""
_LONGEST = 1000
"""Most characters of a refined question."""
_TURNS = 4
"""Number of earlier messages that the model reads."""
_LABEL = re.compile(r"^(?:refined )?query\s*:\s*", re.IGNORECASE)


@dataclass
class Refiner:
    """Rewrites questions for the search.

    Raises ``SettingsError`` if the prompt lacks its placeholder, or the generator has no model.

    Attributes:
        prompt: Asks for the refined question, with ``{{user_query}}``.
        below: Refine only if no chunk for the question as typed reaches this ``dense_score``;
            None refines every question.
    """

    generator: protocols.Generator
    _: KW_ONLY
    prompt: str = DEFAULT_REFINEMENT_PROMPT
    below: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.generator, QuotesOnly):
            raise SettingsError(
                "refining a question needs a language model: set generator.type or "
                "chat.rag.context_refinement.generator, or chat.rag.context_refinement.enabled to "
                "false"
            )
        refinement_messages("", self.prompt)

    def search(
        self,
        request: SearchRequest,
        history: Sequence[Message],
        retrieve: Callable[[SearchRequest], list[Hit]],
    ) -> Generator[Stage, None, SearchResult]:
        """Refine a question if necessary and search for it; yields the stages.

        If refinement fails, the question is searched for as typed, with a note.
        """
        hits: tuple[Hit, ...] = ()
        if self.below is not None:
            hits = tuple(retrieve(request))
            if any((hit.dense_score or 0.0) >= self.below for hit in hits):
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
        if is_new or self.below is None:
            yield Stage("searching")
            hits = tuple(retrieve(replace(request, query=refined))) or hits
        return SearchResult(hits, refined if is_new else "", notes)

    def refine(self, question: str, history: Sequence[Message] = ()) -> str:
        """Return the refined question, or the question itself if the model returns nothing."""
        (asked,) = refinement_messages(question, self.prompt)
        recent = list(history)[-_TURNS:]
        room = prompt_room(self.generator, _ANSWER_TOKENS)
        count = prompt_counter(self.generator)
        builder = PromptBuilder(PLAIN, system="")
        prompt = builder.build(asked.content, (), history=recent, room=room, count=count)
        return _one_query(whole(written(self.generator, prompt, "refining"))) or question


def _one_query(text: str) -> str:
    """Remove label, quotation marks and line breaks from a model's reply."""
    lines = [line.strip() for line in text.splitlines()]
    kept = " ".join(line for line in lines if line)
    return _LABEL.sub("", kept).strip("\"'“”` ")[:_LONGEST]
