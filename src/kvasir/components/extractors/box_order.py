"""The reading order of boxes on a slide: bands from the top, in a band one column after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Generic, TypeVar

T = TypeVar("T")

_SLACK = 0.1
"""Boxes may overlap by this share of their size: frames are larger than their text."""


@dataclass(frozen=True, slots=True)
class Box(Generic[T]):
    """Something that lies at a place, in any unit, y downwards."""

    left: float
    top: float
    width: float
    height: float
    item: T


def reading_order(boxes: Sequence[Box[T]], *, from_right: bool = False) -> list[T]:
    """Return what lies in the boxes in the order in which people read it.

    Boxes across the page divide it into bands; in a band each column is read to its end before the
    next. ``from_right`` is for pages in Arabic or Hebrew.
    """
    if from_right:
        boxes = [Box(-box.left - box.width, box.top, box.width, box.height, box.item)
                 for box in boxes]  # fmt: skip
    return [box.item for box in _ordered(list(boxes))]


def _ordered(boxes: list[Box[T]]) -> Iterator[Box[T]]:
    for group in _groups(_parts(boxes, _vertical)):
        columns = _parts(group, _horizontal)
        if all(len(column) == 1 for column in columns):
            # Boxes beside each other: one that is much higher comes first.
            step = max(box.height for box in group) * _SLACK or 1
            yield from sorted(group, key=partial(_from_top, step))
            continue
        if len(columns) == 1:
            yield from sorted(group, key=lambda box: (box.top, box.left))
            continue
        for column in columns:
            yield from _ordered(column)


def _from_top(step: float, box: Box[T]) -> tuple[float, float]:
    return box.top // step, box.left


def _horizontal(box: Box[T]) -> tuple[float, float]:
    return box.left + box.width * _SLACK, box.left + box.width * (1 - _SLACK)


def _vertical(box: Box[T]) -> tuple[float, float]:
    return box.top + box.height * _SLACK, box.top + box.height * (1 - _SLACK)


def _parts(
    boxes: Sequence[Box[T]], span: Callable[[Box[T]], tuple[float, float]]
) -> list[list[Box[T]]]:
    """Divide boxes where a straight line between them crosses none."""
    parts: list[list[Box[T]]] = []
    reach = float("-inf")
    for box in sorted(boxes, key=span):
        start, end = span(box)
        if not parts or start >= reach:
            parts.append([])
        parts[-1].append(box)
        reach = max(reach, end)
    return parts


def _groups(bands: list[list[Box[T]]]) -> Iterator[list[Box[T]]]:
    """Join each band that has columns with the bands below that keep to the same columns."""
    group: list[Box[T]] = []
    for band in bands:
        if group and _keeps_columns(group, band):
            group.extend(band)
            continue
        if group:
            yield group
        group = list(band)
    if group:
        yield group


def _keeps_columns(group: list[Box[T]], band: list[Box[T]]) -> bool:
    columns = [[_horizontal(box) for box in column] for column in _parts(group, _horizontal)]
    gutters = [
        (max(end for _, end in one), min(start for start, _ in other))
        for one, other in pairwise(columns)
    ]
    spans = [_horizontal(box) for box in band]
    return bool(gutters) and all(
        end <= right or start >= left for start, end in spans for left, right in gutters
    )
