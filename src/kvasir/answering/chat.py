"""One turn of a chat: question, optional refinement, retrieval, prompt, streamed reply.

The caller keeps the conversation and hands it in as plain turns, without contexts, so that what
is stored is what the user typed. A language model decides itself whether the sources answer a
question: in a chat, "thanks" and "shorter, please" are no questions to the documents. A
generator that only quotes is guarded by the calibrated decision, as in ``kvasir ask``.
docs/decisions/0012-chat.md says why.

Source of the pipeline: the InstructLab proposal "Ingesting and Utilizing RAG Artifacts", 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from kvasir.answering.answers import (
    Answerer,
    refusal,
    says_it_does_not_know,
)
from kvasir.answering.citations import CitationChecker, DocumentText
from kvasir.answering.prompts import DEFAULT_PROMPT, SYSTEM_PROMPT, PromptBuilder, prompt_room
from kvasir.answering.refinement import PLAIN, Refiner
from kvasir.answering.retrieval import Retriever
from kvasir.answering.text_stream import TextStream
from kvasir.core.errors import KvasirError, UserError
from kvasir.core.protocols import Generator, QuotesOnly, TextAnalyzer
from kvasir.core.types import Answer, Hit, Message, Prompt, SearchRequest

CHAT_SYSTEM_PROMPT = f"""\
{SYSTEM_PROMPT} Earlier messages tell what a question is about; numbers in earlier answers belong \
to other sources. A greeting, thanks, or a wish to shorten or reword an earlier answer needs no \
source."""

NEEDS_MODEL = (
    "without RAG a chat needs a language model: turn RAG on (/r, or --rag), or set generator.type, "
    "generator.model and generator.base_url"
)

NOTHING_FOUND = (
    "nothing in the documents passed the filters and the score threshold: this reply has no source"
)


@dataclass(frozen=True, slots=True)
class Documents:
    """An open collection.

    Attributes:
        retriever: Finds chunks.
        answerer: Makes an answerer behind a retriever; for generators that only quote, and for
            the confidence in what was found.
        analyzer: The collection's; compares words in citations.
        text: Gives documents' texts, against which quotes are checked.
    """

    retriever: Retriever
    answerer: Callable[[Retriever], Answerer]
    analyzer: TextAnalyzer
    text: DocumentText


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished reply.

    Attributes:
        text: What the assistant says; this is what belongs into the history.
        answer: With RAG, the whole answer; None without.
        searched: What was searched for, where that is not the question as typed.
        notes: Sentences for the user about how the reply came about.
    """

    text: str
    answer: Answer | None = None
    searched: str | None = None
    notes: tuple[str, ...] = ()


class ReplyStream(TextStream[Reply]):
    """A reply in the making: iterate over its text, then read ``reply``.

    Attributes:
        stage: What is being done: ``refining``, ``searching`` or ``writing``.
    """

    def __init__(self, run: Callable[[ReplyStream], Iterator[str | Reply]]) -> None:
        """Args: yields the text in pieces and the whole reply last."""
        self.stage = ""
        super().__init__(run(self))

    @property
    def reply(self) -> Reply:
        """The whole reply; waits for what is still to come.

        Raises:
            UserError: The stream was broken off before its end.
        """
        return self._finish("reply")


