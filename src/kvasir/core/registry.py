"""Finds components by name through entry points, built-in ones and plug-ins alike.

Only the chosen implementation is imported. Its constructor gets its options by name, and the
objects of the application (``embedder``, ``analyzer``, ...) for which it has a parameter.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from kvasir.core.errors import MissingExtraError, SettingsError, UnknownComponentError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_CLASS = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


@cache
def _installed() -> Mapping[str, tuple[EntryPoint, ...]]:
    """Return entry points by group; cached, because reading them opens files of every package."""
    # Here, because it takes longer than all that a help text needs.
    from importlib.metadata import entry_points  # noqa: PLC0415

    found = entry_points()
    groups = (group for group in found.groups if group.startswith("kvasir."))
    return {group: tuple(found.select(group=group)) for group in groups}


def _points(family: str) -> tuple[EntryPoint, ...]:
    return _installed().get(f"kvasir.{family}", ())


def names(family: str) -> list[str]:
    """Return the names of a family's installed components, sorted."""
    return sorted({point.name for point in _points(family)})


def load(family: str, name: str) -> type[Any]:
    """Import a component's class.

    Args:
        family: The part of the entry point group after ``kvasir.``, such as ``stores``.
        name: An entry point's name, or ``package.module:Class`` (operator settings only:
            never pass a name that came with a request or from stored data).

    Raises:
        UnknownComponentError: No such name; the message lists the known ones.
        MissingExtraError: The component's library is not installed.
    """
    if ":" in name:
        if not _CLASS.fullmatch(name):
            raise UnknownComponentError(f"{family[:-1]} '{name}' is not of the form module:Class")
        from importlib.metadata import EntryPoint  # noqa: PLC0415

        point = EntryPoint(name=name, value=name, group=f"kvasir.{family}")
    else:
        found = [p for p in _points(family) if p.name == name]
        if not found:
            known = names(family)
            shown = f"unknown {family[:-1]} '{name}'{suggestion(name, known)}"
            raise UnknownComponentError(f"{shown}; known: {', '.join(known) or 'none'}")
        point = found[0]
    try:
        found_class = point.load()
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not _belongs_to(error.name, point):
            raise MissingExtraError(f"{family[:-1]} '{name}'", _extra(point, name)) from error
        raise UnknownComponentError(f"{family[:-1]} '{name}': {error}") from error
    if not isinstance(found_class, type):
        raise UnknownComponentError(f"{family[:-1]} '{name}' is not a class")
    return found_class


def build(
    family: str, name: str, options: Mapping[str, Any], provided: Mapping[str, Any] | None = None
) -> Any:
    """Make a component from its options and from objects that the application provides.

    Each option must be a parameter; an object is passed if a parameter has its name. Errors as for
    ``check``.
    """
    cls = check(family, name, options)
    parameters = inspect.signature(cls).parameters
    offered = {key: value for key, value in (provided or {}).items() if key in parameters}
    return cls(**{**offered, **options})


def check(family: str, name: str, options: Mapping[str, Any]) -> type[Any]:
    """Return a component's class, after checking that it has every option.

    Raises:
        SettingsError: The component has no such option; the message names a similar one.
        UnknownComponentError, MissingExtraError: As ``load``.
    """
    cls = load(family, name)
    parameters = list(inspect.signature(cls).parameters)
    for option in options:
        if option not in parameters:
            raise SettingsError(
                f"{family[:-1]} '{name}' has no option '{option}'{suggestion(option, parameters)}"
            )
    return cls


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra.

    Not by the project's name, because the package index has another project of this name.
    """
    return f"pip install '.[{extra}]' in Kvasir's source folder"


def suggestion(word: str, known: list[str]) -> str:
    """Return `` (did you mean 'x'?)``, or an empty text if no known word is similar."""
    similar = get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean '{similar[0]}'?)" if similar else ""


def _belongs_to(missing: str | None, point: EntryPoint) -> bool:
    """Return True if the missing module is the component's own rather than a dependency."""
    return missing is not None and (point.module + ".").startswith(missing + ".")


def _extra(point: EntryPoint, name: str) -> str:
    """Return a component's extra, from ``EXTRAS`` of its package."""
    package = importlib.import_module(point.module.rpartition(".")[0] or point.module)
    extras: Mapping[str, str] = getattr(package, "EXTRAS", {})
    return extras.get(name, name)
