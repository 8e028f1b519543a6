"""Dates in a table's cells, and the months and days by which a question selects rows.

A column is one of dates only if every value in it is read as a date in one way: ``3/4/2026`` is
read by the column's other values, or by the language where that writes the day first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kvasir.answering.table_conditions import ANY_MONTH, MONTH_NUMBERS
from kvasir.answering.tables import is_gap

_MONTHS_OF_A_YEAR = 12
_DAYS = 31
_ISO = re.compile(r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?:[T ][\d:.]+)?")
_WIDE = re.compile(r"(?:(?P<year>\d{4})年)?(?P<month>\d{1,2})月(?P<day>\d{1,2})[日号]")
_SHORT = re.compile(r"(?P<first>\d{1,2})(?P<sign>[./-])(?P<second>\d{1,2})[./-](?P<year>\d{4})")
_NAMED = re.compile(
    rf"(?P<day>\d{{1,2}})\.?(?:st|nd|rd|th|er)? (?:of |de |d['’])?(?P<month>{ANY_MONTH})\.?"
    rf"(?:,? (?:de |del )?(?P<year>\d{{4}}))?",
    re.IGNORECASE,
)
_AMERICAN = re.compile(
    rf"(?P<month>{ANY_MONTH})\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>\d{{4}}))?",
    re.IGNORECASE,
)
_MONTH = re.compile(
    rf"(?P<month>{ANY_MONTH})\.?(?:,? (?:de |del |of )?(?P<year>\d{{4}}))?", re.IGNORECASE
)
_WIDE_MONTH = re.compile(rf"(?:(?P<year>\d{{4}})年)?(?P<month>{ANY_MONTH})份?", re.IGNORECASE)
_ENGLISH_VERBS = frozenset(["may", "mar", "march"])
_DAY_FIRST = ("de", "es", "fr", "it", "nl", "pt", "vi")


@dataclass(frozen=True, slots=True)
class Day:
    """A day, or a month without one; ``year`` is None where none is named."""

    year: int | None
    month: int
    day: int | None
    written: str = ""

    def holds(self, other: Day) -> bool:
        """Return True if another day is this one, or is in this month."""
        same_year = self.year is None or other.year is None or self.year == other.year
        same_day = self.day is None or self.day == other.day
        return same_year and same_day and self.month == other.month


def dates_of(cells: Sequence[str], language: str) -> list[Day | None] | None:
    """Return the dates of a column, None in gaps; None if it is no column of dates."""
    day_first = language in _DAY_FIRST
    found = [match for cell in cells if (match := _SHORT.fullmatch(cell.strip()))]
    firsts = any(int(match["first"]) > _MONTHS_OF_A_YEAR for match in found)
    seconds = any(int(match["second"]) > _MONTHS_OF_A_YEAR for match in found)
    if found and (firsts and seconds):
        return None
    if found and not (firsts or seconds or day_first or found[0]["sign"] == "."):
        return None
    dates: list[Day | None] = []
    for cell in cells:
        if is_gap(cell):
            dates.append(None)
            continue
        date = _date(cell.strip(), month_first=seconds)
        if date is None:
            return None
        dates.append(date)
    return dates if any(dates) else None


def _date(cell: str, *, month_first: bool) -> Day | None:
    if short := _SHORT.fullmatch(cell):
        day, month = int(short["first"]), int(short["second"])
        if month_first:
            day, month = month, day
        return _checked(int(short["year"]), month, day)
    for pattern in (_ISO, _WIDE, _NAMED, _AMERICAN):
        if match := pattern.fullmatch(cell):
            return _of(match)
    return None


def _of(match: re.Match[str]) -> Day | None:
    groups = match.groupdict()
    name = groups["month"].casefold()
    month = MONTH_NUMBERS.get(name) or int(name)
    year, day = groups.get("year"), groups.get("day")
    return _checked(int(year) if year else None, month, int(day) if day else None, match[0])


def _checked(year: int | None, month: int, day: int | None, written: str = "") -> Day | None:
    if not 1 <= month <= _MONTHS_OF_A_YEAR or not 1 <= (day or 1) <= _DAYS:
        return None
    return Day(year, month, day, written)


def day_in(question: str, language: str) -> tuple[Day | None, str]:
    """Return the day or month that a question names, and the question without it.

    None without one, or with several.
    """
    patterns = (_ISO, _WIDE, _WIDE_MONTH) if language == "zh" else (_ISO, _NAMED, _AMERICAN, _MONTH)
    before, after = ("", "") if language == "zh" else (r"(?<!\w)", r"(?!\w)")
    for pattern in patterns:
        bounded = re.compile(f"{before}(?:{pattern.pattern}){after}", re.IGNORECASE)
        found = list(bounded.finditer(question))
        if not found:
            continue
        (match, *others) = found
        day = _of(match)
        is_verb = language == "en" and match[0] in _ENGLISH_VERBS
        if day is None or others or is_verb:
            return None, question
        return day, f"{question[: match.start()]} {question[match.end() :]}"
    return None, question
