"""Scores that all stores and relevance measures share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def dense_score(cosine: float) -> float:
    """Return ``(1 + cosine) / 2``, limited to 0..1."""
    return min(1.0, max(0.0, (1.0 + cosine) / 2.0))


def dense_scores(cosines: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return ``dense_score`` of every cosine of an array, as float64 of the same shape."""
    return np.clip((1.0 + cosines.astype(np.float64)) / 2.0, 0.0, 1.0)


def inverse_document_frequency(total: int, containing: int) -> float:
    """Return BM25's IDF of a term in ``containing`` of ``total`` texts; never negative.

    Source: Lucene's BM25Similarity.
    """
    return math.log(1.0 + (total - containing + 0.5) / (containing + 0.5))
