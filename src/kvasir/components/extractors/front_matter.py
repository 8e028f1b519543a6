"""Properties at the head of a text file: YAML between ``---`` lines, TOML between ``+++`` lines.

``no``, ``12:30`` and ``007`` are text in YAML.

Source: YAML 1.2.2, core schema, but with dates, and a number with a leading zero is a code.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import yaml

from kvasir.components.extractors.encodings import Warn
from kvasir.core.types import MetadataScalar, MetadataValue

_FRONT_MATTER = re.compile(
    r"\A(?:(---)|\+\+\+)[ \t]*(?:\r\n|\n|\r)(.*?)^(?(1)(?:---|\.\.\.)|\+\+\+)[ \t]*(?=[\r\n]|\Z)",
    re.DOTALL | re.MULTILINE,
)
_YAML_TAG = "tag:yaml.org,2002:"
_KEPT = ("null", "timestamp", "merge")
_SCALARS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:(?:[1-9][0-9_]*|0)\.[0-9_]*|\.[0-9]+)(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
)
"""Type, form and first characters of the plain values that are no text."""

_MOST = 1000
"""Properties and levels that are kept; aliases can make any number out of a few lines."""


def front_matter(text: str, warn: Warn | None = None) -> tuple[dict[str, MetadataValue], int]:
    """Return the properties at the head of a text and the offset of its body.

    Dates are in ISO form, lists are lists, and a nested property has the names of all levels
    (``author.name``). ``warn`` gets a sentence about each list that is left out, because its items
    are no single values. What is neither YAML nor TOML is text between two rules, so that the body
    begins at 0.
    """
    match = _FRONT_MATTER.match(text)
    if not match:
        return {}, 0
    try:
        loaded = _yaml(match[2]) if match[1] else _toml(match[2])
        if not isinstance(loaded, dict):
            return {}, 0
        entries = _entries(loaded, warn)
        found = list(islice(entries, _MOST))
        if warn is not None and next(entries, None) is not None:
            warn(f"only the first {_MOST:,} of its properties were read")
    except (yaml.YAMLError, tomllib.TOMLDecodeError, RecursionError):
        return {}, 0
    return {name: value for name, value in found if value is not None}, match.end()


class _Loader(yaml.SafeLoader):
    """Reads YAML with the plain values of ``_SCALARS``, dates and nulls."""


_Loader.yaml_implicit_resolvers = {
    first: [one for one in known if one[0].removeprefix(_YAML_TAG) in _KEPT]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _form, _first in _SCALARS:
    _Loader.add_implicit_resolver(
        f"{_YAML_TAG}{_name}", re.compile(rf"(?:{_form})\Z"), list(_first)
    )


def _toml(text: str) -> dict[str, Any]:
    return tomllib.loads(re.sub(r"\r\n?", "\n", text))


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except ValueError:
        # An impossible date or number, such as 2024-02-30: all values stay text.
        return yaml.load(text, Loader=yaml.BaseLoader)


def _entries(
    properties: dict[Any, Any], warn: Warn | None, above: str = ""
) -> Iterator[tuple[str, MetadataValue | None]]:
    """Yield the properties; one that has properties of its own comes before them, as None."""
    for key, value in properties.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            yield name, None
            yield from _entries(value, warn, f"{name}.")
        elif isinstance(value, (list, set)):
            if any(isinstance(item, (dict, list)) for item in value):
                if warn is not None:
                    warn(f"its property '{name}' is a list of lists or mappings and was left out")
            else:
                yield name, tuple(_scalar(item) for item in value if item is not None)
        elif value is not None:
            yield name, _scalar(value)


def _scalar(value: Any) -> MetadataScalar:
    if isinstance(value, (str, int, float, bool)):
        return value
    is_time = isinstance(value, (datetime.date, datetime.time))
    return value.isoformat() if is_time else str(value)
