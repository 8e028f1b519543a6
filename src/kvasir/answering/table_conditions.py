"""Conditions on a table's rows that are no cell's value: months, comparisons, yes and no.

A period is understood only if the table has each of its months once; a comparison only if its
number can be read in one way. The words are those of the language in which a question is read.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from kvasir.answering.tables import Row, is_gap

Compare = Callable[[Decimal, Decimal], bool]

_NUMBER = r"(?P<number>\d+(?:[.,'’ \u00a0\u202f]\d+)*)"
_POINT = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_COMMA = re.compile(r"(?:\d{1,3}(?:[. '’\u00a0\u202f]\d{3})+|\d+)(?:,\d+)?")
_THREE_DECIMALS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
_POINT_LANGUAGES = ("en", "zh")

_SIGNS: dict[str, Compare] = {
    "≤": operator.le,
    "≥": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}

_COMPARISONS: dict[str, dict[str, str]] = {
    "en": {
        "≤": r"at most|no more than|not more than|up to",
        "≥": r"at least|no less than|no fewer than|not less than",
        "<": r"(?:less|fewer|lower|smaller|shorter|cheaper|lighter) than|under|below",
        ">": r"(?:more|greater|higher|larger|bigger|longer|heavier|more expensive) than|over|above",
    },
    "es": {
        "≤": r"como máximo|no más de|hasta",
        "≥": r"al menos|por lo menos|como mínimo|no menos de",
        "<": r"menos de|(?:menor(?:es)?|inferior(?:es)?|más (?:cort|barat|baj)[oa]s?) (?:que|de|a)|"
        r"por debajo de",
        ">": r"más de|(?:mayor(?:es)?|superior(?:es)?|más (?:larg|car|alt)[oa]s?) (?:que|de|a)|"
        r"por encima de",
    },
    "de": {
        "≤": r"höchstens|maximal|nicht mehr als|bis zu",
        "≥": r"mindestens|nicht weniger als",
        "<": r"(?:weniger|kleiner|kürzer|billiger|günstiger|niedriger|leichter) als|unter",
        ">": r"(?:mehr|größer|länger|teurer|höher|schwerer) als|über",
    },
    "fr": {
        "≤": r"au plus|pas plus de|jusqu['’]à",
        "≥": r"au moins|pas moins de",
        "<": r"moins de|inférieure?s? à|en dessous de|"
        r"(?:plus (?:courte?|petite?|basse?)s?|moins chère?s?) que",
        ">": r"plus de|supérieure?s? à|plus (?:longue?|grande?|chère?|haute?)s? que|au-dessus de",
    },
}
_WIDE_COMPARISONS: tuple[tuple[str, str], ...] = (
    ("≤", rf"(?:不超过|最多|不高于|不大于){_NUMBER}"),
    ("≥", rf"(?:至少|不少于|不低于|不小于){_NUMBER}"),
    ("<", rf"(?:少于|低于|小于|不到|不足){_NUMBER}"),
    (">", rf"(?:超过|多于|高于|大于){_NUMBER}"),
)

_MONTHS = """
    january jan january janvier janv enero ene januar jänner 一月 1月 01月
    february feb février févr fév febrero februar 二月 2月 02月
    march mar mars marzo märz mrz 三月 3月 03月
    april apr avril avr abril abr 四月 4月 04月
    may mai mayo 五月 5月 05月
    june jun juin junio juni 六月 6月 06月
    july jul juillet juil julio juli 七月 7月 07月
    august aug août agosto ago 八月 8月 08月
    september sep sept septembre septiembre 九月 9月 09月
    october oct octobre octubre oktober okt 十月 10月
    november nov novembre noviembre 十一月 11月
    december dec décembre déc diciembre dic dezember dez 十二月 12月
