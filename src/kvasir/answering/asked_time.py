"""The limit that a question sets to time: before, after, since, until and between dates.

Dates are years, months and days. A date that may be within the limit, such as a year for a limit
within it, is not outside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from kvasir.answering.table_conditions import ANY_MONTH, MONTH_NUMBERS

Day = tuple[int, int, int]
_FIRST, _LAST = 1, 31
_LONGEST_CUE = 60
"""Characters beside a date in which it may be limited."""
_DATE = re.compile(
    r"(?<![\w.,/-])(?P<iso>\d{4})[-/.](?P<iso_month>\d{1,2})(?:[-/.](?P<iso_day>\d{1,2}))?(?![\d-])"
    r"|(?P<wide>\d{4})年(?:(?P<wide_month>\d{1,2})月(?:(?P<wide_day>\d{1,2})[日号])?)?"
    r"|(?<!\w)(?:(?P<day>\d{1,2})\.?(?:st|nd|rd|th|er)? (?:of |de |d['’])?)?"
    rf"(?P<month>{ANY_MONTH})\.?(?: (?P<american>\d{{1,2}})(?:st|nd|rd|th)?)?(?!\w)"
    r"(?:,? (?:de |del |of )?(?P<year>\d{4})(?!\w))?"
    r"|(?<![\w.,$€£/-])(?P<alone>(?:1[5-9]|20)\d\d)(?![\w%€$£/-]|[.,]\d"
    r"| ?(?:euros?|eur|usd|k?g|[kcm]?m|t|k?wh?|[mgk]b|m?l|k?hz|v)\b)",
    re.IGNORECASE,
)
_FILLERS = (
    r"\s*(?:(?:the|end of|year|in|im|dem|den|der|jahr|el|la|año|le|l['’]an(?:née)?|de|du|del|năm|"
    r"tháng)\s+|d['’]|l['’])*$"
)


def _cue(words: str, unspaced: str = "(?!)") -> re.Pattern[str]:
    return re.compile(rf"(?:(?<!\w)(?:{words})(?!\w){_FILLERS}|(?:{unspaced})$)", re.IGNORECASE)


_NEGATED = re.compile(r"(?:\b(?:not|nicht|no|pas|không)|不)\s*$", re.IGNORECASE)
_BEFORE = _cue(
    "before|prior to|earlier than|older than|vor|früher als|älter als|antes|anterior(?:es)? a|"
    "avant|plus anciens? que|trước"
)
_AFTER = _cue(
    "after|later than|newer than|more recent than|nach|später als|neuer als|después|"
    "posterior(?:es)? a|más recientes? que|après|plus récents? que|sau"
)
_SINCE = _cue("since|seit|ab|desde|a partir|depuis|à partir|dès|từ|kể từ", "自|自从")
_UNTIL = _cue(
    "no later than|not after|until|till|up to|bis|hasta|jusqu['’](?:en|à|au)", "截至|直到"
)
_BETWEEN = _cue("between|from|zwischen|von|entre|desde|de|del|du|giữa|từ", "从|在|自")
_JOINT = re.compile(
    r"\s*(?:and|to|until|till|through|und|bis|y|a|hasta|et|à|au|và|đến|–|—|-|到|至|和|与)"
    r"\s*(?:(?:the|den|dem|el|le)\s+)?",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s*(?:–|—|-|到|至)\s*")
"""Between two dates that need no other word."""
_LATER = re.compile(
    r"\s*(?:(?:or|and) (?:later|after)|on(?=\W*$)|onwards?|oder später|o (?:más tarde|después)|"
    r"ou (?:plus tard|après)|trở đi|以来|起)",
    re.IGNORECASE,
)
_EARLIER = re.compile(
    r"\s*(?:(?:or|and) (?:earlier|before)|oder früher|o antes|ou (?:plus tôt|avant))", re.IGNORECASE
)
_WIDE_BEFORE = re.compile(r"\s*(?:之前|以前|前)")
_WIDE_AFTER = re.compile(r"\s*(?:之后|以后|后)")


_NO_NOUN = (
    r"(?:the|a|an|in|on|at|by|for|from|to|of|and|or|but|with|is|are|was|were|has|have|had|do|does|did|there|"
    r"it|i|we|you|they|he|she|not|en|de|del|con|por|para|y|o|a|al|que|se|fue|dans|et|ou|à|au|du|des|"
    r"pour|par|avec|est|sont|était|ở|tại|và|của|có|là)\b"
)
_GERMAN_CUE = re.compile(
    r"(?<!\w)(?:vor|nach|seit|ab|bis|von|zwischen|und|früher als|später als|älter als|neuer als)\s+"
    r"(?:dem\s+|den\s+|zum\s+)?(?:jahr\s+|ende\s+)?$",
    re.I,
)
_COUNTED = re.compile(rf"\s+(?!(?i:{_NO_NOUN}))[^\W\d_\u3400-\u9fff]")
_COUNTED_GERMAN = re.compile(r"\s+[A-ZÄÖÜ]")
"""A noun, which begins with a capital letter in German."""


@dataclass(frozen=True, slots=True)
class _Date:
    first: Day
    last: Day
    has_year: bool
    is_bare: bool
    start: int
    end: int


def limit_of(text: str, *, is_sure: bool = True) -> Callable[[str], bool] | None:
    """Return a function that is True for a text with dates that are all outside; None: no limit.

    With ``is_sure`` a number that may count something, as in "up to 2000 people", limits nothing.
    """
    is_within = _limit(text, is_sure=is_sure)
    if is_within is None:
        return None

    def is_outside(other: str) -> bool:
        dates = [date for date in _dates(other) if date.has_year]
        return bool(dates) and not any(map(is_within, dates))

    return is_outside


def _limit(text: str, *, is_sure: bool) -> Callable[[_Date], bool] | None:
    dates = list(_dates(text))
    for date, following in zip_longest(dates, dates[1:]):
        before = text[max(0, date.start - _LONGEST_CUE) : date.start]
        after = text[date.end : date.end + _LONGEST_CUE]
        joint = text[date.end : following.start] if following else ""
        if following and _JOINT.fullmatch(joint):
            is_range = _RANGE.fullmatch(joint) or _BETWEEN.search(before)
            if not is_range or not following.has_year or (is_sure and _is_no_time(following, text)):
                return None
            first = date.first if date.has_year else (following.first[0], *date.first[1:])
            last = following.last
            return lambda other: other.last >= first and other.first <= last
        if not date.has_year or (is_sure and _is_no_time(date, text)):
            continue
        if found := _one_sided(date, before, after):
            return found
    return None


def _is_no_time(date: _Date, text: str) -> bool:
    """Return True if a bare year counts or names the thing behind it.

    That is "up to 2000 people", "the 1906 earthquake".
    """
    if not date.is_bare:
        return False
    before = text[max(0, date.start - _LONGEST_CUE) : date.start]
    counted = _COUNTED_GERMAN if _GERMAN_CUE.search(before) else _COUNTED
    return bool(counted.match(text, date.end))


def _one_sided(date: _Date, before: str, after: str) -> Callable[[_Date], bool] | None:
    first, last = date.first, date.last
    if _UNTIL.search(before) or _EARLIER.match(after):
        return lambda other: other.first <= last
    if _SINCE.search(before) or _LATER.match(after):
        return lambda other: other.last >= first
    for cue, wide, found in (
        (_BEFORE, _WIDE_BEFORE, lambda other: other.first < first),
        (_AFTER, _WIDE_AFTER, lambda other: other.last > last),
    ):
        said = cue.search(before)
        if said and _NEGATED.search(before[: said.start()]):
            return None
        if said or wide.match(after):
            return found
    return None


def _dates(text: str) -> Iterator[_Date]:
    for found in _DATE.finditer(text):
        groups = found.groupdict()
        year = groups["iso"] or groups["wide"] or groups["year"] or groups["alone"]
        named = groups["month"]
        month = int(groups["iso_month"] or groups["wide_month"] or 0)
        month = MONTH_NUMBERS.get(named.casefold(), 0) if named else month
        day = int(
            groups["iso_day"] or groups["wide_day"] or groups["day"] or groups["american"] or 0
        )
        if month > 12 or day > _LAST:
            continue
        number = int(year or 0)
        first = (number, month or 1, day or _FIRST)
        last = (number, month or 12, day or _LAST)
        is_bare = bool(groups["alone"])
        yield _Date(first, last, bool(year), is_bare, *found.span())