class Conversation:
    """Replies to messages, from the documents or from the language model alone."""

    def __init__(
        self,
        generator: Generator,
        documents: Callable[[], Documents],
        *,
        search: SearchRequest | None = None,
        refiner: Refiner | None = None,
        template: str = DEFAULT_PROMPT,
        grounding: str = CHAT_SYSTEM_PROMPT,
    ) -> None:
        """Puts a conversation together; nothing is opened or asked yet.

        Args:
            generator: Writes the replies.
            documents: Opens the collection; called for each question with RAG, so that one
                that was missing or locked is tried again.
            search: What limits the searches; its ``query`` is not used. None: the defaults.
            refiner: Rewrites questions for the search; None leaves them as typed.
            template: The prompt with RAG, with ``{{context}}`` and ``{{question}}``.
            grounding: The system message with RAG; it follows the context's own.

        Raises:
            SettingsError: The template lacks a placeholder.
        """
        PromptBuilder(template)
        self._generator = generator
        self._documents = documents
        self._limits = search or SearchRequest("")
        self._refiner = refiner
        self._template = template
        self._grounding = grounding

    @property
    def has_model(self) -> bool:
        """Whether a language model replies; without one, replies are quotations."""
        return not isinstance(self._generator, QuotesOnly)

    def stream(
        self,
        question: str,
        history: Sequence[Message] = (),
        *,
        rag: bool,
        system: str = "",
    ) -> ReplyStream:
        """Replies piece by piece.

        Args:
            question: The user's message, as typed.
            history: Earlier turns, oldest first, without contexts.
            rag: Reply from the documents.
            system: The system message of the conversation's context.

        Returns:
            A stream; everything happens while it is read, and raises its errors there: no
            collection, a locked one, a language model that cannot be reached.

        Raises:
            UserError: Without RAG and without a language model there is no reply.
        """
        if not rag and not self.has_model:
            raise UserError(NEEDS_MODEL)

        def run(stream: ReplyStream) -> Iterator[str | Reply]:
            if not rag:
                return self._alone(stream, question, history, system)
            if self.has_model:
                return self._grounded(stream, question, history, system)
            return self._quoted(stream, question, history)

        return ReplyStream(run)

    def _alone(
        self, stream: ReplyStream, question: str, history: Sequence[Message], system: str
    ) -> Iterator[str | Reply]:
        stream.stage = "writing"
        prompt = PromptBuilder(PLAIN, system=system).build(
            question, (), history=history, room=prompt_room(self._generator)
        )
        shown: list[str] = []
        for piece in self._generator.generate(prompt):
            shown.append(piece)
            yield piece
        if not "".join(shown).strip():
            raise UserError("the model's reply was empty: ask again, or in other words")
        yield Reply("".join(shown), notes=_forgotten(prompt, history, bool(system)))

    def _grounded(
        self, stream: ReplyStream, question: str, history: Sequence[Message], system: str
    ) -> Iterator[str | Reply]:
        started = perf_counter()
        documents = self._documents()
        search = _Search(documents.retriever, self._refiner, history, stream)
        hits = search.retrieve(replace(self._limits, query=question))
        found = perf_counter()
        stream.stage = "writing"
        system = "\n\n".join(text for text in (system, self._grounding) if text)
        prompt = PromptBuilder(self._template, system=system).build(
            question, hits, history=history, room=prompt_room(self._generator)
        )
        checker = CitationChecker(question, prompt.hits, documents.analyzer, documents.text)
        shown: list[str] = []
        for piece in self._generator.generate(prompt):
            if text := checker.feed(piece):
                shown.append(text)
                yield text
        rest = checker.finish() or ("" if shown else refusal(question, hits))
        if rest:
            shown.append(rest)
            yield rest
        written = perf_counter()
        answer = Answer(
            "".join(shown),
            tuple(checker.citations),
            (*prompt.hits, *(hit for hit in hits if hit not in prompt.hits)),
            says_it_does_not_know("".join(shown), checker.citations),
            documents.answerer(documents.retriever).confidence(question, hits),
            checker.removed,
            {
                "retrieve": found - started,
                "generate": written - found,
                "total": written - started,
            },
        )
        notes = [*search.notes, *_fitted(prompt, hits), *_forgotten(prompt, history, bool(system))]
        if not hits:
            notes.append(NOTHING_FOUND)
        yield Reply(answer.text, answer, search.searched, tuple(notes))

    def _quoted(
        self, stream: ReplyStream, question: str, history: Sequence[Message]
    ) -> Iterator[str | Reply]:
        documents = self._documents()
        search = _Search(documents.retriever, self._refiner, history, stream)
        answers = documents.answerer(search).stream(  # type: ignore[arg-type]
            replace(self._limits, query=question)
        )
        yield from answers
        answer = answers.answer
        yield Reply(answer.text, answer, search.searched, tuple(search.notes))


class _Search:
    """A retriever that refines; made for one question."""

    def __init__(
        self,
        retriever: Retriever,
        refiner: Refiner | None,
        history: Sequence[Message],
        stream: ReplyStream,
    ) -> None:
        self.searched: str | None = None
        self.notes: list[str] = []
        self._retriever = retriever
        self._refiner = refiner
        self._history = history
        self._stream = stream

    def retrieve(self, request: SearchRequest) -> list[Hit]:
        query = request.query

        def look(text: str) -> list[Hit]:
            self._stream.stage = "searching"
            return self._retriever.retrieve(replace(request, query=text))

        refiner = self._refiner
        if refiner is None:
            return look(query)
        if refiner.refines_first:
            return look(self._refined(refiner, query))
        hits = look(query)
        if not refiner.is_too_little(hits):
            return hits
        refined = self._refined(refiner, query)
        return (look(refined) if refined != query else []) or hits

    def _refined(self, refiner: Refiner, query: str) -> str:
        """Returns the refined question; as typed, with a note, when the model fails."""
        self._stream.stage = "refining"
        try:
            refined = refiner.refine(query, self._history)
        except KvasirError as error:
            self.notes.append(f"the question was searched for as typed, not refined: {error}")
            return query
        if refined != query:
            self.searched = refined
        return refined


def _fitted(prompt: Prompt, hits: Sequence[Hit]) -> list[str]:
    if len(prompt.hits) == len(hits):
        return []
    return [f"{len(prompt.hits)} of {len(hits)} passages fit into the model's window"]


def _forgotten(prompt: Prompt, history: Sequence[Message], has_system: bool) -> tuple[str, ...]:
    left = len(history) + has_system + 1 - len(prompt.messages)
    if not left:
        return ()
    return (f"left out, as the model's window is full: the {left} oldest messages of the chat",)
