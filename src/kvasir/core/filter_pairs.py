"""Filters as people type them: ``language=es,year>=2020,title="Rules, part 2"``.

Pairs of a field and a value are joined by commas and must all hold. Between the two stands ``=``,
``!=``, ``<``, ``<=``, ``>`` or ``>=``; the first one counts, so that a value may contain others. A
value or field in quotation marks (``"`` or ``'``, doubled inside) may contain anything.

A value without quotation marks is the text and also the number or truth value that it spells:
``year=2020`` matches 2020 and "2020".
"""

from __future__ import annotations

import json
import re

from kvasir.core import dates
from kvasir.core.errors import FilterError
from kvasir.core.types import Comparison, Filter, Logical, MetadataScalar

_QUOTED = r"\"((?:[^\"]|\"\")*)\"|'((?:[^']|'')*)'"
# Possessive, so that a long run of spaces is read once: filters come from anyone who may search.
_BEGINNING = re.compile(rf"\s*+(?:{_QUOTED}|([^=<>!,\"'\s][^=<>!,]*+))\s*+(==|=|!=|<=|>=|<|>)\s*+")
_VALUE = re.compile(rf"(?:{_QUOTED})\s*+(?=,|\Z)|([^,]*+)")
_NEXT = re.compile(r"[^,]*,?")


def parse_pairs(text: str) -> list[Filter]:
    """Return the comparisons of a text.

    Raises:
        FilterError: A part is no comparison, a quotation mark is not closed, or a range has
            neither number nor date.
    """
    found: list[Filter] = []
    position = 0
    while position < len(text):
        beginning = _BEGINNING.match(text, position)
        if beginning is None:
            part = _NEXT.match(text, position)
            assert part is not None
            if part[0].strip(" \t\r\n,"):
                raise _malformed(part[0].strip(" \t\r\n,"))
            position = part.end()
            continue
        value = _VALUE.match(text, beginning.end())
        assert value is not None
        field = _unquoted(beginning) if beginning[3] is None else beginning[3].strip()
        if not field:
            raise _malformed(text[position : value.end()].strip())
        operator = beginning[4].replace("==", "=")
        if value[3] is not None and value[3].startswith(('"', "'")):
            raise FilterError(
                f"the value {value[3].strip()} of filter field '{field}' begins with a quotation "
                "mark and does not end with it: close it, or write one inside it twice"
            )
        if value[3] is None:
            found.append(_compared(field, operator, (_unquoted(value),)))
        else:
            found.append(_compared(field, operator, _meanings(value[3].strip())))
        position = value.end() + 1
    return found


def _malformed(part: str) -> FilterError:
    return FilterError(
        f"filter '{part}' is not of the form field=value (or !=, <, <=, >, >=); several are joined "
        'by commas, and a value with a comma is written in quotation marks: title="Rules, part 2"'
    )


def _unquoted(match: re.Match[str]) -> str:
    return match[2].replace("''", "'") if match[1] is None else match[1].replace('""', '"')


def _meanings(text: str) -> tuple[MetadataScalar, ...]:
    """Return a text, and the number or truth value that it spells, if any."""
    try:
        spelt = json.loads(text)
    except (ValueError, RecursionError):
        return (text,)
    return (text, spelt) if isinstance(spelt, (int, float)) else (text,)


def _compared(field: str, operator: str, values: tuple[MetadataScalar, ...]) -> Filter:
    if operator in ("=", "!="):
        if len(values) == 1:
            return Comparison(field, "==" if operator == "=" else "!=", values[0])
        return Comparison(field, "in" if operator == "=" else "not in", values)
    limits = [value for value in values if _limits(operator, value)]
    ranges = tuple(Comparison(field, operator, value) for value in limits or values[:1])
    return ranges[0] if len(ranges) == 1 else Logical("OR", ranges)


def _limits(operator: str, value: MetadataScalar) -> bool:
    """Return True if a value limits a range: a number, or a date, year or month."""
    if isinstance(value, str):
        return dates.bound(operator, value) is not None
    return not isinstance(value, bool)
