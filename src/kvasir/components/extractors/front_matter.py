"""Properties at the head of a text file: YAML between ``---`` lines, TOML between ``+++`` lines."""

from __future__ import annotations

import datetime
import re
import tomllib
from typing import Any

import yaml

from kvasir.core.types import MetadataValue

_FRONT_MATTER = re.compile(
    r"\A(---|\+\+\+)[ \t]*(?:\r\n|\n|\r)(.*?)^\1[ \t]*(?=[\r\n]|\Z)", re.DOTALL | re.MULTILINE
)


def front_matter(text: str) -> tuple[dict[str, MetadataValue], int]:
    """Return the properties at the head of a text and the offset of its body.

    Dates are in ISO form; a list is its items, joined by commas. What is neither YAML nor TOML is
    text between two rules, so that the body begins at 0.
    """
    match = _FRONT_MATTER.match(text)
    if not match:
        return {}, 0
    try:
        loaded = _toml(match[2]) if match[1] == "+++" else _yaml(match[2])
    except (yaml.YAMLError, tomllib.TOMLDecodeError, RecursionError):
        return {}, 0
    if not isinstance(loaded, dict):
        return {}, 0
    values = {str(key): _value(value) for key, value in loaded.items()}
    return {key: value for key, value in values.items() if value is not None}, match.end()


def _toml(text: str) -> dict[str, Any]:
    return tomllib.loads(re.sub(r"\r\n?", "\n", text))


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except ValueError:
        # An impossible date or number, such as 2024-02-30: all values stay text.
        return yaml.load(text, Loader=yaml.BaseLoader)


def _value(value: Any) -> MetadataValue | None:
    """Return a value that can be kept; None for nothing and for nested properties."""
    if isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, list):
        return ", ".join(str(item) for item in map(_value, value) if item is not None)
    return None if value is None or isinstance(value, dict) else str(value)
