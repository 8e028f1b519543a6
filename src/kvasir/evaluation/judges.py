"""Grade answers and their passages by a judge, usually a language model.

Judges are components, found by name (entry points ``kvasir.judges``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kvasir.core.run import Run
from kvasir.core.wire import OMITTED
from kvasir.evaluation.answers import AnswerCase, without_markers


@dataclass(frozen=True, slots=True)
class JudgedCase:
    """A question as a judge sees it.

    Attributes:
        answer: The answer without its markers; empty if it was refused.
        contexts: The retrieved texts, best first.
        reference: An accepted answer, or None if none is known.
    """

    question: str
    answer: str
    contexts: tuple[str, ...]
    reference: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's grades of one question.

    Attributes:
        scores: Metric -> 0..1, higher is better, for the metrics that apply.
        failures: Metric -> why the judge could not grade it.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


class Judge(Protocol):
    """Grades answers."""

    metrics: Sequence[str]

    def check(self) -> None:
        """Check, before an evaluation, that the judge can be used.

        Raises:
            ComponentError: It cannot be reached.
            SettingsError: It refuses the key.
        """

    def judge(self, cases: Sequence[JudgedCase], run: Run) -> list[Verdict]:
        """Grade questions; the stage of the run is ``judge``.

        Raises:
            StoppedError: The run was stopped.
            ComponentError: The judge cannot be reached.
            SettingsError: It refuses the key.
            ModelNotFoundError: It does not have the model.
        """


@dataclass(frozen=True, slots=True)
class Judgement:
    """The grades of a run.

    Attributes:
        metrics: Mean of each metric over the graded questions; None without any.
        graded: Metric -> number of graded questions.
        failed: Metric -> number of questions that the judge could not grade.
        verdicts: One a case, in their order; not in the JSON form.
    """

    metrics: Mapping[str, float | None]
    graded: Mapping[str, int]
    failed: Mapping[str, int]
    verdicts: tuple[Verdict, ...] = field(default=(), metadata=OMITTED)


def judge_answers(
    cases: Sequence[AnswerCase], judge: Judge, *, run: Run | None = None
) -> Judgement:
    """Let a judge grade the cases of a run; raises what ``Judge.judge`` raises."""
    verdicts = judge.judge([to_judged(case) for case in cases], run or Run())
    scores = {
        name: [verdict.scores[name] for verdict in verdicts if name in verdict.scores]
        for name in judge.metrics
    }
    return Judgement(
        metrics={name: sum(each) / len(each) if each else None for name, each in scores.items()},
        graded={name: len(each) for name, each in scores.items()},
        failed={name: sum(name in v.failures for v in verdicts) for name in judge.metrics},
        verdicts=tuple(verdicts),
    )


def to_judged(case: AnswerCase) -> JudgedCase:
    """Return a case as a judge sees it."""
    answer = case.answer
    return JudgedCase(
        question=case.question,
        answer="" if answer.refused else without_markers(answer),
        contexts=tuple(hit.chunk.text for hit in answer.hits),
        reference=case.gold[0] if case.gold else None,
    )