"""
MONTH_NUMBERS = {
    name: number
    for number, line in enumerate(_MONTHS.strip().splitlines(), 1)
    for name in line.split()
}
_YEAR = re.compile(r"(?<![\s/-])[\s/-]*(?:\d{4}|['’]\d\d)$|^\d{4}\s*年?[\s/-]*")
ANY_MONTH = "|".join(sorted(map(re.escape, MONTH_NUMBERS), key=len, reverse=True))

_BEFORE_A_MONTH = re.compile(
    rf"(?:st|nd|rd|th|\.)?\s*(?:of |de |d['’])?(?:{ANY_MONTH})(?!\w)", re.IGNORECASE
)
"""After a number that is the day of a month."""

_RANGES = {
    "en": r"(?:from )?{a} (?:to|until|till|through) {b}|between {a2} and {b2}",
    "es": r"(?:desde|de) {a} (?:a|hasta) {b}|entre {a2} y {b2}",
    "de": r"(?:von )?{a} bis (?:einschließlich )?{b}|zwischen {a2} und {b2}",
    "fr": r"(?:de |d['’]){a} (?:à|jusqu['’]en) {b}|entre {a2} et {b2}",
    "zh": r"从?{a}(?:到|至){b}",
}
_HALVES = {
    "en": (r"(?:the )?{} half(?: of the year)?", ("first|1st", "second|last|2nd")),
    "es": (r"(?:el )?{} semestre", ("primer", "segundo|último")),
    "de": (r"(?:de[rsnm] )?{} (?:Halbjahr(?:es|s)?|Jahreshälfte)", (r"erste\w?", r"zweite\w?")),
    "fr": (r"(?:le )?{} semestre", ("premier|1er", "second|deuxième|dernier")),
    "zh": ("{}半年", ("上", "下")),
}
_QUARTERS = {
    "en": (
        r"(?:the )?{} quarter(?: of the year)?",
        ("first|1st", "second|2nd", "third|3rd", "fourth|last|4th"),
    ),
    "es": (r"(?:el )?{} trimestre", ("primer", "segundo", "tercer", "cuarto|último")),
    "de": (
        r"(?:de[rsnm] )?{} Quartals?",
        (r"erste\w?", r"zweite\w?", r"dritte\w?", r"vierte\w?"),
    ),
    "fr": (
        r"(?:le )?{} trimestre",
        ("premier|1er", "deuxième|second", "troisième", "quatrième|dernier"),
    ),
    "zh": ("第?{}季度", ("一", "二", "三", "四")),
}

_YES_WORDS = "yes y true ja sí si oui vrai wahr x ✓ 是 有"
_NO_WORDS = "no n false nein non faux falsch 否 无"
_YES, _NO = frozenset(_YES_WORDS.split()), frozenset(_NO_WORDS.split())


@dataclass(frozen=True, slots=True)
class Comparison:
    """A number with which the values of a column are compared."""

    sign: str
    number: Decimal
    written: str

    def holds(self, value: Decimal) -> bool:
        """Return True if a value compares so."""
        return _SIGNS[self.sign](value, self.number)


@dataclass(frozen=True, slots=True)
class Period:
    """The months, 1 to 12, of which the rows are meant."""

    months: range

    def rows(self, rows: Sequence[Row], column: int) -> tuple[Row, ...] | None:
        """Return the rows of the period; None if not each of its months has one row."""
        named = [(month_of(row.cells[column]), row) for row in rows]
        chosen = [(month, row) for month, row in named if month in self.months]
        if {month for month, _ in chosen} != {*self.months} or len(chosen) != len(self.months):
            return None
        return tuple(row for _, row in chosen)


def comparison_in(question: str, language: str) -> tuple[Comparison | None, str]:
    """Return the comparison with a number in a question, and the question without it.

    None without a comparison, with several, or with a number that can be read in two ways.
    """
    patterns: tuple[tuple[str, str], ...]
    if language == "zh":
        patterns = _WIDE_COMPARISONS
    else:
        patterns = tuple(
            (sign, rf"\b(?:{words})\s+{_NUMBER}")
            for sign, words in _COMPARISONS.get(language, {}).items()
        )
    for sign, pattern in patterns:
        match = re.search(pattern, question, re.IGNORECASE)
        number = match and _number(match["number"], language)
        if match and number is not None and not _BEFORE_A_MONTH.match(question[match.end() :]):
            rest = f"{question[: match.start()]} {question[match.end() :]}"
            return Comparison(sign, number, match["number"]), rest
    return None, question


def _number(written: str, language: str) -> Decimal | None:
    """Return the number that a question means; None if it may be another one."""
    has_point = language in _POINT_LANGUAGES
    usual, other = (_POINT, _COMMA) if has_point else (_COMMA, _POINT)
    decimal = "." if has_point else ","
    if not usual.fullmatch(written):
        if not other.fullmatch(written) or _THREE_DECIMALS.fullmatch(written):
            return None
        decimal = "," if has_point else "."
    elif _THREE_DECIMALS.fullmatch(written) and decimal in written:
        return None
    whole, _, rest = written.partition(decimal)
    return Decimal(f"{re.sub(r'[^0-9]', '', whole)}.{rest or 0}")


def period_in(question: str, language: str) -> tuple[Period | None, str]:
    """Return the months that a question names as a period, and the question without them."""
    for pattern, months in _periods(language):
        match = pattern.search(question)
        if match is None:
            continue
        if months is None:
            first, last = (
                MONTH_NUMBERS[name.casefold()] for name in match.groups() if name is not None
            )
            months = range(first, last + 1)
        if months:
            return Period(months), f"{question[: match.start()]} {question[match.end() :]}"
    return None, question


def _periods(language: str) -> list[tuple[re.Pattern[str], range | None]]:
    """Return the patterns of a language; the months of a range stand in the question."""
    edge = "" if language == "zh" else r"\b"
    found: list[tuple[re.Pattern[str], range | None]] = []
    for forms, length in ((_HALVES, 6), (_QUARTERS, 3)):
        form, numbers = forms.get(language, ("", ()))
        for place, words in enumerate(numbers):
            pattern = re.compile(f"{edge}{form.format(f'(?:{words})')}{edge}", re.IGNORECASE)
            found.append((pattern, range(1 + place * length, 1 + (place + 1) * length)))
    if language in _RANGES:
        month = f"({ANY_MONTH})"
        ranges = _RANGES[language].format(a=month, b=month, a2=month, b2=month)
        found.append((re.compile(f"{edge}(?:{ranges}){edge}", re.IGNORECASE), None))
    return found


def month_of(cell: str) -> int | None:
    """Return the month, 1 to 12, that a cell names, with or without its year."""
    plain = _YEAR.sub("", cell.casefold().strip()).strip(" .")
    return MONTH_NUMBERS.get(plain)


def is_no(word: str) -> bool:
    """Return True if a word is a no, as a table has it."""
    return word.casefold() in _NO


def yes_of(cells: Sequence[str]) -> frozenset[str]:
    """Return the values that mean yes in a column of yes and no; else nothing."""
    filled = {cell for cell in cells if not is_gap(cell)}
    yes = frozenset(cell for cell in filled if cell.casefold() in _YES)
    rest = {cell.casefold() for cell in filled - yes}
    is_marked = any(map(is_gap, cells))
    return yes if yes and rest <= _NO and (rest or is_marked) else frozenset()
