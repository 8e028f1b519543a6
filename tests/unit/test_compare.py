"""The paired bootstrap tells a real difference from chance."""

from math import erfc

import numpy as np
import pytest

from kvasir.core.errors import UserError
from kvasir.evaluation.compare import paired_bootstrap


def test_a_steady_gain_is_real():
    random = np.random.default_rng(0)
    a = random.random(400)
    b = a + random.normal(0.03, 0.05, 400)
    result = paired_bootstrap(a, b)
    assert result.real
    assert 0 < result.low < result.difference < result.high
    assert result.better > result.worse


def test_noise_alone_is_seldom_called_real():
    random = np.random.default_rng(1)
    found = [
        paired_bootstrap(np.zeros(100), random.normal(0.0, 0.1, 100), samples=500, seed=number).real
        for number in range(100)
    ]
    assert sum(found) <= 12


def test_equal_runs_do_not_differ():
    a = np.linspace(0, 1, 50)
    result = paired_bootstrap(a, a)
    assert (result.difference, result.p_value, result.better, result.worse) == (0.0, 1.0, 0, 0)


def test_the_p_value_is_that_of_the_normal_approximation():
    random = np.random.default_rng(2)
    a = random.random(80)
    b = a + random.normal(0.02, 0.1, 80)
    difference = b - a
    z = abs(difference.mean()) / (difference.std() / np.sqrt(80))
    assert 0.01 < erfc(z / np.sqrt(2)) < 0.9, "the case must be one where it matters"
    assert paired_bootstrap(a, b).p_value == pytest.approx(erfc(z / np.sqrt(2)), abs=0.02)


@pytest.mark.parametrize("sizes", [(3, 4), (0, 0)])
def test_runs_over_different_questions_are_refused(sizes):
    with pytest.raises(UserError, match="same questions"):
        paired_bootstrap(np.zeros(sizes[0]), np.zeros(sizes[1]))
