"""Measure answers: gold answers found, citations true, questions refused.

The documents go into a new collection, and the questions take the path of ``ask``. A gold answer
is found if the answer contains it as whole words, both normalised as in SQuAD's official script
(lower case, no punctuation, no articles).

Source: Rajpurkar et al. 2016, arXiv 1606.05250.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter

from kvasir.answering.answers import Answerer
from kvasir.answering.citations import FindVersion
from kvasir.answering.retrieval import Retriever
from kvasir.core.deadline import check
from kvasir.core.ledger import DocumentVersion
from kvasir.core.protocols import Embedder, Splitter, VectorStore
from kvasir.core.run import Run
from kvasir.core.text import CJK, SOUTHEAST_ASIAN, count_words
from kvasir.core.types import Answer, Certainty, document_id
from kvasir.core.wire import OMITTED
from kvasir.evaluation.datasets import EvaluationQuery, RetrievalDataset
from kvasir.evaluation.retrieval import RetrievalOptions, ingest_datasets, to_document

MakeAnswerer = Callable[[Retriever, FindVersion], Answerer]
"""Make the answerer to measure from a retriever and the documents' texts by id."""

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_MARKER = re.compile(r"\s*\[(\d+)\]")
_UNSPACED = re.compile(f"[{CJK}{SOUTHEAST_ASIAN}]")


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """One question, its ``gold`` answers (none if it is off-topic), and whether one is found."""

    question: str
    gold: tuple[str, ...]
    answer: Answer
    correct: bool


@dataclass(frozen=True, slots=True)
class AnswersResult:
    """The figures of a run.

    Attributes:
        answer_recall: Share of the questions whose answer contains a gold one, 0..1; a refused
            question counts as wrong. None without gold answers.
        words: Mean length of the answers given, in words, without markers.
        refused_on_topic: Share of the data set's questions that were refused, 0..1.
        refused_off_topic: Share of the off-topic questions that were refused, None without any.
        unsure_on_topic: Share of the data set's questions whose answer is ``not sure``, 0..1.
        unsure_off_topic: The same of the off-topic questions, None without any.
        citations: Mean number of citations of the answers given.
        citation_validity: Share of citations whose quote is in its document, 0..1.
        cited: Share of the answers given that have a citation, 0..1.
        removed_citations: Number of removed markers.
        questions: Number of questions with a gold answer.
        seconds: Time by stage: ``ingest``, ``answer``.
        cases: Every question with its answer, on-topic ones first; not in the JSON form.
    """

    name: str
    answer_recall: float | None
    words: float
    refused_on_topic: float
    refused_off_topic: float | None
    unsure_on_topic: float
    unsure_off_topic: float | None
    citations: float
    citation_validity: float
    cited: float
    removed_citations: int
    questions: int
    seconds: Mapping[str, float]
    cases: tuple[AnswerCase, ...] = field(default=(), metadata=OMITTED)


def evaluate_answers(
    dataset: RetrievalDataset,
    embedder: Embedder,
    make_store: Callable[[], VectorStore],
    splitter: Splitter,
    make_answerer: MakeAnswerer,
    *,
    off_topic: Sequence[str] = (),
    options: RetrievalOptions | None = None,
    run: Run | None = None,
) -> AnswersResult:
    """Ingest a data set into a new collection and ask all its questions.

    ``make_store`` opens an empty collection, which is closed, not deleted. The documents do not
    answer the ``off_topic`` questions. The stages of the run are ``ingest`` and ``answer``.

    Raises:
        StoppedError: The run was stopped.
        RequestError: The collection is not empty.
    """
    run = run or Run()
    options = options or RetrievalOptions()
    texts: dict[str, str] = {}
    for passage in dataset.passages:
        uri = f"0/{dataset.name}/{passage.id}"
        texts[document_id(uri)] = to_document(passage, uri, "").text
    with closing(make_store()) as store:
        started = perf_counter()
        retriever, _ = ingest_datasets([dataset], embedder, store, splitter, options, run)
        ingested = perf_counter()
        versions = {document: DocumentVersion(text) for document, text in texts.items()}
        answerer = make_answerer(retriever, versions.get)
        asked = [*dataset.queries, *(EvaluationQuery("", text) for text in off_topic)]
        cases: list[AnswerCase] = []
        for query in asked:
            check("evaluating")
            request = replace(options.search, query=query.text)
            answer = run.call(partial(answerer.ask, request))
            correct = not answer.refused and holds(answer.text, query.answers)
            cases.append(AnswerCase(query.text, query.answers, answer, correct))
            run.step("answer", len(cases), len(asked), "questions")
    seconds = {"ingest": ingested - started, "answer": perf_counter() - ingested}
    return _summary(dataset, cases, len(off_topic), texts, seconds)


def _summary(
    dataset: RetrievalDataset,
    cases: Sequence[AnswerCase],
    off_topic: int,
    texts: Mapping[str, str],
    seconds: Mapping[str, float],
) -> AnswersResult:
    on, off = cases[: len(cases) - off_topic], cases[len(cases) - off_topic :]
    given = [case.answer for case in on if not case.answer.refused]
    citations = [citation for answer in given for citation in answer.citations]
    judged = [case for case in on if case.gold]
    return AnswersResult(
        name=dataset.name,
        answer_recall=_share(case.correct for case in judged) if judged else None,
        words=_share(count_words(without_markers(answer)) for answer in given),
        refused_on_topic=_share(case.answer.refused for case in on),
        refused_off_topic=_share(case.answer.refused for case in off) if off else None,
        unsure_on_topic=_share(map(_is_unsure, on)),
        unsure_off_topic=_share(map(_is_unsure, off)) if off else None,
        citations=len(citations) / max(len(given), 1),
        citation_validity=_share(
            texts.get(c.document_id, "")[c.start : c.end] == c.quote for c in citations
        ),
        cited=_share(bool(answer.citations) for answer in given),
        removed_citations=sum(case.answer.removed_citations for case in on),
        questions=len(judged),
        seconds=seconds,
        cases=tuple(cases),
    )


def _is_unsure(case: AnswerCase) -> bool:
    return case.answer.certainty is Certainty.NOT_SURE


def _share(values: Iterable[float]) -> float:
    numbers = [float(value) for value in values]
    return sum(numbers) / len(numbers) if numbers else 0.0


def normalise(text: str) -> str:
    """Normalise as SQuAD does, with the punctuation of every script."""
    kept = (c for c in text.lower() if not _is_punctuation(c))
    return " ".join(_ARTICLES.sub(" ", "".join(kept)).split())


def _is_punctuation(character: str) -> bool:
    if character.isascii():
        return not (character.isalnum() or character.isspace())
    return unicodedata.category(character).startswith("P")


def holds(text: str, answers: Sequence[str]) -> bool:
    """Return True if a text contains one of the accepted answers as whole words."""
    plain = normalise(_MARKER.sub("", text))
    for answer in map(normalise, answers):
        # Scripts without spaces have no word boundaries.
        is_found = answer in plain if _UNSPACED.search(answer) else f" {answer} " in f" {plain} "
        if answer and is_found:
            return True
    return False


def without_markers(answer: Answer) -> str:
    """Return an answer's text without its markers; other bracketed numbers stay."""
    markers = {str(number) for number in range(1, len(answer.hits) + 1)}
    markers.update(str(citation.marker) for citation in answer.citations)
    return _MARKER.sub(lambda match: "" if match[1] in markers else match[0], answer.text).strip()
