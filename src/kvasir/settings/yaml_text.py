"""Read the YAML of settings; every error is one line."""

from __future__ import annotations

import re
from typing import Any

import yaml

from kvasir.core.errors import SettingsError

_MOST_LEVELS = 64
_MOST_BITS = 1_024
_QUOTED = re.compile(r"'([^']*)'")


def read_yaml(text: str, what: str) -> Any:
    """Return the tree of a YAML text; ``what`` names the text in errors.

    Raises:
        SettingsError: It is not YAML, contains itself, too many levels or a NUL character, or a
            date or a number cannot be read.
    """
    try:
        tree = yaml.safe_load(text)
        _height(tree, 1, {})
    except yaml.YAMLError as error:
        raise SettingsError(f"{what} {_not_yaml(error)}") from None
    except RecursionError:
        raise SettingsError(
            f"{what} is nested more than {_MOST_LEVELS} levels deep, or holds itself"
        ) from None
    except ValueError as error:
        raise SettingsError(f"{what} has a value that cannot be read: {error}") from None
    return tree


def _height(value: Any, level: int, known: dict[int, int]) -> int:
    """Return the number of levels of a value; each alias is visited once."""
    if isinstance(value, str) and "\0" in value:
        raise ValueError("it holds a NUL character")
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise ValueError("the number is too large")
    if not isinstance(value, (dict, list)):
        return 1
    if level + known.get(id(value), 0) > _MOST_LEVELS:
        raise RecursionError
    if id(value) not in known:
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + max((_height(each, level + 1, known) for each in inner), default=0)
    return known[id(value)]


def _not_yaml(error: yaml.YAMLError) -> str:
    """Explain the error without the text of its line, which may contain a password."""
    mark = getattr(error, "problem_mark", None)
    position = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    problem = _QUOTED.sub(_unquoted, getattr(error, "problem", None) or "it cannot be read")
    advice = "; indent with spaces, not tabs" if r"'\t'" in problem else ""
    return f"is not valid YAML{position}: {problem}{advice}"


def _unquoted(found: re.Match[str]) -> str:
    """Return a quoted part of an error if it is a sign or name of YAML."""
    is_own = len(found[1]) < 3 or found[1].startswith("<")
    return found[0] if is_own else "a word"
