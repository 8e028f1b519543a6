"""Answer a question: retrieve, decide whether the documents hold the answer, generate, check.

``Answerer.generate_answer`` serves single questions and the turns of a chat. A question that the
documents do not answer is refused before the generator runs; an answer in which a language model
says that it does not know is a refusal, too. Citation markers are checked while the answer streams.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, replace
from time import perf_counter

from kvasir.answering.citations import CitationChecker, FindVersion
from kvasir.answering.prompts import SYSTEM_PROMPT, PromptBuilder, left_out_notes, prompt_room
from kvasir.answering.refinement import Refiner, SearchResult
from kvasir.answering.refusal import (
    DEFAULT_CALIBRATION,
    NOTHING_MATCHES,
    REFUSALS,
    Calibration,
    EvidenceReader,
    refusal,
    says_it_does_not_know,
)
from kvasir.answering.retrieval import Languages, Searches
from kvasir.core import protocols
from kvasir.core.answer_stream import AnswerStream
from kvasir.core.deadline import check, iterate_within_deadline, run_within_deadline
from kvasir.core.errors import RequestError
from kvasir.core.protocols import Embedder, TextAnalyzer
from kvasir.core.templates import DEFAULT_PROMPT
from kvasir.core.types import (
    Answer,
    AnswerEvent,
    Finished,
    Hit,
    Message,
    Prompt,
    Retrieved,
    SearchRequest,
    Stage,
    Text,
)
from kvasir.language.detect import UNKNOWN, detect

NOTHING_FOUND = (
    "nothing in the documents passed the filters and the score threshold: this reply has no source"
)

_DOUBTFUL = 0.5
"""Confidence below which the documents probably do not hold the answer."""


@dataclass
class Answerer:
    """Answers questions from retrieved chunks; nothing is loaded or called before.

    Raises ``SettingsError`` if the template lacks a placeholder.

    Attributes:
        analyzer: The collection's; compares words in the refusal decision and citations.
        embedder: The collection's, for the languages that it knows. None: all.
        languages: The collection's ISO 639-1 codes, or a function that returns them; for
            the note about a question in another language.
        template: The prompt for language models, with ``{{context}}`` and ``{{question}}``.
        calibration: The decision to refuse; None is the shipped one.
        refuse: False answers every question for which anything was retrieved.
        find_version: Finds documents' texts by id, against which quotes are checked.
    """

    retriever: Searches
    generator: protocols.Generator
    _: KW_ONLY
    analyzer: TextAnalyzer
    embedder: Embedder | None = None
    languages: Languages = ()
    template: str = DEFAULT_PROMPT
    calibration: Calibration | None = None
    refuse: bool = True
    find_version: FindVersion | None = None

    def __post_init__(self) -> None:
        PromptBuilder(self.template)
        self._evidence = EvidenceReader(self.analyzer, self.embedder)
        self._calibration = self.calibration or DEFAULT_CALIBRATION

    def ask(self, request: SearchRequest, *, history: Sequence[Message] = ()) -> Answer:
        """Answer a question; see ``stream``."""
        return self.stream(request, history=history).answer

    def stream(self, request: SearchRequest, *, history: Sequence[Message] = ()) -> AnswerStream:
        """Return the events of ``generate_answer`` as a stream, which raises their errors.

        Raises:
            RequestError: The question is empty, or has no letter or digit.
        """
        check_question(request.query)
        return AnswerStream(self.generate_answer(request, history=history))

    def confidence(self, question: str, hits: Sequence[Hit]) -> float:
        """Return the probability, 0..1, that the hits hold the answer."""
        if not hits:
            return 0.0
        return self._calibration.confidence(self._evidence.read(question, hits))

    def generate_answer(
        self,
        request: SearchRequest,
        *,
        history: Sequence[Message] = (),
        refiner: Refiner | None = None,
        system: str = SYSTEM_PROMPT,
        model_decides: bool = False,
    ) -> Generator[AnswerEvent, None, None]:
        """Yield the events of an answer: retrieve, decide, generate, check citations.

        Args:
            request: The question as typed, and the limits of the search.
            history: Earlier turns of the conversation, without contexts.
            refiner: Rewrites the question for the search, which adds ``Stage`` events.
            system: The system message for a language model.
            model_decides: Always generate; the language model decides whether the documents
                hold the answer.
        """
        question = request.query
        started = perf_counter()
        search = yield from self._search(request, history, refiner)
        hits = search.hits
        found = perf_counter()
        yield Retrieved(hits)
        check("answering")
        confidence = self.confidence(question, hits)
        answer = Answer("", hits=hits, confidence=confidence, searched=search.searched)
        is_refused = not hits or (self.refuse and self._calibration.refuses(confidence))
        if is_refused and not model_decides:
            sentences = NOTHING_MATCHES if self._matches_nothing(request, hits) else REFUSALS
            text = refusal(question, hits, sentences)
            yield Text(text)
            timings = {"retrieve": found - started, "total": perf_counter() - started}
            notes = (*search.notes, *self._language_note(question))
            yield Finished(replace(answer, text=text, refused=True, timings=timings, notes=notes))
            return
        prompt = self._prompt(question, hits, history, system)
        checker = CitationChecker(question, prompt.hits, self.analyzer, self.find_version)
        yield from self._write(prompt, checker)
        text = checker.text
        refused = says_it_does_not_know(text, checker.citations)
        if not text:
            text = refusal(question, hits)
            yield Text(text)
        timings = {"retrieve": found - started, "generate": perf_counter() - found}
        notes = (*search.notes, *left_out_notes(prompt, hits, history, bool(system)))
        if model_decides and not hits:
            notes += (NOTHING_FOUND,)
        if not model_decides and (refused or confidence < _DOUBTFUL):
            notes += self._language_note(question)
        yield Finished(
            replace(
                answer,
                text=text,
                citations=tuple(checker.citations),
                # Markers are indices into the prompt's chunks, so these come first.
                hits=(*prompt.hits, *(hit for hit in hits if hit not in prompt.hits)),
                refused=refused,
                removed_citations=checker.removed,
                timings={**timings, "total": perf_counter() - started},
                notes=notes,
            )
        )

    def _search(
        self, request: SearchRequest, history: Sequence[Message], refiner: Refiner | None
    ) -> Generator[Stage, None, SearchResult]:
        if refiner is None:
            return SearchResult(tuple(self.retriever.retrieve(request)))
        return (yield from refiner.search(request, history, self.retriever.retrieve))

    def _matches_nothing(self, request: SearchRequest, hits: Sequence[Hit]) -> bool:
        """Return True if the filters, not the threshold, exclude every chunk."""
        if hits or request.filters is None:
            return False
        return not self.retriever.retrieve(replace(request, top_k=1, min_score_threshold=0.0))

    def _prompt(
        self, question: str, hits: Sequence[Hit], history: Sequence[Message], system: str
    ) -> Prompt:
        room = run_within_deadline(lambda: prompt_room(self.generator), "reading the window")
        builder = PromptBuilder(self.template, system=system)
        return builder.build(question, hits, history=history, room=room)

    def _write(self, prompt: Prompt, checker: CitationChecker) -> Generator[Text, None, None]:
        with closing(generated(self.generator, prompt)) as pieces:
            for piece in pieces:
                check("answering")
                if text := checker.feed(piece):
                    yield Text(text)
        if text := checker.finish():
            yield Text(text)

    def _language_note(self, question: str) -> tuple[str, ...]:
        """Return a note if neither documents nor embedder know the question's language.

        Only for doubtful answers, because detection may load a model, which takes 0.5 s.
        """
        if self.embedder is None or set(self.embedder.languages) != {"en"}:
            return ()
        held = sorted(self.languages() if callable(self.languages) else self.languages)
        if not held:
            return ()
        language = detect(question, [*held, *(code for code in REFUSALS if code not in held)])
        if language in (*held, "en", UNKNOWN):
            return ()
        return (
            f"the question seems to be in '{language}', the documents are in {', '.join(held)}, "
            "and the embedding model knows English only: ask in the documents' language, or ingest "
            "into another collection with a multilingual model such as "
            "intfloat/multilingual-e5-small",
        )


def check_question(question: str) -> None:
    """Raise ``RequestError`` if a question is empty, or has no letter or digit."""
    if not question.strip():
        raise RequestError("the question is empty: type one")
    if not any(map(str.isalnum, question)):
        raise RequestError("the question has no letter or digit: ask it in words")


def generated(generator: protocols.Generator, prompt: Prompt) -> Generator[str, None, None]:
    """Yield a generator's text within the deadline; closing this closes the generator."""
    return iterate_within_deadline(generator.generate(prompt), "generating")
