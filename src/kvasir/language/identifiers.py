"""Identifiers in text: part numbers, versions, options, addresses, numbers written in groups.

A tokenizer cuts them into words that say little: ``2.10.1`` and ``2.1.10`` have the same ones, and
``C++`` has that of ``C``. So they are also indexed whole, and each way to write a number or a code
leads to one word: ``1,250,000`` and ``1.250.000`` to ``1250000``, ``AX-200-C`` to ``ax200c``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LETTERS = "A-Za-z\u00b5\u00c0-\u024f\u0300-\u052f\u1e00-\u1fff"
"""Letters of identifiers and their accents, as a character class: Latin, Greek, Cyrillic.

Chinese characters are none: they stand beside an identifier without a space.
"""
_L = f"0-9{_LETTERS}"
_UNITS = (
    "mm|cm|dm|km|m|mg|kg|g|t|ml|cl|dl|hl|l|ms|min|s|h|kb|mb|gb|tb|pb|kib|mib|gib|tib|kbit|mbit|gbit"
    "|hz|khz|mhz|ghz|mw|kw|gw|kwh|mwh|wh|w|mv|kv|v|ma|mah|ah|nm|pa|hpa|kpa|mpa|bar|mbar|psi|rpm"
    "|dpi|px|pt|db|lm|lx|ppm|kcal|kj|µm|µg|µs|ft|lb|lbs|oz|mph|km/h|m/s"
)
_HYPHENS = str.maketrans("\u2010\u2011\u2212", "---")

_COMPOUND = re.compile(rf"(?<![{_L}])[{_L}]++(?:(?:::|__|[-._/:@+\\])[{_L}]++)+")
"""Possessive, since no connector is among the letters: a word that has none is read once."""
_OPTION = re.compile(
    r"(?:(?<=^)|(?<=[\s`'\"(\[{<|,;*“‘«]))--?[A-Za-z][A-Za-z0-9]*(?:[-_.][A-Za-z0-9]+)*"
)
_LANGUAGE = re.compile(rf"(?<![{_L}])(?:[A-Za-z]\+\+|[A-Za-z]#)(?![{_L}#+])")
_DOTTED = re.compile(rf"(?<![{_L}.)\]/])\.[A-Za-z][A-Za-z0-9]+")
_AMPERSAND = re.compile(rf"(?<![{_L}&])[{_LETTERS}]{{1,4}}(?:&[{_LETTERS}]{{1,4}})+(?![{_L}&;=])")
"""Names such as ``AT&T``; not the parameters of an address."""
_LETTER = re.compile(rf"(?<![{_L}.'’+#&-])[B-HJ-Z](?![{_L}+#.'’&-])")
_GROUPED = re.compile(
    r"(?<![\w.,])(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d{1,3}(?:(?P<by>[.'’ \u00a0\u2009\u202f])\d{3})"
    r"(?:(?P=by)\d{3})*)(?![\d])(?![.,]\d{3}(?!\d))"
)
_HYPHENATED = re.compile(r"(?<![\w.,+-])\d+(?:-\d+){1,6}(?![\w-])(?!\.\d)")
_ISBN = re.compile(r"(?<![\w.,+-])97[89](?:[ -]\d{1,7}){3} \d(?![\w-])(?!\.\d)")
_TELEPHONE = re.compile(
    r"(?<![\w.,+-])(?<!\d )(?:\+\d|00?[1-9]|\(\+?\d)\d{0,5}\)?"
    r"(?:[ /.\u00a0-]{1,2}\(?\d{1,8}\)?){1,7}(?![\w-])"
)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?(?!\w)")
_DATE = re.compile(
    r"(?:1\d|20)\d\d-[01]?\d-[0-3]?\d|\d{1,2}([-./])\d{1,2}\1(?:\d\d|\d{4})|\d{4}-\d{4}"
)
"""Days, and years from and to."""
_FEWEST_JOINED, _MOST_JOINED = 7, 19
"""Digits of numbers that are also written without separators: telephone numbers, ISBN, cards."""
_NUMBER = re.compile(r"(?<![A-Za-z0-9])\d+(?![A-Za-z0-9])")
_MIXED = re.compile(rf"(?<![{_L}])(?:\d+(?=[{_LETTERS}])|[{_LETTERS}]+(?=\d))[{_L}]+")
_MEASURE = re.compile(
    rf"(?<![{_L}.,])(\d+(?:[.,]\d+)*)([ \u00a0\u202f]?)({_UNITS})(?![{_L}/])", re.IGNORECASE
)
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_V_VERSION = re.compile(r"v\d+(?:\.\d+)+")
_DIGIT = re.compile(r"\d")
_PARTS = re.compile(r"[/@\\]|::?")
_CONNECTOR = re.compile(r"[-._/:@+\\]+")
_ORDINARY = re.compile(
    rf"[{_LETTERS}]+(?:[-/][{_LETTERS}]+)*(?:\.[{_LETTERS}])?|(?:[{_LETTERS}]\.)+[{_LETTERS}]"
)
"""Compounds of everyday text: ``well-known``, ``and/or``, ``u.s``."""
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th|s|er|e|ème|te|ten|ter)")
_LONGEST = 120
_LONG_NUMBER = 5
"""Digits from which on a plain number is an identifier."""


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The identifiers of a text, repeated as often as they stand there.

    Attributes:
        exact: As they are written, in lower case: ``2.10.1``, ``ax-200-c``, ``--foo``, ``c++``.
        words: Words that stand for them in a keyword index: ``ax200c``, ``1250000``.
    """

    exact: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def find_identifiers(text: str) -> Identifiers:
    """Return the identifiers of a text."""
    text = text.translate(_HYPHENS)
    exact: list[str] = []
    words: list[str] = []
    for match in _COMPOUND.finditer(text):
        if len(match[0]) <= _LONGEST:
            _add_compound(match[0].lower(), exact, words)
    if "&" in text:
        exact += (match[0].lower() for match in _AMPERSAND.finditer(text))
    if "#" in text or "+" in text:
        exact += (match[0].lower() for match in _LANGUAGE.finditer(text))
    exact += (match[0].lower() for match in _DOTTED.finditer(text))
    if "-" in text:
        # The case of a single letter counts: -x and -X are two options.
        options = (match[0] for match in _OPTION.finditer(text))
        exact += (each if len(each) == 2 else each.lower() for each in options)
    exact += (f"={match[0]}" for match in _LETTER.finditer(text))
    if _DIGIT.search(text):
        words += (_digits(match[0]) for match in _GROUPED.finditer(text))
        words += _joined_numbers(text)
        for number, gap, unit in _measures(text):
            if number.isdigit():
                words += [f"{number}{unit}"] if gap else [number, unit]
            else:
                exact += [f"{number}{unit}", number]
    return Identifiers(tuple(exact), tuple(words))


