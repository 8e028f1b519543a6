"""The paired bootstrap tells a real difference from chance."""

from math import erfc

import numpy as np
import pytest

from kvasir.core.errors import RequestError
from kvasir.core.types import Answer, Citation
from kvasir.core.wire import to_json
from kvasir.evaluation.answers import AnswerCase, AnswersResult
from kvasir.evaluation.compare import (
    answers_per_question,
    compare_runs,
    conclude,
    paired_bootstrap,
)
from kvasir.evaluation.judges import Judgement, Verdict


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
    with pytest.raises(RequestError, match="same questions"):
        paired_bootstrap(np.zeros(sizes[0]), np.zeros(sizes[1]))


def test_questions_that_a_metric_does_not_apply_to_are_left_out():
    a = {"x": np.array([0.0, np.nan, 1.0, 0.5]), "only_a": np.zeros(4), "never": np.full(4, np.nan)}
    b = {"x": np.array([1.0, 1.0, np.nan, 0.5]), "never": np.full(4, np.nan)}
    compared = compare_runs(a, b)
    assert list(compared) == ["x"]
    assert (compared["x"].a, compared["x"].b, compared["x"].questions) == (0.25, 0.75, 2)
    assert to_json(compared["x"])["comparison"]["difference"] == 0.5


def test_runs_over_other_questions_are_refused():
    with pytest.raises(RequestError, match="same questions"):
        compare_runs({"x": np.zeros(3)}, {"x": np.zeros(4)})


@pytest.mark.parametrize(
    ("change", "count", "words"),
    [
        (0.2, 300, "The change is real: m is 0.2"),
        (-0.2, 300, "lower with B"),
        (0.0, 300, "No difference: m is the same"),
        (0.001, 300, "No real difference can be seen: m is"),
        (0.001, 10, "There are only 10 questions"),
    ],
)
def test_the_conclusion_says_in_words_whether_a_change_is_real(change, count, words):
    random = np.random.default_rng(1)
    a = random.random(count)
    b = a + change * (1 + random.normal(0, 20 if abs(change) < 0.1 else 0.1, count))
    assert words in conclude("m", compare_runs({"m": a}, {"m": b})["m"])


def test_the_figures_of_answers_stand_by_question():
    citation = Citation(1, "d", "/d", None, "two words", 0, 9)
    given = Answer("two words [1]", (citation,))
    refused = Answer("Nothing of it.", refused=True)
    cases = (
        AnswerCase("q1", ("two",), given, True),
        AnswerCase("q2", ("x",), refused, False),
        AnswerCase("off", (), refused, False),
    )
    result = AnswersResult("set", 0.5, 2, 0.5, 1.0, 0, 0.0, 1, 1, 1, 0, 2, {}, cases)
    verdicts = (Verdict({"faithfulness": 0.5}), Verdict(), Verdict())
    judgement = Judgement({"faithfulness": 0.5}, {}, {}, verdicts)
    found = answers_per_question(result, 1, judgement)
    nan = np.nan
    expected = {
        "answer_recall": [1, 0, nan],
        "refused_on_topic": [0, 1, nan],
        "refused_off_topic": [nan, nan, 1],
        "cited": [1, nan, nan],
        "words": [2, nan, nan],
        "faithfulness": [0.5, nan, nan],
    }
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
