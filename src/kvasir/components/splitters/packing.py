"""Units packed into chunks: the cheapest cuts, found by dynamic programming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import inf

from kvasir.components.splitters.outline import Joint, Unit

_CUT = {
    Joint.NONE: 2.0,
    Joint.SENTENCE: 2.0,
    Joint.ROW: 1.0,
    Joint.LINE: 0.2,
    Joint.INTRODUCTION: 0.5,
    Joint.BLOCK: 0.0,
    Joint.HEADING: 0.0,
}
"""Cost of a cut. A chunk twice as long as the target costs 1, one half as long 0.25."""

_CUT_GLUED = 10.0
_ACROSS_HEADING = 0.5


@dataclass(frozen=True, slots=True)
class Measured:
    """A unit and its lengths in tokens.

    Attributes:
        unit: The unit.
        tokens: Of the unit's text.
        lead_tokens: Of the headings directly before it.
        overhead: Of the heading path, the repeated table header and the special tokens.
    """

    unit: Unit
    tokens: int
    lead_tokens: int
    overhead: int


def pack(units: Sequence[Measured], target: int, limit: int) -> list[tuple[int, int]]:
    """Return the cheapest chunks, each as the index of its first unit and the one after its last.

    A chunk costs the square of its relative distance from the target. A section of a single
    paragraph, list or table between target and limit costs nothing. Each cut costs by its joint,
    and each heading inside a chunk costs too.

    Args:
        units: The units in order.
        target: Desired tokens of a chunk.
        limit: Maximum tokens of a chunk, unless a single unit has more.
    """
    count = len(units)
    best = [0.0] + [inf] * count
    before = [0] * (count + 1)
    for first in range(count):
        for last, cost in _costs(units, first, target, limit):
            total = best[first] + cost
            if total < best[last]:
                best[last], before[last] = total, first
    chunks: list[tuple[int, int]] = []
    end = count
    while end:
        chunks.append((before[end], end))
        end = before[end]
    return chunks[::-1]


def _costs(
    units: Sequence[Measured], first: int, target: int, limit: int
) -> list[tuple[int, float]]:
    """Return the possible ends of a chunk that starts at ``first``, each with its cost."""
    opening = units[first]
    shared = len(opening.unit.path)
    tokens = opening.overhead
    headings, blocks = 0, 1
    found: list[tuple[int, float]] = []
    for last in range(first, len(units)):
        unit = units[last].unit
        if last > first:
            tokens += units[last].lead_tokens
            blocks += unit.joint in (Joint.BLOCK, Joint.INTRODUCTION)
            if unit.joint is Joint.HEADING:
                headings += 1
                shared = min(shared, common(opening.unit.path, unit.path))
                # Headings that not all units share must be in the chunk's own text.
                if len(opening.unit.path) - shared > len(opening.unit.leads):
                    break
        tokens += units[last].tokens
        if tokens > limit and last > first:
            break
        following = units[last + 1].unit if last + 1 < len(units) else None
        whole = (
            headings == 0
            and blocks == 1
            and (first == 0 or opening.unit.joint is Joint.HEADING)
            and (following is None or following.joint is Joint.HEADING)
        )
        cost = 0.0 if whole and tokens >= target else ((tokens - target) / target) ** 2
        cost += headings * _ACROSS_HEADING
        if following is not None:
            cost += _CUT_GLUED if following.glued else _CUT[following.joint]
        found.append((last + 1, cost))
    return found


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the number of outermost headings that two paths share."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
