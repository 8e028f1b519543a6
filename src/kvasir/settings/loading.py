"""Load the settings: a YAML file, the environment over it, the command line over that.

Every error is one line: which key or text is wrong, where it was given, which key is nearest.

An environment variable spells a key in capitals with two underscores for each dot:
``KVASIR__RAG__VECTORDB__URI``. With ``environment: classroom``, ``celery`` or ``lambda`` the names
of requirement document 004, 002 or 003 are read as well, below these.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kvasir.core.errors import SettingsError, SettingsFileNotFoundError
from kvasir.core.registry import suggestion
from kvasir.settings.bounds import bounds_of
from kvasir.settings.component_schema import WINDOW_OPTIONS
from kvasir.settings.data_folder import (
    DataFolder,
    find_data_folder,
    find_project,
    given_data_folder,
    settings_file_in,
)
from kvasir.settings.document_names import read_document_names
from kvasir.settings.masking import names_a_secret
from kvasir.settings.running_services import read_record
from kvasir.settings.schema import Settings
from kvasir.settings.zeromq_schema import SERVICES

ENVIRONMENT_PREFIX = "KVASIR__"

DERIVABLE = (
    "answer.",
    "chat.rag.",
    "generator.",
    "rag.embedding_model.",
    "rag.ingest.",
    "rag.language",
    "rag.splitter.",
    "rag.web_search.",
)
"""Beginnings of the keys that a request may set; the others say where the data is."""


def load_settings(
    config: Path | str | Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    origins: Mapping[str, str] | None = None,
    project: Path | None = None,
) -> Settings:
    """Load the settings.

    A split option in the environment or on the command line chooses the window splitter.

    Args:
        config: A YAML file, or its tree; default ``kvasir.yaml``, found as the data folder is, or
            the file of the services that run for the data folder.
        overrides: Values by dotted key, above everything else.
        environment: Variables to read; default ``os.environ``.
        origins: For messages, the option of an override by its key, such as ``--top-k``.
        project: The folder with settings file and data folder; by default ``find_project``.

    Raises:
        SettingsError: A key is unknown (names the nearest known one) or a value is unusable.
    """
    in_file: dict[str, str] = {}
    path: Path | None = None
    is_started = False
    variables = os.environ if environment is None else environment
    if isinstance(config, Mapping):
        tree = copy.deepcopy(dict(config))
    else:
        project = project or (None if config else find_project())
        if config:
            path = Path(config)
        elif project is not None and (found := settings_file_in(project)) is not None:
            # As a person would write it: kvasir.yaml or ../kvasir.yaml.
            path = Path(os.path.relpath(found))
        elif (started := read_record(_kept_in(overrides, variables, project).path)) is not None:
            path, is_started = Path(started.config), True
        tree = read_settings_file(path) if path else {}
        in_file = dict.fromkeys(_dotted_keys(tree), f" in '{path}'")
    named = {
        name[len(ENVIRONMENT_PREFIX) :].lower().replace("__", "."): name
        for name in sorted(variables)
        if name.upper().startswith(ENVIRONMENT_PREFIX)
    }
    own = {key: _value(variables[name], name) for key, name in named.items()}
    chosen = {"environment": tree.get("environment")} | own | dict(overrides or {})
    documents = read_document_names(variables, chosen["environment"])
    merge(tree, {key: value for key, (value, _) in documents.items()})
    merge(tree, own)
    merge(tree, overrides or {})
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        by_option = dict.fromkeys(overrides or {}, "") | _as_origins(origins or {})
        by_document = _as_origins({key: name for key, (_, name) in documents.items()})
        given = _merge_origins(in_file, by_document, _as_origins(named), by_option)
        problems = "; ".join(_explain(detail, given) for detail in error.errors())
        wrong = [".".join(map(str, detail["loc"])) for detail in error.errors()]
        raise SettingsError(problems, wrong) from None
    file = Path(os.path.abspath(path)) if path else None  # noqa: PTH100 - without ".."
    by = (origins or {}).get("data_dir", "data_dir") if "data_dir" in (overrides or {}) else None
    folder = (
        _kept_in(overrides, variables, project)
        if is_started
        else _data_folder(settings, file, by or named.get("data_dir"), project)
    )
    settings.set_places(file, folder)
    return settings


def _kept_in(
    overrides: Mapping[str, Any] | None, variables: Mapping[str, str], project: Path | None
) -> DataFolder:
    """Return the data folder that no settings file names."""
    for given, by in (
        ((overrides or {}).get("data_dir"), "data_dir"),
        (variables.get(f"{ENVIRONMENT_PREFIX}DATA_DIR"), f"{ENVIRONMENT_PREFIX}DATA_DIR"),
    ):
        if given is not None:
            return given_data_folder(Path(given), by)
    return find_data_folder(project)


def _data_folder(
    settings: Settings, file: Path | None, by: str | None, project: Path | None
) -> DataFolder:
    """Return the data folder; ``by`` is the option or variable that names it, if any."""
    given = settings.data_dir
    if given is None:
        named = file if project is None else None
        return find_data_folder(project or find_project(), named, settings.relative_path)
    if by is None and file is not None:
        return given_data_folder(given, f"data_dir in {file}", file.parent)
    return given_data_folder(given, by or "data_dir", None if by else project)


def derive_settings(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Return settings with other values, by dotted key; errors as ``load_settings``."""
    tree = settings.model_dump(exclude_unset=True)
    merge(tree, overrides)
    try:
        derived = Settings.model_validate(tree)
    except ValidationError as error:
        problems = "; ".join(_explain(detail, {}) for detail in error.errors())
        raise SettingsError(problems) from None
    derived.set_places(settings.file, settings.found_data_folder)
    return derived


