"""Answer a question: retrieve, decide whether the documents hold the answer, generate, check.

``Answerer.generate_answer`` serves single questions and the turns of a chat. A question that the
documents do not answer is refused before the generator runs; an answer in which a language model
says that it does not know is a refusal, too. Citation markers are checked while the answer streams.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, replace
from functools import cache
from time import perf_counter

from kvasir.answering.asked_value import find_doubt
from kvasir.answering.citations import CitationChecker, FindVersion
from kvasir.answering.evidence import EvidenceReader
from kvasir.answering.neighbours import read_on
from kvasir.answering.prompts import (
    SYSTEM_PROMPT,
    PromptBuilder,
    left_out_notes,
    prompt_counter,
    prompt_room,
)
from kvasir.answering.query_parts import questions_of
from kvasir.answering.query_syntax import parse_answered
from kvasir.answering.refusal import (
    DEFAULT_CALIBRATION,
    NO_DOCUMENTS,
    NOTHING_MATCHES,
    REFUSALS,
    Calibration,
    may_become_refusal,
    refusal,
    says_it_does_not_know,
    translated_refusal,
)
from kvasir.answering.retrieval import Languages, Searches
from kvasir.answering.search_result import Rewriter, SearchResult
from kvasir.answering.support import SupportMarker
from kvasir.answering.table_answers import CONFIDENCE, TableAnswer, TableReader
from kvasir.answering.thoughts import Retraction, generated
from kvasir.answering.why import ExplainedSearches, Weighed, decided, explain_decision
from kvasir.core import protocols
from kvasir.core.answer_stream import AnswerStream
from kvasir.core.deadline import check, run_within_deadline
from kvasir.core.errors import RequestError
from kvasir.core.explanations import AnswerExplanation, Decision, SearchExplanation
from kvasir.core.pieces import CutReason, Incomplete
from kvasir.core.protocols import Approximate, BoundedContext, Embedder, QuotesOnly, TextAnalyzer
from kvasir.core.templates import DEFAULT_PROMPT
from kvasir.core.types import (
    KNOWS_ENGLISH_ONLY,
    Answer,
    AnswerEvent,
    Certainty,
    Finished,
    Hit,
    Message,
    Prompt,
    Retrieved,
    SearchRequest,
    Stage,
    Text,
)
from kvasir.language.conversation import LANGUAGES
from kvasir.language.detect import UNKNOWN, detect
from kvasir.language.question_kinds import QuestionKind, question_kind

NOTHING_FOUND = (
    "nothing in the documents passed the filters and the score threshold: this reply has no source"
)

EMPTY = "the collection has no documents: this reply has no source"

INCOMPLETE = {
    CutReason.LENGTH: (
        "the answer was cut, because it reached the most tokens of an answer "
        "(generator.options.max_tokens) or the model's context"
    ),
    CutReason.CONTENT_FILTER: "the answer was cut by the content filter of the model's server",
    CutReason.REFUSAL: "the language model refused to answer",
}
"""Notes about an answer that is not whole."""

IS_CUT = "the answer is not whole"

_BY_CERTAINTY = (Certainty.NO, Certainty.NOT_SURE, Certainty.SURE)

_DOUBTFUL = 0.5
"""Confidence below which the documents probably do not hold the answer."""


class _Draft:
    """The checks of a text that is being written."""

    def __init__(
        self,
        make_checker: Callable[[], CitationChecker],
        make_marker: Callable[[], SupportMarker | None],
    ) -> None:
        self._make_checker, self._make_marker = make_checker, make_marker
        self.cut: CutReason | None = None
        self.restart()

    def restart(self) -> None:
        """Check a text from its beginning."""
        self.checker, self.marker = self._make_checker(), self._make_marker()


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
        check_sentences: Mark sentences of a language model that the passages do not support.
        find_version: Finds documents' texts by id, against which quotes are checked.
        has_documents: Returns False if the collection is empty, which is said then.
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
    check_sentences: bool = True
    find_version: FindVersion | None = None
    has_documents: Callable[[], bool] = lambda: True

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

    def _weigh(self, question: str, hits: Sequence[Hit]) -> Weighed:
        """Return the evidence that the hits hold the answer."""
        if not hits:
            return Weighed(question)
        # The words of a pasted mail are in no passage: one of its questions must be covered.
        found = ((part, self._evidence.read(part, hits)) for part in questions_of(question))
        weighed = (Weighed(*each, self._calibration.confidence(each[1])) for each in found)
        return max(weighed, key=lambda each: each.confidence)

    def generate_answer(
        self,
        request: SearchRequest,
        *,
        history: Sequence[Message] = (),
        rewriter: Rewriter | None = None,
        system: str = SYSTEM_PROMPT,
        model_decides: bool = False,
    ) -> Generator[AnswerEvent, None, None]:
        """Yield the events of an answer: retrieve, decide, generate, check citations.

        Args:
            request: The question as typed, and the limits of the search.
            history: Earlier turns of the conversation, without contexts.
            rewriter: Rewrites the question for the search, which adds ``Stage`` events. A
                generator that only quotes answers the rewritten question.
            system: The system message for a language model.
            model_decides: Always generate; the language model decides whether the documents
                hold the answer.
        """
        question = request.query
        started = perf_counter()
        explained = ExplainedSearches(self.retriever)
        retrieve = explained.retrieve if request.explain else self.retriever.retrieve
        search = yield from self._search(request, history, rewriter, retrieve)
        hits = search.hits
        asks_model = not isinstance(self.generator, QuotesOnly)
        if search.searched and not asks_model:
            question = search.searched
        found = perf_counter()
        yield Retrieved(hits)
        check("answering")
        # What follows a hyphen was excluded: no answer must have it.
        asked = parse_answered(question, [hit.chunk.passage for hit in hits])
        weighed = self._weigh(asked.text, hits)
        confidence = weighed.confidence
        certainty = self._decide(confidence, hits)
        answer = Answer("", hits=hits, confidence=confidence, searched=search.searched)
        if request.explain:
            explanation = self._explain(weighed, certainty, hits, explained.explanations)
            answer = replace(answer, explanation=explanation)
        table = None if asked.excluded else self._from_table(question, hits)
        if table and table.text:
            yield Text(table.text)
            timings = {"retrieve": found - started, "generate": perf_counter() - found}
            yield Finished(
                replace(
                    decided(answer, Decision.TABLE),
                    text=table.text,
                    citations=table.citations,
                    confidence=max(confidence, CONFIDENCE),
                    timings={**timings, "total": perf_counter() - started},
                    notes=search.notes,
                )
            )
            return
        if table is not None:
            certainty = Certainty.NO
            answer = decided(answer, Decision.TABLE, table=table.refusal)
        if certainty is Certainty.NO and not model_decides:
            text = refusal(question, hits, search.sayings or self._sayings(request, hits))
            yield Text(text)
            timings = {"retrieve": found - started, "total": perf_counter() - started}
            notes = (*search.notes, *self._language_note(question))
            notes += (table.refusal,) if table else ()
            yield Finished(replace(answer, text=text, refused=True, timings=timings, notes=notes))
            return
        if asks_model:
            # The model repeats the sentence as it stands, in whatever language the question is.
            system = system.replace(REFUSALS["en"], refusal(question, hits))
        sought = question if asks_model else " ".join(questions_of(asked.text))
        prompt = self._prompt(sought, hits, history, system)
        given = prompt.hits
        find_version = cache(self.find_version) if self.find_version else None
        if not asks_model and find_version:
            is_how_to = question_kind(sought) is QuestionKind.HOW_TO
            read = read_on(given, find_version, from_heading=is_how_to)
            prompt = replace(prompt, hits=tuple(read))
        checks = asks_model and self.check_sentences and bool(prompt.hits)
        draft = _Draft(
            lambda: CitationChecker(sought, prompt.hits, self.analyzer, find_version),
            lambda: SupportMarker(question, prompt.hits, self.analyzer) if checks else None,
        )
        hold = asks_model and not model_decides
        held = yield from self._write(prompt, draft, hold=hold)
        checker, marker, cut = draft.checker, draft.marker, draft.cut
        text = checker.text
        refused = says_it_does_not_know(text, checker.citations)
        if cut == CutReason.REFUSAL:
            refused = True
        if not text:
            text = rest = refusal(question, hits)
            refused = refused or cut is not None
        elif refused and held == text:
            text = rest = translated_refusal(held, question, hits)
        elif marker:
            rest = marker.feed(held) + marker.finish()
            text = marker.text
        else:
            rest = held
        if rest:
            yield Text(rest)
        timings = {"retrieve": found - started, "generate": perf_counter() - found}
        notes = (*search.notes, *left_out_notes(prompt, hits, history, bool(system)))
        if isinstance(self.generator, Approximate) and self.generator.approximation:
            notes += (self.generator.approximation,)
        if model_decides and not hits:
            notes += (NOTHING_FOUND if self.has_documents() else EMPTY,)
        if cut:
            notes += (INCOMPLETE[cut],)
        if not model_decides and (refused or confidence < _DOUBTFUL):
            notes += self._language_note(question)
        if asks_model:
            # It has read the passages, so it decides last.
            certainty = Certainty.NOT_SURE if cut else Certainty.SURE
            answer = replace(
                decided(answer, Decision.MODEL), doubt=IS_CUT if cut and not refused else ""
            )
        elif refused:
            answer = decided(answer, Decision.QUOTATION)
        elif certainty is Certainty.SURE and (
            doubt := find_doubt(asked.text, text, given, self.analyzer)
        ):
            certainty = Certainty.NOT_SURE
            answer = replace(decided(answer, Decision.NO_VALUE), doubt=doubt)
        yield Finished(
            replace(
                answer,
                text=text,
                certainty=certainty,
                citations=tuple(checker.citations),
                # Markers are indices into the prompt's chunks, so these come first.
                hits=(*given, *(hit for hit in hits if hit not in given)),
                refused=refused,
                incomplete=cut or "",
                removed_citations=checker.removed,
                checked_sentences=marker.checked if marker else 0,
                unsupported_sentences=marker.unsupported if marker else 0,
                timings={**timings, "total": perf_counter() - started},
                notes=notes,
            )
        )

    def _decide(self, confidence: float, hits: Sequence[Hit]) -> Certainty:
        """Return whether the documents hold the answer; without ``refuse`` never that they do not.

        Without a hit there is nothing to answer from.
        """
        if not hits:
            return Certainty.NO
        found = self._calibration.decide(confidence)
        return found if self.refuse else max(found, Certainty.NOT_SURE, key=_BY_CERTAINTY.index)

    def _explain(
        self,
        weighed: Weighed,
        certainty: Certainty,
        hits: Sequence[Hit],
        searches: Sequence[SearchExplanation],
    ) -> AnswerExplanation:
        by = Decision.EVIDENCE if hits else Decision.NOTHING_FOUND
        if hits and certainty is not self._calibration.decide(weighed.confidence):
            by = Decision.NEVER_REFUSES
        return explain_decision(
            weighed,
            self._calibration,
            hits,
            searches,
            decided_by=by,
            calibrated=self.calibration is not None,
            is_refused=certainty is Certainty.NO,
        )

    def _search(
        self,
        request: SearchRequest,
        history: Sequence[Message],
        rewriter: Rewriter | None,
        retrieve: Callable[[SearchRequest], list[Hit]],
    ) -> Generator[Stage, None, SearchResult]:
        if rewriter is None:
            return SearchResult(tuple(retrieve(request)))
        return (yield from rewriter.search(request, history, retrieve))

    def _from_table(self, question: str, hits: Sequence[Hit]) -> TableAnswer | None:
        """Return what is computed over a whole table, or why nothing can be."""
        if self.find_version is None or not isinstance(self.generator, QuotesOnly):
            return None
        reader = TableReader(self.analyzer, self.find_version)
        return run_within_deadline(lambda: reader.answer(question, hits), "reading tables")

    def _sayings(self, request: SearchRequest, hits: Sequence[Hit]) -> Mapping[str, str]:
        """Return the sentences, by language, that say why a question is refused."""
        if hits:
            return REFUSALS
        if not self.has_documents():
            return NO_DOCUMENTS
        return NOTHING_MATCHES if self._matches_nothing(request) else REFUSALS

    def _matches_nothing(self, request: SearchRequest) -> bool:
        """Return True if the filters, not the threshold, exclude every chunk."""
        if request.filters is None:
            return False
        return not self.retriever.retrieve(replace(request, top_k=1, min_score_threshold=0.0))

    def _prompt(
        self, question: str, hits: Sequence[Hit], history: Sequence[Message], system: str
    ) -> Prompt:
        room = None
        if isinstance(self.generator, BoundedContext):
            room = run_within_deadline(lambda: prompt_room(self.generator), "reading the window")
        builder = PromptBuilder(self.template, system=system)
        return run_within_deadline(
            lambda: builder.build(
                question, hits, history=history, room=room, count=prompt_counter(self.generator)
            ),
            "fitting the prompt",
        )

    def _write(self, prompt: Prompt, draft: _Draft, *, hold: bool) -> Generator[Text, None, str]:
        """Yield the checked text; return the rest of it, which was not yielded or marked.

        With ``hold``, a text that may be a refusal is held back until it is known not to be one.
        """
        held, may_hold = "", hold
        with closing(generated(self.generator, prompt)) as pieces:
            for piece in pieces:
                check("answering")
                if isinstance(piece, Retraction):
                    draft.restart()
                    held, hold = "", may_hold
                    continue
                if isinstance(piece, Incomplete):
                    draft.cut = piece.reason
                    held += draft.checker.feed(piece)
                    break
                held += draft.checker.feed(piece)
                hold = hold and not draft.checker.citations and may_become_refusal(held)
                if held and not hold:
                    if settled := draft.marker.feed(held) if draft.marker else held:
                        yield Text(settled)
                    held = ""
        return held + draft.checker.finish()

    def _language_note(self, question: str) -> tuple[str, ...]:
        """Return a note if the embedder cannot compare the question with all documents.

        An English model compares English with English; other texts share words at most. Only for
        doubtful answers, because detection may load a model, which takes 0.5 s.
        """
        if self.embedder is None or set(self.embedder.languages) != {"en"}:
            return ()
        held = sorted(self.languages() if callable(self.languages) else self.languages)
        if not held:
            return ()
        language = detect(question, [*held, *(code for code in LANGUAGES if code not in held)])
        foreign = [code for code in held if code != language]
        if not foreign or language == UNKNOWN:
            return ()
        documents = (
            f"documents in {', '.join(foreign)}"
            if language in held
            else f"the documents, which are in {', '.join(held)},"
        )
        return (
            f"the question seems to be in '{language}', and {documents} cannot be compared with "
            f"it, because {KNOWS_ENGLISH_ONLY}: ask in their language, or use a multilingual model",
        )


def check_question(question: str) -> None:
    """Raise ``RequestError`` if a question is empty, or has no letter or digit."""
    if not question.strip():
        raise RequestError("the question is empty: type one")
    if not any(map(str.isalnum, question)):
        raise RequestError("the question has no letter or digit: ask it in words")
