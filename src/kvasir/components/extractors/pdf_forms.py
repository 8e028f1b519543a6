"""Puts the values of form fields beside their labels on a PDF page."""

from __future__ import annotations

from kvasir.components.extractors.pdf_glyphs import Line
from kvasir.components.extractors.pdf_marks import Area

_BESIDE = 0.3
"""Share of its height by which a field overlaps its label."""
_SLACK = 2.0
"""Points by which a field's frame may lie over its label."""


def insert_field(lines: list[Line], text: str, area: Area, *, is_box: bool) -> None:
    """Insert a field as a line: beside its label, else below what is above it.

    The label of a box to tick is often behind it.
    """
    x0, y0, x1, y1 = area
    row = [line for line in lines if _overlap(line.y0, line.y1, y0, y1) > _BESIDE]
    left = max((line for line in row if line.x1 <= x0 + _SLACK), key=_right_edge, default=None)
    right = min((line for line in row if line.x0 >= x1 - _SLACK), key=_left_edge, default=None)
    label = left or right
    if is_box and left and right and right.x0 - x1 <= x0 - left.x1:
        label = right
    if label is None:
        above = [line for line in lines if line.y0 >= (y0 + y1) / 2]
        near = (line for line in above if _overlap(line.x0, line.x1, x0, x1) > 0)
        label = min(near, key=_lower_edge, default=above[-1] if above else None)
    elif label in row:
        # On the label's line, because a field's frame is higher than its text.
        y0, y1 = label.y0, label.y1
    place = lines.index(label) + (label is not right) if label else 0
    size = label.size if label else y1 - y0
    lines.insert(place, Line(text, x0, y0, x1, y1, size, words=[(x0, x1, text)]))


def _overlap(start: float, end: float, other_start: float, other_end: float) -> float:
    """Return by which share of the shorter span two spans overlap."""
    shorter = min(end - start, other_end - other_start)
    return (min(end, other_end) - max(start, other_start)) / max(shorter, 0.1)


def _left_edge(line: Line) -> float:
    return line.x0


def _right_edge(line: Line) -> float:
    return line.x1


def _lower_edge(line: Line) -> float:
    return line.y0
