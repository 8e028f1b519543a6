"""Explain how it was decided whether the documents hold the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kvasir.answering.asked_language import asked_language
from kvasir.answering.evidence import Evidence
from kvasir.answering.refusal import Calibration
from kvasir.answering.retrieval import Searches
from kvasir.core.explanation_words import LANGUAGES, meaning_of
from kvasir.core.explanations import (
    AnswerExplanation,
    Decision,
    EvidencePart,
    SearchExplanation,
)
from kvasir.core.types import Answer, Hit, SearchRequest


@dataclass(frozen=True, slots=True)
class Weighed:
    """The evidence of a question, or of the part of a long one that has the best.

    Without a hit there is none, and the confidence is 0.
    """

    question: str
    evidence: Evidence | None = None
    confidence: float = 0.0


@dataclass
class ExplainedSearches:
    """Searches, and keeps the explanation of each."""

    searches: Searches
    explanations: list[SearchExplanation] = field(default_factory=list)

    def retrieve(self, request: SearchRequest) -> list[Hit]:
        """Return the hits of a search, best first."""
        found = self.searches.explain(request)
        self.explanations.append(found.explanation)
        return list(found.hits)


def explain_decision(
    weighed: Weighed,
    calibration: Calibration,
    hits: Sequence[Hit],
    searches: Sequence[SearchExplanation],
    *,
    decided_by: Decision,
    calibrated: bool,
    is_refused: bool,
) -> AnswerExplanation:
    """Return what a decision is made of, in the order of the calibration's features.

    The language is that of a refusal. Of an answer it is one of the hits: to choose from more may
    load a model, which takes half a second in a chat that nobody asks why.
    """
    language = asked_language(weighed.question, hits, LANGUAGES if is_refused else ())
    evidence = weighed.evidence
    parts = (
        ()
        if evidence is None
        else tuple(
            EvidencePart(name, float(getattr(evidence, name)), weight, meaning_of(name, language))
            for name, weight in zip(calibration.features, calibration.weights, strict=True)
        )
    )
    return AnswerExplanation(
        decided_by=decided_by,
        reply_language=language,
        question=weighed.question,
        confidence=weighed.confidence,
        bias=calibration.bias,
        evidence=parts,
        refuse_below=calibration.threshold,
        sure_from=calibration.sure,
        calibrated=calibrated,
        searches=tuple(replace(each, reply_language=language) for each in searches),
    )


def decided(answer: Answer, decision: Decision, *, table: str = "") -> Answer:
    """Return an answer whose explanation, if it has one, names who decided in the end."""
    if answer.explanation is None:
        return answer
    return replace(
        answer, explanation=replace(answer.explanation, decided_by=decision, table=table)
    )
