"""Test whether one run is better than another: a paired bootstrap over questions.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 16; Sakai,
"Evaluating Evaluation Metrics based on the Bootstrap", SIGIR 2006.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kvasir.core.errors import RequestError
from kvasir.core.text import count_words
from kvasir.evaluation.answers import AnswersResult
from kvasir.evaluation.judges import Judgement, to_judged
from kvasir.evaluation.metrics import bootstrap_means

PerQuestion = Mapping[str, NDArray[np.float64]]
"""Metric -> float64 [questions]; NaN where the metric does not apply to a question."""

LEADING = {"retrieval": "ndcg@10", "answers": "answer_recall"}
"""The metric of a comparison's conclusion, by the kind of measurement."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of two runs on the same questions.

    Attributes:
        difference: Mean of b minus mean of a; ``low`` and ``high`` are the bounds of its interval.
        p_value: Probability of a difference at least this large if the runs are equal
            (two-sided).
        better: Number of questions on which b is better; ``worse`` counts the opposite.
    """

    computed: ClassVar[tuple[str, ...]] = ("real",)
    difference: float
    low: float
    high: float
    p_value: float
    better: int
    worse: int

    @property
    def real(self) -> bool:
        """Whether the difference is significant (p below 0.05)."""
        return self.p_value < 0.05


def paired_bootstrap(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    *,
    samples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare one metric of two runs, float64 [queries] for the same questions in one order.

    ``level`` is the share of the bootstrap differences in the interval.

    Raises:
        RequestError: The runs do not have the same number of questions, or none.
    """
    if a.shape != b.shape or a.ndim != 1 or not a.size:
        raise _unequal(a, b)
    differences = np.asarray(b - a, dtype=np.float64)
    observed = float(differences.mean())
    means = bootstrap_means(differences[:, None], samples, seed)[:, 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    # Shifted to 0, for equal runs; one is added so that p is never 0. The tolerance allows for
    # rounding.
    extreme = np.abs(means - observed) >= abs(observed) - 1e-12
    return Comparison(
        difference=observed,
        low=float(low),
        high=float(high),
        p_value=float((extreme.sum() + 1) / (samples + 1)),
        better=int((differences > 0).sum()),
        worse=int((differences < 0).sum()),
    )


@dataclass(frozen=True, slots=True)
class MetricComparison:
    """One metric of two runs: their means over the ``questions`` with a value in both."""

    a: float
    b: float
    questions: int
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Measured:
    """One side of a comparison: figures by question, seconds by stage, chunks if counted."""

    per_question: PerQuestion
    seconds: dict[str, float]
    chunks: int | None = None


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """Two settings on the same questions; ``conclusion`` is a sentence about a leading metric."""

    what: str
    dataset: str
    a: Measured
    b: Measured
    metrics: dict[str, MetricComparison]
    leading: str
    conclusion: str


def compare_runs(a: PerQuestion, b: PerQuestion) -> dict[str, MetricComparison]:
    """Compare two runs over the same questions, for each metric with values in both.

    Raises:
        RequestError: The runs do not have the same number of questions.
    """
    compared: dict[str, MetricComparison] = {}
    for name in (name for name in a if name in b):
        if a[name].shape != b[name].shape:
            raise _unequal(a[name], b[name])
        both = ~(np.isnan(a[name]) | np.isnan(b[name]))
        if both.any():
            first, second = a[name][both], b[name][both]
            means = float(first.mean()), float(second.mean())
            found = paired_bootstrap(first, second)
            compared[name] = MetricComparison(*means, len(first), found)
    return compared


def compare(what: str, dataset: str, a: Measured, b: Measured) -> ComparisonResult:
    """Compare two sides question by question, by a paired bootstrap."""
    metrics = compare_runs(a.per_question, b.per_question)
    leading = LEADING[what] if LEADING[what] in metrics else next(iter(metrics))
    conclusion = conclude(leading, metrics[leading])
    return ComparisonResult(what, dataset, a, b, metrics, leading, conclusion)


def answers_per_question(
    result: AnswersResult, off_topic: int, judgement: Judgement | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return the figures of each question; the last ``off_topic`` ones are off-topic."""
    cases = result.cases
    refused = np.array([case.answer.refused for case in cases], dtype=np.bool_)
    is_on_topic = np.arange(len(cases)) < len(cases) - off_topic
    columns: dict[str, Any] = {
        "answer_recall": [float(case.correct) if case.gold else None for case in cases],
        "refused_on_topic": np.where(is_on_topic, refused, np.nan),
        "refused_off_topic": np.where(is_on_topic, np.nan, refused),
        "cited": np.where(refused, np.nan, [bool(case.answer.citations) for case in cases]),
        "words": np.where(refused, np.nan, [count_words(to_judged(c).answer) for c in cases]),
    }
    if judgement:
        for name in judgement.metrics:
            columns[name] = [verdict.scores.get(name) for verdict in judgement.verdicts]
    return {name: np.array(values, dtype=np.float64) for name, values in columns.items()}


def conclude(name: str, compared: MetricComparison) -> str:
    """Return a sentence that says whether a difference is real."""
    found = compared.comparison
    if found.better == found.worse == 0:
        return f"No difference: {name} is the same with A and B on each of the questions."
    direction = "higher" if found.difference >= 0 else "lower"
    size = f"{name} is {abs(found.difference):.4f} {direction} with B"
    interval = f"95 % interval {found.low:+.4f} to {found.high:+.4f}"
    if found.real:
        return (
            f"The change is real: {size} ({interval}); chance alone would bring that about in "
            f"{_share(found.p_value)} cases."
        )
    advice = ""
    if compared.questions < 50:
        few = f"There are only {compared.questions} questions"
        advice = f" {few}: more of them show smaller differences."
    return (
        f"No real difference can be seen: {size} ({interval}), but chance alone would bring as "
        f"much about in {_share(found.p_value)} cases.{advice}"
    )


def _unequal(a: NDArray[np.float64], b: NDArray[np.float64]) -> RequestError:
    return RequestError(
        f"two runs over the same questions are needed, not of {a.shape} and {b.shape}"
    )


def _share(p_value: float) -> str:
    if p_value < 0.001:
        return "fewer than 1 of 1,000"
    return f"{p_value * 100:.0f} of 100" if p_value >= 0.05 else f"{p_value * 1000:.0f} of 1,000"
