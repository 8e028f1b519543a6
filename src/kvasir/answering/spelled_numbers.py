"""The numbers of a text in forms that can be compared: 1,250 is 1.250 and 1250, May is month 5."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NUMBER = re.compile(r"\d+(?:[.,'’\u00a0\u202f]\d+)*")
_GROUPED = re.compile(r"\d{1,3}(?:[.,'’\u00a0\u202f]\d{3})+$")
_DATE = re.compile(
    r"\b(?:\d{4}-\d{1,2}(?:-\d{1,2})?|\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{1,2}/\d{4})\b"
)
"""A date in digits: any of its numbers may be the month."""
_LETTERS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_CHINESE = re.compile("[零〇一二三四五六七八九十百千万亿两]{1,12}")
_SCALE = re.compile(
    r"\s*(?:(thousand|mil|mille|tausend|nghìn|ngàn|千)|(ten thousand|万|萬)"
    r"|(millions?|millón|millones|Millionen|triệu)|(亿|億)"
    r"|(billions?|milliards?|Milliarden|tỷ|tỉ))(?![a-z])",
    re.IGNORECASE,
)
_NEXT_WORD = 15
"""Characters after a number in which its scale stands."""
_LONGEST = 40
"""Characters of a number up to which it is read as one; a longer one is only equal to itself."""
_SCALES = (10**3, 10**4, 10**6, 10**8, 10**9)

_WORDS = {
    "de": "zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
    "en": "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty",
    "es": "dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince",
    "fr": "deux trois quatre cinq six sept huit - dix onze douze treize quatorze quinze seize",
    "vi": "hai ba bốn - sáu bảy tám chín mười",
}
"""Words for 2, 3, ...; a dash stands for one with another frequent meaning."""
_TENS = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "es": "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
}
_MONTHS = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "en": "January February March April May June July August September October November December",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
}
_MONTH = "month "
_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000}
_LARGE = {"万": 10**4, "亿": 10**8}


def _spelled(language: str) -> dict[str, str]:
    words = _WORDS.get(language, "").split()
    spelled = {word: str(value) for value, word in enumerate(words, 2) if word != "-"}
    tens = _TENS.get(language, "").split()
    spelled |= {word: str(10 * value) for value, word in enumerate(tens, 2)}
    units = [(word, value) for word, value in spelled.items() if int(value) < 10]
    if language == "en":
        units.append(("one", "1"))
        spelled |= {
            f"{ten}-{unit}": str(10 * number + int(value))
            for number, ten in enumerate(tens, 2)
            for unit, value in units
        }
    return spelled


_SPELLED = {language: _spelled(language) for language in _WORDS}


def values(text: str, language: str) -> list[tuple[str, frozenset[str]]]:
    """Return each number, number word and month name of a text, with its forms.

    Two numbers may be the same if they share a form. Words for one are left out, because most are
    articles. ``language`` is an ISO 639-1 code.
    """
    return [*_digits(text), *_words(text, language)]


def _digits(text: str) -> Iterator[tuple[str, frozenset[str]]]:
    dates = [match.span() for match in _DATE.finditer(text)]
    for match in _NUMBER.finditer(text):
        number = match[0]
        if len(number) > _LONGEST:
            yield number, frozenset({number})
        elif any(start <= match.start() < end for start, end in dates):
            for part in re.findall(r"\d+", number):
                yield part, frozenset({*_forms(part), f"{_MONTH}{int(part)}"})
        elif len(re.findall(r"\D", number)) > 1 and not _GROUPED.match(number):
            for part in re.findall(r"\d+", number):
                yield part, frozenset(_forms(part))
        else:
            yield number, frozenset(_scaled(_forms(number), text[match.end() :][:_NEXT_WORD]))


def _scaled(forms: set[str], following: str) -> set[str]:
    """Add the forms of a number before "million" or its like."""
    scale = _SCALE.match(following)
    if scale is None:
        return forms
    factor = next(f for f, found in zip(_SCALES, scale.groups(), strict=True) if found)
    return forms | {_plain(float(form) * factor) for form in forms}


def _words(text: str, language: str) -> Iterator[tuple[str, frozenset[str]]]:
    spelled = _SPELLED.get(language, {})
    months = _MONTHS.get(language, "").split()
    for word in _LETTERS.findall(text):
        if (digits := spelled.get(word.casefold())) is not None:
            yield word, frozenset({digits})
        elif word in months:
            number = str(months.index(word) + 1)
            yield word, frozenset({_MONTH + number})
    for numeral in _CHINESE.findall(text) if language == "zh" else ():
        if (value := _chinese(numeral)) > 1:
            yield numeral, frozenset({str(value)})


def _forms(number: str) -> set[str]:
    """Return the readings of digits with separators, without needless zeros."""
    digits = re.sub(r"\D", "", number)
    if _GROUPED.match(number):
        forms = {str(int(digits))}
        separators = re.findall(r"\D", number)
        if len(separators) == 1 and separators[0] in ".,":  # 1.250 may have decimals, too.
            forms.add(_plain(float(re.sub(r"\D", ".", number))))
        return forms
    whole, *rest = re.split(r"\D", number)
    return {_plain(float(f"{whole}.{rest[0]}"))} if rest else {str(int(digits))}


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 9))


def _chinese(numeral: str) -> int:
    """Return the value of a Chinese numeral such as 二十五 or 一九四九."""
    if not any(sign in _UNITS or sign in _LARGE for sign in numeral):
        return int("".join(str(_DIGITS[sign]) for sign in numeral))
    total = section = digit = 0
    for sign in numeral:
        if sign in _DIGITS:
            digit = _DIGITS[sign]
        elif sign in _UNITS:
            section += (digit or 1) * _UNITS[sign]
            digit = 0
        else:
            total += (section + digit or 1) * _LARGE[sign]
            section = digit = 0
    return total + section + digit
