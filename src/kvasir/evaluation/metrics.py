"""Rank metrics of retrieval: nDCG@10, recall at 1, 5 and 10, MRR@10.

They follow trec_eval, so that figures compare with published ones: gains are the judgements,
the discount is ``1 / log2(rank + 1)``, documents of equal score are in descending order of their
id, and a judged query without results counts as 0. The tests compare them with ``ir_measures``.

Source: https://github.com/usnistgov/trec_eval (m_ndcg_cut.c, m_recall.c, m_recip_rank.c).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2, sqrt

import numpy as np
from numpy.typing import NDArray

Qrels = Mapping[str, Mapping[str, int]]
"""Judgements: query id -> document id -> grade; a grade above 0 means relevant."""
Run = Mapping[str, Mapping[str, float]]
"""Results: query id -> document id -> score, higher is better."""

DEPTH = 10
"""Number of ranked documents of a query that count."""
_BLOCK = 500
METRICS = ("ndcg@10", "recall@10", "recall@5", "recall@1", "mrr@10")


def per_query(qrels: Qrels, run: Run) -> dict[str, NDArray[np.float64]]:
    """Return each of ``METRICS`` as a float64 array [queries], in the order of ``qrels``."""
    rows = [_metrics(grades, run.get(query, {})) for query, grades in qrels.items()]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(METRICS))
    return {name: table[:, column] for column, name in enumerate(METRICS)}


def mean(values: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Return the mean of each metric over its queries; 0 where there are none."""
    return {name: float(array.mean()) if array.size else 0.0 for name, array in values.items()}


def confidence_intervals(
    values: Mapping[str, NDArray[np.float64]],
) -> dict[str, tuple[float, float]]:
    """Return the 95 % bootstrap interval of each metric's mean, from float64 [queries]."""
    table = np.column_stack(list(values.values()))
    if not table.size:
        return dict.fromkeys(values, (0.0, 0.0))
    low, high = np.quantile(bootstrap_means(table, 2000, seed=0), [0.025, 0.975], axis=0).tolist()
    return dict(zip(values, zip(low, high, strict=True), strict=True))


def wilson_interval(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, ``count`` of ``total``, as (low, high); 0..1 of none.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22 (158), 209-212.
    """
    if not total:
        return 0.0, 1.0
    z, share = 1.959964, count / total
    centre = share + z * z / (2 * total)
    spread = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max((centre - spread) / scale, 0.0), min((centre + spread) / scale, 1.0)


def bootstrap_means(table: NDArray[np.float64], samples: int, seed: int) -> NDArray[np.float64]:
    """Return bootstrap means [samples, columns] of a table, float64 [queries, columns]."""
    rng = np.random.default_rng(seed)
    queries = len(table)
    weights = np.full(queries, 1 / queries)
    # Counts of draws replace the draws themselves; blocks bound the memory.
    blocks = [
        rng.multinomial(queries, weights, min(_BLOCK, samples - start)) @ table / queries
        for start in range(0, samples, _BLOCK)
    ]
    return np.concatenate(blocks)


def _metrics(grades: Mapping[str, int], scores: Mapping[str, float]) -> tuple[float, ...]:
    ranked = sorted(scores, key=lambda document: (scores[document], document), reverse=True)
    gains = [max(grades.get(document, 0), 0) for document in ranked[:DEPTH]]
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    if not ideal:
        return (0.0,) * len(METRICS)
    recalls = [sum(map(bool, gains[:depth])) / len(ideal) for depth in (10, 5, 1)]
    reciprocal_rank = next((1 / rank for rank, gain in enumerate(gains, 1) if gain), 0.0)
    return (_discounted(gains) / _discounted(ideal[:DEPTH]), *recalls, reciprocal_rank)


def _discounted(gains: list[int]) -> float:
    return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains, 1))
