"""Metadata filters: a tree that every store translates to its own query language.

Comparison operators are those of Haystack's filter syntax, and ``under``, which selects the sources
of a folder. A missing field equals no value: ``!=`` and ``not in`` match it, all other operators do
not. A list matches if one of its items does; ``!=`` and ``not in`` match if none is equal. Text,
numbers and truth values are never equal. Ranges compare numbers with numbers and dates
(``core.dates``) with dates; a day also equals every time of that day. Values are data; a store
never pastes them into an expression.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from operator import ge, gt, le, lt
from typing import Any

from kvasir.core import dates
from kvasir.core.errors import FilterError
from kvasir.core.filter_pairs import parse_pairs
from kvasir.core.text import has_surrogates
from kvasir.core.types import Comparison as Comparison
from kvasir.core.types import Filter as Filter
from kvasir.core.types import Logical as Logical
from kvasir.core.types import Metadata, MetadataScalar, MetadataValue

_ORDERINGS: Mapping[str, Callable[[float, float], bool]] = {">": gt, ">=": ge, "<": lt, "<=": le}
COMPARISONS = ("==", "!=", *_ORDERINGS, "in", "not in")
UNDER = "under"
"""Matches a ``source_uri`` that begins with the value, which ends in a slash."""
LOGICAL = ("AND", "OR", "NOT")
NOT_FINITE = ("nan", "inf", "-inf")
SOURCE_URI = "source_uri"
MOST_FOLDERS = 64
"""Deepest folder that ``under`` knows."""
_MAX_LEVELS = 64
_TOO_DEEP = f"the filter is nested more than {_MAX_LEVELS} levels deep"


def parse_filter(raw: str | Mapping[str, Any] | Filter | None) -> Filter | None:
    """Parse a filter that a user wrote.

    Args:
        raw: Pairs as of ``core.filter_pairs`` (``"lang=es,year>=2020"``), a mapping in Haystack's
            syntax or its JSON, a parsed filter, or None.

    Raises:
        FilterError: The expression is malformed; the message names the faulty part.
    """
    if isinstance(raw, (Comparison, Logical)):
        found: Filter | None = raw
    elif isinstance(raw, str):
        is_mapping = raw.lstrip().startswith("{")
        found = _parse_mapping(_parse_json(raw)) if is_mapping else all_of(*parse_pairs(raw))
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


def comparisons(condition: Filter) -> Iterator[Comparison]:
    """Yield all comparisons of a filter."""
    if isinstance(condition, Comparison):
        yield condition
        return
    for each in condition.conditions:
        yield from comparisons(each)


def replaced(condition: Filter, replace: Callable[[Comparison], Filter]) -> Filter:
    """Return a filter in which every comparison is replaced by a filter."""
    if isinstance(condition, Comparison):
        return replace(condition)
    conditions = tuple(replaced(each, replace) for each in condition.conditions)
    return Logical(condition.operator, conditions)


def values_of(condition: Comparison) -> tuple[MetadataScalar, ...]:
    """Return the value of a comparison, or its values."""
    return condition.value if isinstance(condition.value, tuple) else (condition.value,)


def _check(condition: Filter) -> None:
    """Raise FilterError for deep nesting, text that is not UTF-8, and unusable values."""
    waiting = [(condition, 1)]
    while waiting:
        each, level = waiting.pop()
        if level > _MAX_LEVELS:
            raise FilterError(_TOO_DEEP)
        if isinstance(each, Logical):
            waiting += [(inner, level + 1) for inner in each.conditions]
            continue
        for text in (each.field, *values_of(each)):
            if isinstance(text, str) and has_surrogates(text):
                raise FilterError(f"the filter for {each.field!r} is not UTF-8 text")
        if each.operator in _ORDERINGS:
            _check_range(each)
        elif each.operator == UNDER:
            _check_folder(each)


def _check_range(condition: Comparison) -> None:
    field, operator, value = condition.field, condition.operator, condition.value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_date = isinstance(value, str) and dates.bound(operator, value) is not None
    if not is_number and not is_date:
        raise FilterError(
            f"'{operator}' needs a number or a date such as 2024-01-31 for field '{field}', "
            f"not {value!r}"
        )


def _check_folder(condition: Comparison) -> None:
    value = condition.value
    if condition.field != SOURCE_URI or not isinstance(value, str) or value[-1:] not in ("/", "\\"):
        raise FilterError(
            f"'{UNDER}' needs the field '{SOURCE_URI}' and a folder that ends in a slash, not "
            f"'{condition.field}' and {value!r}"
        )
    if value.count("/") + value.count("\\") > MOST_FOLDERS:
        raise FilterError(f"the folder {value[:80]!r} is more than {MOST_FOLDERS} levels deep")


def _parse_json(raw: str) -> Any:
    try:
        return json.loads(raw)
    except RecursionError as error:
        raise FilterError(_TOO_DEEP) from error
    except ValueError as error:
        raise FilterError(f"the filter begins with '{{' but is not JSON: {error}") from error


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
    if "operator" in raw and operator not in (*COMPARISONS, UNDER):
        raise FilterError(f"unknown operator {operator!r}; known: {', '.join(COMPARISONS)}")
    if operator is None or not isinstance(raw.get("field"), str) or "value" not in raw:
        raise FilterError(f"a comparison needs 'field', 'operator' and 'value': {dict(raw)!r}")
    return _comparison(raw["field"].removeprefix("meta."), str(operator), raw["value"])


def _comparison(field: str, operator: str, value: Any) -> Comparison:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if operator in ("in", "not in"):
        if not is_list:
            raise FilterError(f"'{operator}' needs a list of values for field '{field}'")
        return Comparison(field, operator, tuple(_scalar(field, item) for item in value))
    if is_list:
        raise FilterError(
            f"'{operator}' compares field '{field}' with one value, not with a list: use 'in' for "
            "any of them, or join one comparison for each by AND"
        )
    return Comparison(field, operator, _scalar(field, value))


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


def _plain(value: MetadataScalar) -> Any:
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return value if is_finite else {"float": str(value)}


def _scalar(field: str, value: Any) -> MetadataScalar:
    if isinstance(value, Mapping) and value.keys() == {"float"} and value["float"] in NOT_FINITE:
        return float(value["float"])
    if isinstance(value, date):
        return value.isoformat()
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
    return _matches_comparison(condition, items_of(metadata.get(condition.field, ())))


def items_of(value: MetadataValue) -> tuple[MetadataScalar, ...]:
    """Return the items of a list, or a single value as one item."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _matches_comparison(condition: Comparison, actual: Sequence[MetadataScalar]) -> bool:
    operator, value = condition.operator, condition.value
    if operator in _ORDERINGS:
        return any(_in_range(item, operator, value) for item in actual)
    if operator == UNDER:
        return any(isinstance(item, str) and item.startswith(str(value)) for item in actual)
    found = any(_equal(item, wanted) for item in actual for wanted in values_of(condition))
    return found == (operator in ("==", "in"))


def _in_range(actual: MetadataScalar, operator: str, value: MetadataValue) -> bool:
    if isinstance(value, str):
        limit = dates.bound(operator, value)
        point = dates.seconds(actual) if isinstance(actual, str) else None
        if limit is None or point is None:
            return False
        return _ORDERINGS[limit[0]](point, limit[1])
    if not isinstance(actual, (int, float)) or isinstance(actual, bool):
        return False
    return isinstance(value, (int, float)) and _ORDERINGS[operator](actual, value)


def _equal(actual: MetadataScalar, value: MetadataScalar) -> bool:
    """Compare values; text, numbers and booleans are never equal, but 1 equals 1.0."""
    if isinstance(actual, bool) != isinstance(value, bool):
        return False
    if isinstance(actual, str) and isinstance(value, str):
        return actual == value or dates.normal(value) in dates.keys(actual)
    return isinstance(actual, str) == isinstance(value, str) and actual == value
