"""Finds components by name: entry points, the built-in ones like those of any plug-in.

Only the chosen implementation is imported. Its constructor takes its options by name; what
the application has to offer besides (``embedder``, ``analyzer``, ...) is handed over where
the constructor has a parameter of that name.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from kvasir.core.errors import MissingExtraError, SettingsError, UnknownComponentError

FAMILIES = (
    "extractors",
    "converters",
    "splitters",
    "embedders",
    "analyzers",
    "stores",
    "rerankers",
    "generators",
    "judges",
)


def names(family: str) -> list[str]:
    """Returns the names of a family's installed components, sorted."""
    return sorted({point.name for point in entry_points(group=f"kvasir.{family}")})


def load(family: str, name: str) -> type[Any]:
    """Imports a component's class.

    Args:
        family: One of ``FAMILIES``.
        name: An entry point's name, or ``package.module:Class`` (operator settings only:
            never pass a name that came with a request or from stored data).

    Raises:
        UnknownComponentError: No such name; the message lists the known ones.
        MissingExtraError: The component's library is not installed.
    """
    if ":" in name:
        point = EntryPoint(name=name, value=name, group=f"kvasir.{family}")
    else:
        found = [p for p in entry_points(group=f"kvasir.{family}") if p.name == name]
        if not found:
            raise UnknownComponentError(_unknown(family, name))
        point = found[0]
    try:
        return point.load()  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        if _belongs_to(error.name, point):
            raise UnknownComponentError(f"{family[:-1]} '{name}': {error}") from error
        raise MissingExtraError(f"{family[:-1]} '{name}'", _extra(point, name)) from error
    except AttributeError as error:
        raise UnknownComponentError(f"{family[:-1]} '{name}': {error}") from error


def build(
    family: str, name: str, options: Mapping[str, Any], provided: Mapping[str, Any] | None = None
) -> Any:
    """Makes a component.

    Args:
        family: One of ``FAMILIES``.
        name: As for ``load``.
        options: The component's own options; every one must be a parameter.
        provided: What the application offers; passed where a parameter has that name.

    Raises:
        SettingsError: An option is unknown to the component (the nearest is named), or its value
            is not of the type that the constructor says.
        UnknownComponentError: No such component.
        MissingExtraError: The component's library is not installed.
    """
    cls, given = check(family, name, options)
    parameters = inspect.signature(cls).parameters
    offered = {key: value for key, value in (provided or {}).items() if key in parameters}
    return cls(**{**offered, **given})


def check(family: str, name: str, options: Mapping[str, Any]) -> tuple[type[Any], dict[str, Any]]:
    """Returns a component's class, and its options as its constructor takes them.

    Args:
        family: One of ``FAMILIES``.
        name: As for ``load``.
        options: The component's own options.

    Raises:
        SettingsError, UnknownComponentError, MissingExtraError: As ``build``.
    """
    cls = load(family, name)
    parameters = list(inspect.signature(cls).parameters)
    for option in options:
        if option not in parameters:
            raise SettingsError(
                f"{family[:-1]} '{name}' has no option '{option}'{suggestion(option, parameters)}"
            )
    types = _parameter_types(cls)
    given = {
        option: _converted(value, types.get(option), f"{family[:-1]} '{name}': option {option}")
        for option, value in options.items()
    }
    return cls, given


def _parameter_types(cls: type[Any]) -> Mapping[str, Any]:
    """Returns the types of a constructor's parameters, as far as its annotations resolve."""
    try:
        return get_type_hints(cls.__init__)
    except (NameError, TypeError):
        # Annotations of a plug-in that exist for type checkers alone.
        return {}


def _converted(value: Any, declared: Any, option: str) -> Any:
    """Makes a value what a parameter of a simple type takes; others are left alone."""
    kinds = get_args(declared) if get_origin(declared) in (Union, UnionType) else (declared,)
    wanted = [kind for kind in kinds if kind is not NoneType]
    if len(wanted) != 1 or wanted[0] not in _KINDS:
        return value
    if value is None and NoneType in kinds:
        return None
    kind = wanted[0]
    try:
        return _READ[kind](value)
    except (KeyError, ValueError):
        raise SettingsError(f"{option} must be {_KINDS[kind]}, not {value!r}") from None


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value != value:
        raise ValueError
    if isinstance(value, float) and not value.is_integer():
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    return float(value)


def _yes_or_no(value: Any) -> bool:
    return value if isinstance(value, bool) else _SWITCHES[str(value).strip().lower()]


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    return str(value)


_SWITCHES = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "0"), False
)
_READ: Mapping[Any, Callable[[Any], Any]] = {
    int: _whole,
    float: _number,
    bool: _yes_or_no,
    str: _text,
}
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def suggestion(word: str, known: list[str]) -> str:
    """Returns `` (did you mean 'x'?)``, or nothing when no known word is near."""
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _unknown(family: str, name: str) -> str:
    known = names(family)
    hint = suggestion(name, known)
    return f"unknown {family[:-1]} '{name}'{hint}; known: {', '.join(known) or 'none'}"


def _belongs_to(missing: str | None, point: EntryPoint) -> bool:
    """Says whether the missing module is the component's own rather than a dependency."""
    return missing is not None and (point.module + ".").startswith(missing + ".")


def _extra(point: EntryPoint, name: str) -> str:
    """Returns the extra that a component module names in ``EXTRAS`` of its package."""
    package = importlib.import_module(point.module.rpartition(".")[0] or point.module)
    extras: Mapping[str, str] = getattr(package, "EXTRAS", {})
    return extras.get(name, name)
