"""Arithmetic on the scores of passages: scale, neighbours, and text under a heading."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kvasir.components.generators.extractive_passages import Passage
from kvasir.components.generators.extractive_selection import Scores

SECONDARY_COST = 0.7
"""Deducted for captions, code, headers of mails, and lines that look like headings."""
COST_OF_A_WEAK_ROW = 0.3
"""Deducted for a row that shares few terms."""


def inherit_heading_scores(scores: Scores, found: Sequence[Passage]) -> Scores:
    """Give text under a heading or question its score; table rows do not end the inheritance.

    The first quotable sentence that is not secondary is the last to inherit. Scores never pass
    from one hit to another.
    """
    result = scores.copy()
    inherited = -np.inf
    for i, passage in enumerate(found):
        if i and found[i - 1].marker != passage.marker:
            inherited = -np.inf
        result[i] = max(result[i], inherited - SECONDARY_COST * passage.is_secondary)
        if passage.quotable and not passage.is_secondary:
            inherited = -np.inf
        elif not passage.quotable and not passage.is_row:
            inherited = result[i]
        elif passage.is_table_header:
            inherited = max(inherited, result[i] - COST_OF_A_WEAK_ROW)
    return result


def scaled(values: Scores) -> Scores:
    """Return the values from 0, the lowest, to 1, the highest; all 1 where they are equal."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.ones_like(values)


def neighbours(words: Scores, found: Sequence[Passage]) -> Scores:
    """Return the better score of the sentences before and after each one."""
    result = np.zeros_like(words)
    for i in range(1, len(found)):
        if found[i - 1].marker == found[i].marker:
            result[i] = max(result[i], words[i - 1])
            result[i - 1] = max(result[i - 1], words[i])
    return result