def plain_values(settings: Settings, *, given: bool = False) -> dict[str, Any]:
    """Return all values as plain data by dotted key, or those that were given; no secrets."""
    tree = settings.model_dump(mode="json", exclude_unset=given)
    return {key: value for key, value in _dotted_values(tree) if not names_a_secret(key)}


def _dotted_values(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if value and isinstance(value, Mapping):
            yield from _dotted_values(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


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
        tree = _read_yaml(path.read_text("utf-8"), f"'{path}'")
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
    """Set values by dotted key in a tree; raise SettingsError where one is within a value."""
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
    if names_a_secret(where) or (not text.startswith(("{", "[")) and text != "null"):
        return text
    return _read_yaml(text, f"the value of {where}")


def _dotted_keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if value and isinstance(value, Mapping):
            yield from _dotted_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _as_origins(names: Mapping[str, str]) -> dict[str, str]:
    return {key: f" from {name}" for key, name in names.items()}


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of the tree."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def _merge_origins(*layers: Mapping[str, str]) -> dict[str, str]:
    """Return where each key was given last; a section replaces the keys given in it before."""
    origins: dict[str, str] = {}
    for layer in layers:
        for dotted, origin in layer.items():
            kept = {key: at for key, at in origins.items() if not key.startswith(f"{dotted}.")}
            origins = kept | {dotted: origin}
    return origins


def _explain(detail: ErrorDetails, origins: Mapping[str, str]) -> str:
    dotted = ".".join(str(part) for part in detail["loc"])
    where = _find_origin(origins, dotted)
    if detail["type"] == "extra_forbidden":
        return f"unknown setting '{dotted}'{where}{_nearest(dotted)}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "string_pattern_mismatch":
        message = "must be of letters, digits, '_', '-' and '.' alone"
    if detail["type"].startswith(("greater_than", "less_than")):
        message = f"must be {bounds_of(dotted)}"
    given = detail.get("input")
    hidden = isinstance(given, (dict, list)) or names_a_secret(detail["loc"][-1])
    shown = "" if hidden else f", not {given!r}"
    return f"setting '{dotted}'{where}: {message[0].lower()}{message[1:]}{shown}"


def _find_origin(origins: Mapping[str, str], dotted: str) -> str:
    """Return where a key was given; for a section, where each of its keys was."""
    around = [key for key in origins if f"{dotted}.".startswith(f"{key}.")]
    if around:
        return origins[max(around, key=len)]
    inside = (origin for key, origin in origins.items() if key.startswith(f"{dotted}."))
    return " and".join(dict.fromkeys(filter(None, inside)))


def _nearest(dotted: str) -> str:
    """Suggest a key with a similar spelling, or with the same last part in another section."""
    known = list(keys())
    if (name := dotted.partition(".")[0]) in SERVICES:
        # These sections are optional, so that their keys are not in the tree.
        known = list(keys(SERVICES[name], f"{name}."))
    last = dotted.rsplit(".", 1)[-1]
    alike = get_close_matches(dotted, known, n=1, cutoff=0.85)
    near = alike or [key for key in known if key.rsplit(".", 1)[-1] == last]
    return f" (did you mean '{near[0]}'?)" if near else suggestion(dotted, known)


def _read_yaml(text: str, what: str) -> Any:
    # Here, because many commands read neither a file nor a value.
    from kvasir.settings.yaml_text import read_yaml  # noqa: PLC0415

    return read_yaml(text, what)
