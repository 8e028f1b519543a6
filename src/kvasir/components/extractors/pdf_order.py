"""Reading order of a page: the left column, then the right one.

A page has columns if a vertical strip without text has running text on both sides. Lines that
cross the strip (a title, a wide table) divide the page into bands; in each band the left column
comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from kvasir.components.extractors.pdf_lines import Line

_STEPS = 60
_FEWEST_LINES = 4
_RUNNING_TEXT = 0.45
"""A column's typical line fills at least this share of it; the cells of a table do not."""
_OUT_OF_ORDER = 0.25


def reading_order(lines: Sequence[Line]) -> list[list[Line]]:
    """Return the lines as regions in reading order, each from its top."""
    upright = [line for line in lines if not line.is_vertical]
    vertical = [line for line in lines if line.is_vertical]
    return [region for region in (*_regions(upright), vertical) if region]


def _regions(lines: list[Line]) -> list[list[Line]]:
    gutter = _gutter(lines)
    if gutter is None:
        return [_downwards(lines)]
    regions: list[list[Line]] = []
    left: list[Line] = []
    right: list[Line] = []
    wide: list[Line] = []

    def end_band() -> None:
        for column in (left, right):
            regions.extend(_regions(list(column)))
            column.clear()

    for line in sorted(lines, key=lambda item: -item.y1):
        if line.x0 < gutter < line.x1:
            end_band()
            wide.append(line)
            continue
        if wide:
            regions.append(_downwards(wide))
            wide = []
        (left if line.x1 <= gutter else right).append(line)
    end_band()
    return [*regions, wide]


def _gutter(lines: Sequence[Line]) -> float | None:
    """Return the x of the strip between two columns, or None."""
    if len(lines) < 2 * _FEWEST_LINES:
        return None
    start, end = min(line.x0 for line in lines), max(line.x1 for line in lines)
    width = end - start
    steps = range(_STEPS // 4, _STEPS * 3 // 4 + 1)
    candidates = ((start + width * step / _STEPS, abs(step - _STEPS / 2)) for step in steps)
    crossing, _, gutter = min(
        (sum(line.x0 < x < line.x1 for line in lines), distance, x) for x, distance in candidates
    )
    if crossing > len(lines) * 0.25:
        return None
    left = [line for line in lines if line.x1 <= gutter]
    right = [line for line in lines if line.x0 >= gutter]
    if min(len(left), len(right)) < _FEWEST_LINES:
        return None
    for side in (left, right):
        column = max(line.x1 for line in side) - min(line.x0 for line in side)
        if column < width * 0.2 or median(x.x1 - x.x0 for x in side) < column * _RUNNING_TEXT:
            return None
    top = min(max(line.y1 for line in side) for side in (left, right))
    bottom = max(min(line.y0 for line in side) for side in (left, right))
    return gutter if top > bottom else None


def _downwards(lines: Sequence[Line]) -> list[Line]:
    """Return lines from the top, in the producer's order if that is nearly the same."""
    jumps = sum(after.y0 > before.y1 for before, after in pairwise(lines))
    if jumps <= len(lines) * _OUT_OF_ORDER:
        return list(lines)
    return sorted(lines, key=lambda line: (-round(line.y0 / max(line.size, 1)), line.x0))
