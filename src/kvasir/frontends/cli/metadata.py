"""Metadata as typed: ``key=value`` pairs; sources in filters as typed: paths of this machine."""

from __future__ import annotations

import json
import os
from typing import Any

from kvasir.core.errors import RequestError
from kvasir.core.filters import Comparison, Filter, comparisons, parse_filter, replaced, values_of
from kvasir.core.types import MetadataScalar, MetadataValue
from kvasir.core.wire import to_json
from kvasir.frontends.cli.paths import identity

_MEMBERSHIP = {"==": "in", "!=": "not in", "in": "in", "not in": "not in"}


def parse_metadata(pairs: tuple[str, ...]) -> dict[str, MetadataValue] | None:
    """Read ``key=value`` pairs; values may be numbers, truth values and lists.

    A list is written in JSON, or its key is repeated.
    """
    metadata: dict[str, MetadataValue] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        key = name.strip()
        if not separator or not key:
            raise RequestError(f"metadata '{pair}' is not of the form key=value")
        read = _value(value)
        if key in metadata:
            read = (*_items(metadata[key]), *_items(read))
        metadata[key] = read
    return metadata or None


def _items(value: MetadataValue) -> tuple[MetadataScalar, ...]:
    return value if isinstance(value, tuple) else (value,)


def _value(text: str) -> MetadataValue:
    """Return a number, truth value or list in JSON's spelling, else the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, list) and all(isinstance(item, (str, int, float)) for item in value):
        return tuple(value)
    return value if isinstance(value, (str, int, float, bool)) else text


def with_local_sources(typed: Any) -> Any:
    """Return a typed filter in which a source is also the path of this machine.

    ``source=notes/*`` finds sources whose name begins so, and the files of that folder.

    Raises:
        FilterError: It is malformed.
    """
    found = parse_filter(typed)
    if found is None or all(each.field != "source" for each in comparisons(found)):
        return typed
    return to_json(replaced(found, _with_paths))


def _with_paths(comparison: Comparison) -> Filter:
    operator = _MEMBERSHIP.get(comparison.operator)
    if comparison.field != "source" or operator is None:
        return comparison
    values = values_of(comparison)
    paths = (_path(value) for value in values if isinstance(value, str))
    return Comparison("source", operator, tuple(dict.fromkeys((*values, *paths))))


def _path(typed: str) -> str:
    slash = os.sep if typed.endswith(("/", os.sep)) else ""
    return identity(typed).rstrip(os.sep) + slash if slash else identity(typed)
