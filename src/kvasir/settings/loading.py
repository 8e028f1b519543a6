"""Load the settings: a YAML file, the environment over it, the command line over that.

An environment variable spells a key in capitals with two underscores for each dot:
``KVASIR__RAG__VECTORDB__URI``.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kvasir.core.errors import SettingsError, SettingsFileNotFoundError
from kvasir.settings.explain import explain, merge_origins
from kvasir.settings.schema import WINDOW_OPTIONS, Settings
from kvasir.settings.yaml_text import read_yaml

DEFAULT_FILE = Path("kvasir.yaml")
ENVIRONMENT_PREFIX = "KVASIR__"

_SECRETS = ("token", "password", "api_key")


def load_settings(
    config: Path | str | Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    origins: Mapping[str, str] | None = None,
) -> Settings:
    """Load the settings.

    A split option in the environment or on the command line chooses the window splitter.

    Args:
        config: A YAML file, or its tree; default ``kvasir.yaml`` in the working directory, if any.
        overrides: Values by dotted key, above everything else.
        environment: Variables to read; default ``os.environ``.
        origins: For messages, the option of an override by its key, such as ``--top-k``.

    Raises:
        SettingsError: A key is unknown (names the nearest known one) or a value is unusable.
    """
    in_file: dict[str, str] = {}
    if isinstance(config, Mapping):
        tree = copy.deepcopy(dict(config))
    else:
        path = Path(config) if config else (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
        tree = read_settings_file(path) if path else {}
        in_file = dict.fromkeys(_dotted_keys(tree), f" in '{path}'")
    variables = os.environ if environment is None else environment
    named = dict(_variable_names(variables))
    merge(tree, {key: _value(variables[name], name) for key, name in named.items()})
    merge(tree, overrides or {})
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        by_option = dict.fromkeys(overrides or {}, "") | _as_origins(origins or {})
        given = merge_origins(in_file, _as_origins(named), by_option)
        raise SettingsError(explain(error, given)) from None


def parse_assignment(text: str) -> tuple[str, Any]:
    """Read ``key=value`` as given to ``--set``.

    Raises:
        SettingsError: There is no ``=``, or a list or mapping is not YAML.
    """
    dotted, separator, value = text.partition("=")
    if not separator or not dotted.strip():
        raise SettingsError(f"'{text}' is not of the form key=value, such as rag.language=es")
    return dotted.strip(), _value(value, dotted)


def read_settings_file(path: Path) -> dict[str, Any]:
    """Read a YAML file of keys and values, without checking them.

    Raises:
        SettingsError: It is missing, or not YAML.
    """
    try:
        tree = read_yaml(path.read_text("utf-8"), f"'{path}'")
    except FileNotFoundError:
        raise SettingsFileNotFoundError(f"there is no settings file '{path}'") from None
    except OSError as error:
        raise SettingsError(f"cannot read the settings file '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"'{path}' is not valid YAML: {error}") from error
    if not isinstance(tree or {}, dict):
        raise SettingsError(f"'{path}' must hold keys and values, not a {type(tree).__name__}")
    return tree or {}


def merge(tree: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Set values, given by dotted key, in a tree.

    Raises:
        SettingsError: A key leads through a value that is not a section.
    """
    for dotted, value in values.items():
        _set_value(tree, dotted, value)
    windowed = any(f"rag.splitter.{option}" in values for option in WINDOW_OPTIONS)
    if windowed and "rag.splitter.type" not in values:
        _set_value(tree, "rag.splitter.type", None)


def _set_value(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        inner = tree.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"'{dotted}' cannot be set: '{parent}' is a value, not a section")
        tree = inner
    tree[last] = value


def _value(text: str, where: str) -> Any:
    """Read a value: lists, mappings and null as YAML, all else as text."""
    is_secret = re.split(r"__|\.", where)[-1].lower() in _SECRETS
    if is_secret or (not text.startswith(("{", "[")) and text != "null"):
        return text
    return read_yaml(text, f"the value of {where}")


def _variable_names(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the dotted keys that the environment sets, with the variables' names."""
    for name in sorted(variables):
        if name.upper().startswith(ENVIRONMENT_PREFIX):
            yield name[len(ENVIRONMENT_PREFIX) :].lower().replace("__", "."), name


def _dotted_keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of all values of a tree."""
    for key, value in tree.items():
        if value and isinstance(value, Mapping):
            yield from _dotted_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _as_origins(names: Mapping[str, str]) -> dict[str, str]:
    return {key: f" from {name}" for key, name in names.items()}
