"""Our metrics give what ir_measures gives."""

import numpy as np
import pytest

from kvasir.evaluation.metrics import METRICS, confidence_intervals, mean, per_query

ir_measures = pytest.importorskip("ir_measures")

NAMES = {"ndcg@10": "nDCG@10", "recall@10": "R@10", "recall@5": "R@5", "recall@1": "R@1"}


def reference(name, qrels, run):
    measure = ir_measures.parse_measure(name)
    values = {m.query_id: m.value for m in ir_measures.iter_calc([measure], qrels, run)}
    return [values[query] for query in qrels]


def random_case(seed, ties):
    random = np.random.default_rng(seed)
    documents = [f"d{number}" for number in range(40)]
    qrels, run = {}, {}
    for number in range(60):
        judged = random.choice(documents, size=random.integers(1, 15), replace=False)
        qrels[f"q{number}"] = {str(d): int(random.integers(0, 4)) for d in judged}
        qrels[f"q{number}"][str(judged[0])] = 1
        if random.random() < 0.8:
            found = random.choice(documents, size=random.integers(1, 30), replace=False)
            scores = random.integers(0, 4, len(found)) if ties else random.random(len(found))
            run[f"q{number}"] = {str(d): float(s) for d, s in zip(found, scores, strict=True)}
    return qrels, run


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("ours", "theirs"), NAMES.items())
def test_a_metric_is_that_of_ir_measures_for_every_query(ours, theirs, seed, ties):
    qrels, run = random_case(seed, ties)
    assert len(run) < len(qrels), "some queries must be missing from the run"
    assert per_query(qrels, run)[ours] == pytest.approx(reference(theirs, qrels, run), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_mrr_is_the_reciprocal_rank_of_ir_measures_down_to_rank_10(seed):
    qrels, run = random_case(seed, ties=False)
    theirs = np.array(reference("RR", qrels, run))
    expected = np.where(theirs >= 0.1 - 1e-9, theirs, 0.0)
    assert per_query(qrels, run)["mrr@10"] == pytest.approx(expected, abs=1e-9)


def test_a_query_without_a_relevant_document_scores_zero():
    values = per_query({"q": {"d": 0}}, {"q": {"d": 1.0}})
    assert mean(values) == dict.fromkeys(METRICS, 0.0)


def test_a_run_without_queries_has_figures_of_zero():
    values = per_query({}, {})
    assert mean(values) == dict.fromkeys(METRICS, 0.0)
    assert set(confidence_intervals(values).values()) == {(0.0, 0.0)}


def test_an_interval_holds_the_mean_and_is_repeatable():
    values = {"x": np.random.default_rng(1).random(300)}
    low, high = confidence_intervals(values)["x"]
    assert low < values["x"].mean() < high
    # The textbook width of a 95 % interval: twice 1.96 standard errors.
    width = 2 * 1.96 * values["x"].std() / np.sqrt(300)
    assert high - low == pytest.approx(width, rel=0.1)
    assert confidence_intervals(values)["x"] == (low, high)
