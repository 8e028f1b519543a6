"""Dates and times among metadata: text in ISO 8601, compared as points and periods of time.

A value of metadata is a date if its text is a day (``2024-03-15``) or a time
(``2024-03-15T08:30:00+01:00``; seconds, their fraction and the zone may be missing). It is stored
as it is written. A time without a zone is in UTC.

The value of a filter is a period: a day, in a range also a year (``2024``) or a month
(``2024-03``); a time is a period without length. So ``<= 2024-03-15`` has all of that day and
``> 2024-03-15`` nothing of it, in UTC.

Source: ISO 8601-1:2019; RFC 3339.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_YEAR_OR_MONTH = re.compile(r"([0-9]{4})(?:-([0-9]{2}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_LONGEST = 40
_END_OF_TIME = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH + _DAY).total_seconds()


class Period(NamedTuple):
    """Seconds since 1970 in UTC: from ``start`` until before ``end``; a time has both equal."""

    start: float
    end: float


@lru_cache(maxsize=4096)
def parse(text: str) -> date | datetime | None:
    """Return a day, or a time with its zone; None if the text is neither."""
    if len(text) > _LONGEST or not _DATE.fullmatch(text):
        return None
    try:
        if len(text) == 10:
            return date.fromisoformat(text)
        value = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def seconds(text: str) -> float | None:
    """Return the point in time of a date, in seconds since 1970; a day is its beginning."""
    found = parse(text)
    return None if found is None else _seconds(found)


def keys(text: str) -> tuple[str, ...]:
    """Return the normal forms of a date: those of the filter values that equal it.

    A time has its time in UTC and the day of that, a day itself; other text has none.
    """
    key = normal(text)
    if key is None:
        return ()
    return (key,) if len(key) == 10 else (key, key[:10])


def normal(text: str) -> str | None:
    """Return the normal form of a date: the day, or the time in UTC; None if it is none."""
    found = parse(text)
    if not isinstance(found, datetime):
        return None if found is None else found.isoformat()
    try:
        return found.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    except OverflowError:
        return None


def bound(operator: str, text: str) -> tuple[str, float] | None:
    """Return operator and seconds since 1970 of a range that a filter's date limits.

    ``operator`` is ``>``, ``>=``, ``<`` or ``<=``; None if the text is no date, month or year.
    """
    period = _period(text)
    if period is None:
        return None
    start, end = period
    if start == end or operator in (">=", "<"):
        return operator, start
    return (">=" if operator == ">" else "<"), end


def from_timestamp(value: float) -> str:
    """Return seconds since 1970 as a time in UTC; empty if they are out of range."""
    try:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return ""


def _period(text: str) -> Period | None:
    found = parse(text)
    if isinstance(found, datetime):
        return Period(_seconds(found), _seconds(found))
    if found is not None:
        start = _seconds(found)
        return Period(start, start + _DAY.total_seconds())
    match = _YEAR_OR_MONTH.fullmatch(text)
    if match is None:
        return None
    year, month = int(match[1]), int(match[2] or 0)
    if not year or month > 12 or match[2] == "00":
        return None
    first = _seconds(date(year, month or 1, 1))
    after = (year, month + 1) if month and month < 12 else (year + 1, 1)
    end = _END_OF_TIME if after[0] > 9999 else _seconds(date(*after, 1))
    return Period(first, end)


def _seconds(value: date | datetime) -> float:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return (value - _EPOCH).total_seconds()
