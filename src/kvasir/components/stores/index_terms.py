"""The parts of metadata that stores index for filters, with the meaning of ``filters.matches``.

A store keeps for every entry, in a form of its own:

- each item of the value, by its type;
- the normal forms of each date (``dates.keys``): a filter's date equals one of them;
- of the source URI its folders, for ``under``;
- the numbers and, apart from them, the points in time, for ranges.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

from kvasir.core import dates
from kvasir.core.filters import MOST_FOLDERS, SOURCE_URI, items_of
from kvasir.core.types import MetadataScalar, MetadataValue


def date_keys(value: MetadataValue) -> Iterator[str]:
    """Yield the normal forms of all dates of a value."""
    for item in items_of(value):
        if isinstance(item, str):
            yield from dates.keys(item)


def date_key(value: MetadataScalar) -> str | None:
    """Return the normal form of a filter's value; None if it is no date."""
    return dates.normal(value) if isinstance(value, str) else None


def folders(field: str, value: MetadataValue) -> Iterator[str]:
    """Yield the folders that a source is in, outermost first, each with its slash."""
    if field != SOURCE_URI or not isinstance(value, str):
        return
    ends = [place for place, letter in enumerate(value, 1) if letter in "/\\"]
    for end in ends[:MOST_FOLDERS]:
        yield value[:end]


def numbers(value: MetadataValue) -> list[float]:
    """Return the finite numbers of a value."""
    found = map(finite_number, items_of(value))
    return [number for number in found if number is not None]


def times(value: MetadataValue) -> list[float]:
    """Return the points in time of a value's dates, in seconds since 1970."""
    found = (dates.seconds(item) for item in items_of(value) if isinstance(item, str))
    return [point for point in found if point is not None]


def limit(operator: str, value: object) -> tuple[str, float] | None:
    """Return operator and finite number of a range; None if nothing can be in it.

    For a date it is one of points in time, else one of numbers.
    """
    if isinstance(value, str):
        return dates.bound(operator, value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.copysign(math.inf, value)
    if math.isfinite(number):
        return operator, number
    is_upper = operator in ("<", "<=")
    if (number > 0) != is_upper:
        return None
    return ("<=" if is_upper else ">="), math.copysign(sys.float_info.max, number)


def finite_number(value: object) -> float | None:
    """Return a value as a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