def identifying_values(text: str) -> frozenset[str]:
    """Return what names one thing in a text, in one spelling each, for comparing two texts.

    ``AX-200-C`` gives ``ax-200-c`` and ``ax200c``, ``1,250,000 l`` gives ``1250000`` and
    ``1250000l``; everyday words such as ``well-known`` give nothing.
    """
    found = find_identifiers(text)
    text = text.translate(_HYPHENS)
    values = {form for form in found.exact if not _ORDINARY.fullmatch(form)}
    values.update(word for word in found.words if not word.isalpha() and len(word) > 3)
    values.update(f"{number}{unit}" for number, _, unit in _measures(text))
    rest = _MEASURE.sub(" ", _COMPOUND.sub(" ", text))
    mixed = (match[0].lower() for match in _MIXED.finditer(rest))
    values.update(each for each in mixed if not _ORDINAL.fullmatch(each))
    values.update(each for each in _NUMBER.findall(rest) if len(each) >= _LONG_NUMBER)
    return frozenset(values)


def numbers(text: str) -> list[str]:
    """Return the digits of every number that stands by itself."""
    return _NUMBER.findall(text)


def _add_compound(found: str, exact: list[str], words: list[str]) -> None:
    if _GROUPED.fullmatch(found) or _MEASURE.fullmatch(found):
        return
    forms = [found]
    if _PARTS.search(found):
        forms += [part for part in _PARTS.split(found) if _CONNECTOR.search(part)]
    versions = {version for form in forms for version in _VERSION.findall(form)}
    forms += sorted(versions.difference(forms))
    if _V_VERSION.fullmatch(found):
        forms = forms[1:]
    exact += forms
    for form in forms:
        joined = _CONNECTOR.sub("", form)
        if _DIGIT.search(joined) and not joined.isdigit() and form not in versions:
            words.append(joined)


def _joined_numbers(text: str) -> set[str]:
    """Return numbers in groups of any size as one word: ISBN, telephone numbers, IBAN."""
    patterns = _HYPHENATED, _ISBN, _TELEPHONE
    found = {match[0] for pattern in patterns for match in pattern.finditer(text)}
    joined = {_digits(each) for each in found if not _DATE.fullmatch(each)}
    joined = {each for each in joined if _FEWEST_JOINED <= len(each) <= _MOST_JOINED}
    return joined | {match[0].replace(" ", "").lower() for match in _IBAN.finditer(text)}


def _measures(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield each number with a unit: the number, the gap between them, and the unit."""
    for match in _MEASURE.finditer(text):
        if _ORDINAL.fullmatch(match[0]):
            continue
        number = match[1]
        plain = _digits(number) if _GROUPED.fullmatch(number) else number.replace(",", ".")
        yield plain, match[2], match[3].lower().replace("/", "")


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))
