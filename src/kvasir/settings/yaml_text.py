"""Reads YAML text, in settings files and as values of keys, with an error of one line.

The error never quotes the text, which may hold a password.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from kvasir.core.errors import SettingsError

_MOST_LEVELS = 64
_MOST_BITS = 1_024
_QUOTED = re.compile(r"'([^']*)'")


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping; YAML's own loader forgets the first one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
                continue
            if (key.tag, key.value) in seen:
                problem = f"the key {key.value} stands there a second time"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def read_yaml(text: str, what: str) -> Any:
    """Return the tree of a YAML text.

    Raises:
        SettingsError: It is not YAML, or holds what no settings hold; ``what`` names the text.
    """
    try:
        tree = yaml.load(text, _Loader)
        _height(tree, 1, {})
    except yaml.YAMLError as error:
        raise SettingsError(f"{what} {_not_yaml(error)}") from None
    except RecursionError:
        why = f"is nested more than {_MOST_LEVELS} levels deep, or holds itself"
        raise SettingsError(f"{what} {why}") from None
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
