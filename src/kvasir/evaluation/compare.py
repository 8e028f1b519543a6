"""Says whether one run is really better than another: a paired bootstrap over questions.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 16; Sakai,
"Evaluating Evaluation Metrics based on the Bootstrap", SIGIR 2006.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kvasir.core.errors import UserError
from kvasir.evaluation.metrics import bootstrap_means


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of two runs on the same questions.

    Attributes:
        difference: Mean of b minus mean of a.
        low: Lower bound of its interval.
        high: Upper bound.
        p_value: How often a difference at least this large would arise by chance (two-sided),
            if the runs were equal.
        better: On how many questions b was better.
        worse: On how many it was worse.
    """

    difference: float
    low: float
    high: float
    p_value: float
    better: int
    worse: int

    @property
    def real(self) -> bool:
        """Whether chance is an unlikely explanation (p below 0.05)."""
        return self.p_value < 0.05


def paired_bootstrap(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    *,
    samples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compares two runs question by question.

    Args:
        a: Metric of the first run, float64 [queries].
        b: The same of the second, for the same questions in the same order.
        samples: How often the questions are drawn anew.
        level: Share of the bootstrap differences inside the interval.
        seed: Makes the result repeatable.

    Raises:
        UserError: The runs do not have the same number of questions, or none.
    """
    if a.shape != b.shape or a.ndim != 1 or not a.size:
        raise UserError(
            f"two runs over the same questions are needed, not of {a.shape} and {b.shape}"
        )
    differences = np.asarray(b - a, dtype=np.float64)
    observed = float(differences.mean())
    means = bootstrap_means(differences[:, None], samples, seed)[:, 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    # Around 0, as if the runs were equal; one is added so that p is never 0. The tolerance
    # keeps differences that are equal but for rounding.
    extreme = np.abs(means - observed) >= abs(observed) - 1e-12
    return Comparison(
        difference=observed,
        low=float(low),
        high=float(high),
        p_value=float((extreme.sum() + 1) / (samples + 1)),
        better=int((differences > 0).sum()),
        worse=int((differences < 0).sum()),
    )
