"""Answering: retrieve, decide whether the documents hold the answer, write it, check it.

A question that the documents do not answer is refused before a generator is asked; a language
model that says it does not know is taken at its word. Every citation marker is checked while
the answer streams.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter

from kvasir.answering.citations import CitationChecker, DocumentText
from kvasir.answering.prompts import DEFAULT_PROMPT, PromptBuilder, prompt_room
from kvasir.answering.refusal import DEFAULT_CALIBRATION, Calibration, EvidenceReader
from kvasir.answering.retrieval import Retriever
from kvasir.answering.text_stream import TextStream
from kvasir.core.errors import UserError
from kvasir.core.protocols import Embedder, Generator, TextAnalyzer
from kvasir.core.types import Answer, Citation, Hit, Message, SearchRequest
from kvasir.language.detect import detect

REFUSALS = {
    "en": "I cannot find the answer in the documents.",
    "es": "No encuentro la respuesta en los documentos.",
    "vi": "Tôi không tìm thấy câu trả lời trong tài liệu.",
    "zh": "我在文档中找不到答案。",
}
"""What is said instead of an answer, by language; English for every other one."""

NOTHING_MATCHES = {
    "en": "No document matches the filters, so there is nothing to answer from.",
    "es": "Ningún documento cumple los filtros, así que no hay de dónde responder.",
    "vi": "Không có tài liệu nào khớp với bộ lọc, nên không có gì để trả lời.",
    "zh": "没有文档符合筛选条件，因此无法回答。",
}
"""The same where the filters left nothing to look at."""

_DOES_NOT_KNOW = re.compile(
    r"\b(?:can ?not|can['’]t|could not|couldn['’]t|unable to) (?:find|answer|determine|locate)\b"
    r"|\b(?:do not|don['’]t) know\b"
    r"|\bno (?:puedo|pude|es posible|se puede) (?:encontrar|responder|determinar|contestar)\b"
    r"|\bno (?:encuentro|encontré|lo sé|sé)\b"
    r"|không (?:tìm thấy|thể tìm|thể trả lời|biết)"
    r"|找不到|没有找到|未找到|无法回答|無法回答|不知道",
    re.IGNORECASE,
)
_NOT_IN_SOURCES = re.compile(
    r"\b(?:do|does|did) not (?:contain|mention|provide|include|hold|say|specify|state)\b"
    r"|\b(?:doesn|don)['’]t (?:contain|mention|provide|include|say|specify|state)\b"
    r"|\bno (?:information|mention|answer)\b"
    r"|\bnot (?:mentioned|provided|specified|stated|found|given) in\b"
    r"|\bno (?:contienen?|mencionan?|proporcionan?|incluyen?|hay información)\b"
    r"|không (?:có thông tin|đề cập|được đề cập)"
    r"|没有提到|没有提及|未提及|没有提供|没有相关",
    re.IGNORECASE,
)
_SPEAKS_OF_ITSELF = re.compile(
    r"i\b|sorry|unfortunately|the (?:\w+ )?(?:sources?|documents?|context)|lo siento|no "
    r"|tôi|xin lỗi|rất tiếc|抱歉|对不起|我",
    re.IGNORECASE,
)
_OPENING = 100
_LONGEST_REFUSAL = 400
"""Characters; a longer text says more than that it does not know."""


class AnswerStream(TextStream[Answer]):
    """An answer in the making: iterate over its text, then read ``answer``."""

    @property
    def answer(self) -> Answer:
        """The whole answer; waits for what is still to come.

        Raises:
            UserError: The stream was broken off before its end.
        """
        return self._finish("answer")


class Answerer:
    """Answers questions from what a retriever finds."""

    def __init__(
        self,
        retriever: Retriever,
        generator: Generator,
        *,
        analyzer: TextAnalyzer,
        embedder: Embedder | None = None,
        template: str = DEFAULT_PROMPT,
        calibration: Calibration | None = None,
        refuse: bool = True,
        document_text: DocumentText | None = None,
    ) -> None:
        """Puts an answerer together; nothing is loaded or asked yet.

        Args:
            retriever: Finds the chunks.
            generator: Writes the answers.
            analyzer: The collection's; compares words in the refusal decision and citations.
            embedder: The collection's; says which languages it knows. None: all.
            template: The prompt for language models, with ``{{context}}`` and ``{{question}}``.
            calibration: The decision to refuse, fitted to the collection; by default the
                shipped one.
            refuse: False answers every question for which anything was retrieved.
            document_text: Gives documents' texts by id, against which quotes are checked.

        Raises:
            SettingsError: The template lacks a placeholder.
        """
        self._retriever = retriever
        self._generator = generator
        self._analyzer = analyzer
        self._evidence = EvidenceReader(analyzer, embedder)
        self._prompts = PromptBuilder(template)
        self._calibration = calibration or DEFAULT_CALIBRATION
        self._refuse = refuse
        self._document_text = document_text

    def ask(self, request: SearchRequest, *, history: Sequence[Message] = ()) -> Answer:
        """Answer a question; see ``stream``."""
        return self.stream(request, history=history).answer

    def stream(self, request: SearchRequest, *, history: Sequence[Message] = ()) -> AnswerStream:
        """Answer a question piece by piece.

        Args:
            request: The question as typed, and what limits the search.
            history: Earlier turns of the conversation, without contexts.

        Returns:
            A stream; retrieval and generation happen while it is read, and raise their
            errors there.

        Raises:
            UserError: The question is empty, or has no letter or digit.
        """
        question = request.query
        if not question.strip():
            raise UserError("the question is empty: type one")
        if not any(map(str.isalnum, question)):
            raise UserError("the question has no letter or digit: ask it in words")

        return AnswerStream(self._run(request, history))

    def confidence(self, question: str, hits: Sequence[Hit]) -> float:
        """Returns the probability, 0..1, that the hits hold the answer."""
        if not hits:
            return 0.0
        return self._calibration.confidence(self._evidence.read(question, hits))

    def _run(self, request: SearchRequest, history: Sequence[Message]) -> Iterator[str | Answer]:
        question = request.query
        clock = _Clock()
        hits = tuple(self._retriever.retrieve(request))
        clock.lap("retrieve")
        confidence = self.confidence(question, hits)
        if not hits or (self._refuse and self._calibration.refuses(confidence)):
            unmatched = not hits and self._matches_nothing(request)
            text = refusal(question, hits, NOTHING_MATCHES if unmatched else REFUSALS)
            yield text
            yield Answer(text, (), hits, True, confidence, 0, clock.finish())
            return
        room = prompt_room(self._generator)
        prompt = self._prompts.build(question, hits, history=history, room=room)
        checker = CitationChecker(question, prompt.hits, self._analyzer, self._document_text)
        shown: list[str] = []
        for piece in _checked(self._generator.generate(prompt), checker):
            shown.append(piece)
            yield piece
        text = "".join(shown)
        refused = says_it_does_not_know(text, checker.citations)
        if not text:
            text = refusal(question, hits)
            yield text
        clock.lap("generate")
        yield Answer(
            text,
            tuple(checker.citations),
            # Markers count the chunks of the prompt; those that did not fit come after them.
            (*prompt.hits, *(hit for hit in hits if hit not in prompt.hits)),
            refused,
            confidence,
            checker.removed,
            clock.finish(),
        )

    def _matches_nothing(self, request: SearchRequest) -> bool:
        """True if the filters, not the threshold, leave nothing to look at."""
        if request.filters is None:
            return False
        return not self._retriever.retrieve(replace(request, top_k=1, min_score_threshold=0.0))


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self._started = self._last = perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = perf_counter()
        self._laps[stage] = now - self._last
        self._last = now

    def finish(self) -> dict[str, float]:
        return {**self._laps, "total": perf_counter() - self._started}


def _checked(pieces: Iterable[str], checker: CitationChecker) -> Iterator[str]:
    for piece in pieces:
        if text := checker.feed(piece):
            yield text
    if text := checker.finish():
        yield text


def refusal(question: str, hits: Sequence[Hit] = (), sayings: Mapping[str, str] = REFUSALS) -> str:
    """Returns the sentence that stands for an answer, in the question's language."""
    spoken = (str(hit.chunk.metadata.get("language", "")) for hit in hits)
    candidates = [code for code in dict.fromkeys([*spoken, *REFUSALS]) if code]
    return sayings.get(detect(question, candidates), sayings["en"])


def says_it_does_not_know(text: str, citations: Sequence[Citation]) -> bool:
    """Says whether a generator's answer amounts to not having one.

    Words that a cited document itself says ("I do not know") do not count.
    """
    if not text:
        return True
    if len(text) > _LONGEST_REFUSAL:
        return False
    if not citations:
        return bool(_DOES_NOT_KNOW.search(text) or _NOT_IN_SOURCES.search(text))
    found = _DOES_NOT_KNOW.search(text[:_OPENING])
    quoted = found and any(found[0] in citation.quote for citation in citations)
    return bool(found and not quoted and _SPEAKS_OF_ITSELF.match(text))
