"""Shows a spreadsheet's value as its number format does: 7.5 %, 01067, 26:30, $1,234.50.

Days that are written in numbers alone come in ISO form, because 03/04/24 is another day in each
country and Excel itself changes the order with the reader's settings.
"""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache

from openpyxl.styles.numbers import is_date_format
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, from_excel
from xlfmt import format_value

_GENERAL = frozenset({"", "General", "general", "@"})
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!\$|h|m|s)[^\]]*\]', re.IGNORECASE)
_LOCALE = re.compile(r"\[\$-(?:[0-9a-f]*,)?([0-9a-f]+)[^\]]*\]", re.IGNORECASE)
_ENGLISH = re.compile(r"(?:.*0)?[0-9a-f]?[0-9a-f]?09|F[48]00", re.IGNORECASE)
_SHORT_YEAR = re.compile(r"(?<!y)yy(?!y)", re.IGNORECASE)
_ERA = re.compile(r'("[^"]*"|\\.|_.|\*.|\[[^\]]*\])|(e+|b+)|g+', re.IGNORECASE)
"""Texts, years of an era, and names of eras in a format of dates."""
_YEAR_OF_ERA = re.compile(r"g*(?:e+|b+)")
_SIMPLE = re.compile(r"(?P<grouped>#,##)?0(?:\.(?P<places>0+))?(?P<percent>%)?")
_PLACES = re.compile(r"([#,]*0)(\.[0#?]+)?(?![0#?.])")
_SCALED = re.compile(r"0,+(?![#0])|[0#?]\s*/|0E[+-]", re.IGNORECASE)
"""Formats that show thousands, a fraction or a power of ten."""
_GENERAL_FORMAT = "General"
_LARGEST_SIMPLE = 1e15
_DAY = dt.timedelta(days=1)


def shown(value: object, number_format: str) -> str:
    """Return a cell's value as its format shows it, empty where the format shows nothing."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if number_format in _GENERAL:
        return _plain(value)
    if isinstance(value, (int, float)) and _shows_year_of_era(number_format):
        with suppress(ValueError, OverflowError):
            value = from_excel(value)
    if isinstance(value, (dt.datetime, dt.date)):
        return _date(value, _gregorian(number_format))
    if isinstance(value, str) and "@" not in number_format:
        return value
    if isinstance(value, dt.timedelta):
        # Excel keeps durations as days.
        value = value / _DAY
    return _formatted(value, number_format)


def shown_exactly(value: str, number_format: str, *, starts_1904: bool = False) -> str:
    """Return a stored number as its format shows it, but with all of its digits.

    A format of days and times decides about days that count from 1904 or 1900.
    """
    try:
        number = Decimal(value)
    except InvalidOperation:
        return value
    if not number.is_finite() or abs(number) >= _LARGEST_SIMPLE:
        return value
    if is_date_format(number_format):
        epoch = CALENDAR_MAC_1904 if starts_1904 else CALENDAR_WINDOWS_1900
        try:
            return shown(from_excel(float(number), epoch), number_format)
        except (ValueError, OverflowError):
            return value
    plain = _plain(float(number))
    if number_format in _GENERAL or not _PLACES.search(number_format) or "e" in plain:
        return plain
    return shown(float(number), _with_places(number_format, len(plain.partition(".")[2])))


def _with_places(number_format: str, places: int) -> str:
    """Return a number format that shows at least so many decimal places of the number."""
    if _SCALED.search(number_format):
        return _GENERAL_FORMAT
    places = max(places - 2, 0) if "%" in number_format else places
    return _PLACES.sub(lambda found: _wider(found, places), number_format)


def _wider(found: re.Match[str], places: int) -> str:
    own = found[2] or ""
    return found[1] + (own if len(own) > places or not places else f".{'0' * places}")


def _formatted(value: object, number_format: str) -> str:
    simple = _SIMPLE.fullmatch(number_format)
    if simple and isinstance(value, (int, float)) and abs(value) < _LARGEST_SIMPLE:
        return _decimal(value, simple)
    try:
        text = str(format_value(value, number_format))
    except (ValueError, TypeError, OverflowError, ArithmeticError):
        return _plain(value)
    return " ".join(text.split())


def _decimal(value: float, form: re.Match[str]) -> str:
    """Return a number in one of the usual formats, rounded as Excel does."""
    number = Decimal(repr(value))
    if form["percent"]:
        number *= 100
    number = number.quantize(Decimal(1).scaleb(-len(form["places"] or "")), ROUND_HALF_UP)
    grouping = "," if form["grouped"] else ""
    # Adding 0 leaves out the sign of a negative zero.
    return f"{number + 0:{grouping}f}{form['percent'] or ''}"


def _plain(value: object) -> str:
    if isinstance(value, float):
        # As Excel shows it: 15 significant digits, no negative zero.
        return f"{value + 0.0:.15g}"
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    return str(value)


@lru_cache(maxsize=512)
def _shows_year_of_era(number_format: str) -> bool:
    """Return True for a format of a year alone, in which openpyxl sees no date."""
    letters = _LITERAL.sub("", _LOCALE.sub("", number_format)).lower()
    return _YEAR_OF_ERA.fullmatch(letters) is not None


@lru_cache(maxsize=512)
def _gregorian(number_format: str) -> str:
    """Return a format with the year of our calendar instead of that of an emperor or of Buddha."""
    return _ERA.sub(lambda found: found[1] or ("yyyy" if found[2] else ""), number_format)


def _date(value: dt.date, number_format: str) -> str:
    date_form, time_form = _iso_form(number_format)
    if not date_form:
        return _formatted(value, _SHORT_YEAR.sub("yyyy", number_format))
    return value.strftime(f"{date_form}{time_form}")


@lru_cache(maxsize=512)
def _iso_form(number_format: str) -> tuple[str, str]:
    """Return the forms of day and time to write; no form of the day if its names are written."""
    section = number_format.partition(";")[0]
    locale = _LOCALE.search(section)
    letters = _LITERAL.sub("", re.sub(r"\[\$[^\]]*\]", "", section)).lower().replace("am/pm", "")
    is_foreign = locale is not None and not _ENGLISH.fullmatch(locale[1])
    has_names = "mmm" in letters or "ddd" in letters
    if not all(letter in letters for letter in "ymd") or (has_names and not is_foreign):
        return "", ""
    if "h" not in letters:
        return "%Y-%m-%d", ""
    return "%Y-%m-%d", " %H:%M:%S" if "s" in letters else " %H:%M"
