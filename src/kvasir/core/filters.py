"""Metadata filters: a tree that every store translates to its own query language.

Comparison operators are those of Haystack's filter syntax. A missing field equals no value: ``!=``
and ``not in`` match it, all other operators do not. Values are data; a store never pastes them into
an expression.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from operator import ge, gt, le, lt
from typing import Any

from kvasir.core.errors import FilterError
from kvasir.core.text import has_surrogates
from kvasir.core.types import Comparison as Comparison
from kvasir.core.types import Filter as Filter
from kvasir.core.types import Logical as Logical
from kvasir.core.types import Metadata, MetadataValue

_ORDERINGS = {">": gt, ">=": ge, "<": lt, "<=": le}
COMPARISONS = ("==", "!=", *_ORDERINGS, "in", "not in")
LOGICAL = ("AND", "OR", "NOT")
NOT_FINITE = ("nan", "inf", "-inf")
_MAX_LEVELS = 64
_TOO_DEEP = f"the filter is nested more than {_MAX_LEVELS} levels deep"


def parse_filter(raw: str | Mapping[str, Any] | Filter | None) -> Filter | None:
    """Parse a filter that a user wrote.

    Args:
        raw: ``"url=https://a/?b=c,lang=es"`` (comma-separated pairs, split on the first ``=``,
            joined by AND), a mapping in Haystack's syntax or its JSON, a parsed filter, or
            None. In pairs, ``year=2026`` matches the number as well as the text.

    Raises:
        FilterError: The expression is malformed; the message names the faulty part.
    """
    if isinstance(raw, (Comparison, Logical)):
        found: Filter | None = raw
    elif isinstance(raw, str):
        found = _parse_pairs(raw)
    else:
        found = _parse_mapping(raw) if raw else None
    if found is not None:
        _check(found)
    return found


def all_of(*filters: Filter | None) -> Filter | None:
    """Return the AND of all filters that are not None; None if there is none."""
    conditions = tuple(each for each in filters if each is not None)
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return Logical("AND", conditions)


def _check(condition: Filter) -> None:
    """Raise FilterError if a filter is nested too deeply or has text that is not UTF-8."""
    waiting = [(condition, 1)]
    while waiting:
        each, level = waiting.pop()
        if level > _MAX_LEVELS:
            raise FilterError(_TOO_DEEP)
        if isinstance(each, Logical):
            waiting += [(inner, level + 1) for inner in each.conditions]
            continue
        values = each.value if isinstance(each.value, tuple) else (each.value,)
        if any(isinstance(text, str) and has_surrogates(text) for text in (each.field, *values)):
            raise FilterError(f"the filter for {each.field!r} is not UTF-8 text")


def _parse_pairs(raw: str) -> Filter | None:
    if raw.lstrip().startswith("{"):
        return _parse_mapping(_parse_json(raw))
    conditions: list[Filter] = []
    for pair in (part.strip() for part in raw.split(",")):
        field, separator, value = (part.strip() for part in pair.partition("="))
        if field and separator and field[-1] not in "<>!":
            conditions.append(_equals(field, value))
        elif pair:
            raise FilterError(
                f"filter '{pair}' is not of the form field=value; several are joined by commas, "
                'other comparisons written {"field": "year", "operator": ">=", "value": 2020}'
            )
    return all_of(*conditions)


def _parse_json(raw: str) -> Any:
    try:
        return json.loads(raw)
    except RecursionError as error:
        raise FilterError(_TOO_DEEP) from error
    except ValueError as error:
        raise FilterError(f"the filter begins with '{{' but is not JSON: {error}") from error


def _equals(field: str, value: str) -> Filter:
    """Compare with a text, and with the number or boolean that the text represents, if any."""
    as_text = Comparison(field, "==", value)
    try:
        spelt = json.loads(value)
    except (ValueError, RecursionError):
        return as_text
    if not isinstance(spelt, (int, float)):
        return as_text
    return Logical("OR", (as_text, Comparison(field, "==", spelt)))


def _parse_mapping(raw: Mapping[str, Any], level: int = 1) -> Filter:
    if not isinstance(raw, Mapping):
        raise FilterError(f"a filter must be a mapping, not {type(raw).__name__}: {raw!r}")
    if level > _MAX_LEVELS:
        raise FilterError(_TOO_DEEP)
    operator = raw.get("operator")
    if "conditions" in raw:
        if operator not in LOGICAL:
            raise FilterError(
                f"'operator' beside 'conditions' must be AND, OR or NOT: {operator!r}"
            )
        conditions = raw["conditions"]
        if not isinstance(conditions, Sequence) or isinstance(conditions, str) or not conditions:
            raise FilterError("'conditions' must be a list with at least one filter")
        return Logical(str(operator), tuple(_parse_mapping(item, level + 1) for item in conditions))
    if operator not in COMPARISONS:
        raise FilterError(f"unknown operator {operator!r}; known: {', '.join(COMPARISONS)}")
    if not isinstance(raw.get("field"), str) or "value" not in raw:
        raise FilterError(f"a comparison needs 'field', 'operator' and 'value': {dict(raw)!r}")
    return _comparison(raw["field"].removeprefix("meta."), str(operator), raw["value"])


def _comparison(field: str, operator: str, value: Any) -> Comparison:
    if operator in ("in", "not in"):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise FilterError(f"'{operator}' needs a list of values for field '{field}'")
        return Comparison(field, operator, tuple(_scalar(field, item) for item in value))
    value = _scalar(field, value)
    if operator in _ORDERINGS and isinstance(value, (str, bool)):
        raise FilterError(f"'{operator}' needs a number for field '{field}', not {value!r}")
    return Comparison(field, operator, value)


def to_mapping(condition: Filter) -> dict[str, Any]:
    """Return a filter in Haystack's syntax as JSON data, which ``parse_filter`` reads.

    Numbers that are not finite become ``{"float": "nan"}``, ``"inf"`` or ``"-inf"``.
    """
    if isinstance(condition, Logical):
        conditions = [to_mapping(item) for item in condition.conditions]
        return {"operator": condition.operator, "conditions": conditions}
    value = condition.value
    written = [_plain(item) for item in value] if isinstance(value, tuple) else _plain(value)
    return {"field": f"meta.{condition.field}", "operator": condition.operator, "value": written}


def _plain(value: MetadataValue) -> Any:
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return value if is_finite else {"float": str(value)}


def _scalar(field: str, value: Any) -> MetadataValue:
    if isinstance(value, Mapping) and value.keys() == {"float"} and value["float"] in NOT_FINITE:
        return float(value["float"])
    if not isinstance(value, (str, int, float, bool)):
        raise FilterError(f"field '{field}' cannot be compared with {value!r}")
    return value


def matches(condition: Filter, metadata: Metadata) -> bool:
    """Return True if metadata match a filter; every store must give the same result."""
    if isinstance(condition, Logical):
        results = (matches(item, metadata) for item in condition.conditions)
        if condition.operator == "AND":
            return all(results)
        return any(results) if condition.operator == "OR" else not all(results)
    return _matches_comparison(condition, metadata.get(condition.field))


def _matches_comparison(condition: Comparison, actual: MetadataValue | None) -> bool:
    operator, value = condition.operator, condition.value
    if isinstance(value, tuple):
        return any(_equal(actual, item) for item in value) == (operator == "in")
    if operator in ("==", "!="):
        return _equal(actual, value) == (operator == "==")
    if not isinstance(actual, (int, float)) or isinstance(actual, bool):
        return False
    return isinstance(value, (int, float)) and _ORDERINGS[operator](actual, value)


def _equal(actual: MetadataValue | None, value: MetadataValue) -> bool:
    """Compare values; text, numbers and booleans are never equal, but 1 equals 1.0."""
    if actual is None or isinstance(actual, bool) != isinstance(value, bool):
        return False
    return isinstance(actual, str) == isinstance(value, str) and actual == value
