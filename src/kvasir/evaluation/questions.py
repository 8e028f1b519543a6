"""Ask a collection questions whose good answers are known, and judge what it answers.

Nothing is ingested: the collection is measured as it is. A question is asked as a user asks it; a
follow-up in one conversation with the question before it.

Source of the intervals: Wilson 1927, J. Am. Stat. Assoc. 22 (158), 209-212.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import ClassVar

from kvasir.answering.chat import Conversation
from kvasir.core.deadline import check
from kvasir.core.errors import RequestError
from kvasir.core.run import Run
from kvasir.core.text import count_words, has_cjk
from kvasir.core.types import Answer, Certainty, Hit, Message
from kvasir.evaluation.answers import without_markers
from kvasir.evaluation.metrics import wilson_interval
from kvasir.evaluation.question_sets import (
    GoldPassage,
    JudgedQuestion,
    check_questions,
    half_of,
    of_half,
)

_PLAIN = str.maketrans("‘’‚“”„–—−‑\u00a0\u202f", "'''\"\"\"----  ", "\u00ad\u200b\ufeff")
_SPACES = re.compile(r"\s+")
_DIGIT_BEFORE = r"(?<!\d)(?<!\d[.,])"
_DIGIT_AFTER = r"(?!\d|[.,]\d)"


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the questions it applies to: ``count`` of ``total``."""

    computed: ClassVar[tuple[str, ...]] = ("share", "low", "high")
    count: int
    total: int

    @property
    def share(self) -> float | None:
        """The share, 0..1; None of no question."""
        return self.count / self.total if self.total else None

    @property
    def low(self) -> float:
        """Lower end of the share's 95 % interval, 0..1."""
        return wilson_interval(self.count, self.total)[0]

    @property
    def high(self) -> float:
        """Upper end of the share's 95 % interval, 0..1."""
        return wilson_interval(self.count, self.total)[1]


