"""Lets a judge, usually a language model, grade answers and what they were made from.

The figures that need no judge are those of ``answers``; a judge adds its own to each question.
Judges are found by name like every component (entry points ``kvasir.judges``).
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
    """What a judge is shown of one question.

    Attributes:
        question: The question.
        answer: The answer without its markers; empty where it was refused.
        contexts: The texts that were retrieved, best first.
        reference: An accepted answer, or None where none is known.
    """

    question: str
    answer: str
    contexts: tuple[str, ...]
    reference: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's grades of one question.

    Attributes:
        scores: Metric -> 0..1, higher is better. A metric that does not apply is left out.
        failures: Metric -> why the judge could not grade it.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


class Judge(Protocol):
    """Grades answers."""

    metrics: Sequence[str]

    def check(self) -> None:
        """See whether the judge is there, before an evaluation spends its time.

        Raises:
            ComponentError: It cannot be reached.
            SettingsError: It refuses the key.
        """

    def judge(self, cases: Sequence[JudgedCase], run: Run) -> list[Verdict]:
        """Grade questions until the run is stopped; its stage is ``judge``.

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
        metrics: Mean of each metric over the questions that were graded; None without any.
        graded: Metric -> how many questions were graded.
        failed: Metric -> how many the judge could not grade.
        verdicts: Every question's, in the order of the cases; not in the JSON form.
    """

    metrics: Mapping[str, float | None]
    graded: Mapping[str, int]
    failed: Mapping[str, int]
    verdicts: tuple[Verdict, ...] = field(default=(), metadata=OMITTED)


def judge_answers(
    cases: Sequence[AnswerCase], judge: Judge, *, run: Run | None = None
) -> Judgement:
    """Has a judge grade the cases of a run.

    Args:
        cases: Questions with their answers; those without gold answers count for the metrics
            that need none.
        judge: The judge.
        run: Stops it, and is told how far it is.

    Raises:
        StoppedError: The run was stopped.
        ComponentError: The judge cannot be reached.
    """
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
    """Return what a judge is shown of a case."""
    answer = case.answer
    return JudgedCase(
        question=case.question,
        answer="" if answer.refused else without_markers(answer),
        contexts=tuple(hit.chunk.text for hit in answer.hits),
        reference=case.gold[0] if case.gold else None,
    )