@dataclass(frozen=True, slots=True)
class QuestionFigures:
    """The figures of a group of questions.

    Attributes:
        top_1, top_3, top_10: The gold passages are among the first 1, 3 or 10; of the questions
            that have an answer and a passage.
        satisfying: The answer is good, or the question is rightly refused or answered as not sure;
            of all judged ones.
        words: Mean length of the answers given, in words, without markers.
        refused_rightly: Refused, of the questions without an answer in the documents.
        refused_wrongly: Refused, of the questions with one.
        unsure_rightly: Answered as not sure, of the questions without an answer.
        unsure_wrongly: The same of the questions with one.
    """

    questions: int
    top_1: Share
    top_3: Share
    top_10: Share
    satisfying: Share
    words: float
    refused_rightly: Share
    refused_wrongly: Share
    unsure_rightly: Share
    unsure_wrongly: Share


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question, its answer, and the judgement.

    Attributes:
        half: ``fit`` or ``report``.
        refuse: As of ``JudgedQuestion``.
        rank: Rank of the last gold passage to be found, from 1; None if one is missing, or if
            none is known.
        satisfying: None if nothing is known about a good answer.
        missing: Strings of ``must`` that the answer lacks, the first one of each entry.
        forbidden: Strings of ``must_not`` in the answer.
        sources: Source URIs of the passages found, best first.
    """

    id: str
    question: str
    kind: str
    language: str
    half: str
    refuse: bool | None
    answer: str
    refused: bool
    certainty: Certainty
    confidence: float
    has_passages: bool
    rank: int | None
    satisfying: bool | None
    missing: tuple[str, ...]
    forbidden: tuple[str, ...]
    sources: tuple[str, ...]
    words: int
    seconds: float


@dataclass(frozen=True, slots=True)
class QuestionsResult:
    """The figures of a run, of all questions, by kind and by language, and every question."""

    half: str | None
    all: QuestionFigures
    kinds: Mapping[str, QuestionFigures]
    languages: Mapping[str, QuestionFigures]
    seconds: Mapping[str, float]
    cases: tuple[AskedQuestion, ...] = field(default=())


def evaluate_questions(
    questions: Sequence[JudgedQuestion],
    ask: Callable[[str], Answer],
    conversation: Conversation,
    *,
    half: str | None = None,
    run: Run | None = None,
) -> QuestionsResult:
    """Ask questions in their order, and judge the answers.

    The stage of the run is ``answer``.

    Args:
        questions: A follow-up stands after the question it follows.
        ask: Answers a question that follows none.
        conversation: Replies to the follow-ups.
        half: ``fit`` or ``report``: ask only the questions of this half.
        run: Stops it and receives its progress.

    Raises:
        RequestError: There is no question, no such half, or as of ``check_questions``.
        StoppedError: The run was stopped.
    """
    run = run or Run()
    check_questions(questions)
    halves = half_of(questions)
    chosen = of_half(questions, half)
    if not chosen:
        raise RequestError("there is no question to ask: give a file with at least one")
    cases: list[AskedQuestion] = []
    histories: dict[str, tuple[Message, ...]] = {}
    started = perf_counter()
    for question in chosen:
        check("evaluating")
        run.check()
        asked = perf_counter()
        history = histories[question.after] if question.after else ()
        answer = run.call(partial(_answer, question.question, history, ask, conversation))
        seconds = perf_counter() - asked
        said = Message("user", question.question), Message("assistant", answer.text)
        histories[question.id] = (*history, *said)
        cases.append(judge(question, answer, half=halves[question.id], seconds=seconds))
        run.step("answer", len(cases), len(chosen), "questions")
    total = perf_counter() - started
    return QuestionsResult(
        half=half,
        all=figures(cases),
        kinds=_grouped(cases, "kind"),
        languages=_grouped(cases, "language"),
        seconds={"answer": total},
        cases=tuple(cases),
    )


def _answer(
    question: str,
    history: Sequence[Message],
    ask: Callable[[str], Answer],
    conversation: Conversation,
) -> Answer:
    if not history:
        return ask(question)
    with conversation.stream(question, history, rag=True) as stream:
        return stream.answer


def judge(
    question: JudgedQuestion, answer: Answer, *, half: str = "", seconds: float = 0.0
) -> AskedQuestion:
    """Compare an answer with what is known about a good one.

    A question that the documents do not answer is satisfied by a refusal, or by an answer that says
    that it is not sure and names the nearest passages; any other, sure or not, by an answer
    with all strings of ``must`` and none of ``must_not``. Without ``must``, the answer must cite
    one of the documents of the gold passages.
    """
    text = without_markers(answer)
    missing = tuple(group[0] for group in question.must if not any(holds(text, s) for s in group))
    forbidden = tuple(each for each in question.must_not if holds(text, each))
    satisfying: bool | None
    if question.refuse:
        satisfying = answer.certainty is not Certainty.SURE
    elif question.must or question.must_not:
        satisfying = not (answer.refused or missing or forbidden)
    elif question.passages:
        satisfying = not answer.refused and _cites(answer, question.passages)
    else:
        satisfying = None
    return AskedQuestion(
        id=question.id,
        question=question.question,
        kind=question.kind,
        language=question.language,
        half=half,
        refuse=question.refuse,
        answer=answer.text,
        refused=answer.refused,
        certainty=answer.certainty,
        confidence=answer.confidence,
        has_passages=bool(question.passages),
        rank=_rank(answer.hits, question.passages),
        satisfying=satisfying,
        missing=missing,
        forbidden=forbidden,
        sources=tuple(_source_uri(hit) for hit in answer.hits),
        words=0 if answer.refused else count_words(text),
        seconds=seconds,
    )


def figures(cases: Sequence[AskedQuestion]) -> QuestionFigures:
    """Return the figures of a group of questions."""
    ranked = [case.rank or 0 for case in cases if case.has_passages and not case.refuse]
    given = [case.words for case in cases if not case.refused]
    return QuestionFigures(
        questions=len(cases),
        top_1=_share(rank == 1 for rank in ranked),
        top_3=_share(1 <= rank <= 3 for rank in ranked),
        top_10=_share(1 <= rank <= 10 for rank in ranked),
        satisfying=_share(case.satisfying for case in cases if case.satisfying is not None),
        words=sum(given) / max(len(given), 1),
        refused_rightly=_share(case.refused for case in cases if case.refuse),
        refused_wrongly=_share(case.refused for case in cases if case.refuse is False),
        unsure_rightly=_share(_is_unsure(case) for case in cases if case.refuse),
        unsure_wrongly=_share(_is_unsure(case) for case in cases if case.refuse is False),
    )


def _is_unsure(case: AskedQuestion) -> bool:
    return case.certainty is Certainty.NOT_SURE


def holds(text: str, wanted: str) -> bool:
    """Return True if a text contains a string.

    Case, kinds of spaces and quotation marks do not count. A number is not found in a longer one:
    "3" is not in "13" or "3.5".
    """
    text, wanted = normalise(text), normalise(wanted)
    if has_cjk(wanted):
        text, wanted = text.replace(" ", ""), wanted.replace(" ", "")
    before = _DIGIT_BEFORE if wanted[:1].isdigit() else ""
    after = _DIGIT_AFTER if wanted[-1:].isdigit() else ""
    return re.search(before + re.escape(wanted) + after, text) is not None


def normalise(text: str) -> str:
    """Return a text in the form in which answers are compared."""
    plain = unicodedata.normalize("NFKC", text.translate(_PLAIN)).casefold()
    return _SPACES.sub(" ", plain).strip()


def letters(text: str) -> str:
    """Return letters and digits alone, in which passages are compared.

    How a table or a list is written does not count.
    """
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


def is_document(uri: str, document: str) -> bool:
    """Return True if a source URI is the document's, or ends with it after a slash."""
    uri, document = uri.replace("\\", "/"), document.replace("\\", "/")
    return uri == document or uri.endswith(f"/{document.removeprefix('/')}")


def _rank(hits: Sequence[Hit], passages: Sequence[Sequence[GoldPassage]]) -> int | None:
    """Return the rank at which the last of the passages is found; None if one is not."""
    ranks = [
        next(
            (n for n, hit in enumerate(hits, 1) if any(holds_passage(hit, p) for p in entry)), None
        )
        for entry in passages
    ]
    found = [rank for rank in ranks if rank is not None]
    return max(found) if found and len(found) == len(ranks) else None


def holds_passage(hit: Hit, passage: GoldPassage) -> bool:
    """Return True if a hit is of a gold passage's document and has its text."""
    chunk = hit.chunk
    is_its = passage.document == chunk.document_id or is_document(
        _source_uri(hit), passage.document
    )
    return is_its and letters(passage.text) in letters(chunk.passage)


def _cites(answer: Answer, passages: Iterable[Sequence[GoldPassage]]) -> bool:
    documents = {passage.document for entry in passages for passage in entry}
    return any(
        document == citation.document_id or is_document(citation.source_uri, document)
        for citation in answer.citations
        for document in documents
    )


def _source_uri(hit: Hit) -> str:
    return str(hit.chunk.metadata.get("source_uri", ""))


def _share(values: Iterable[bool | None]) -> Share:
    found = list(values)
    return Share(sum(map(bool, found)), len(found))


def _grouped(cases: Sequence[AskedQuestion], attribute: str) -> dict[str, QuestionFigures]:
    groups: dict[str, list[AskedQuestion]] = {}
    for case in cases:
        groups.setdefault(getattr(case, attribute), []).append(case)
    return {name: figures(group) for name, group in groups.items()}
