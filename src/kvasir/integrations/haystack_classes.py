"""Create Haystack objects from settings.

Settings name a class as ``package.module:Class``, with ``init_parameters`` in the form of
Haystack's pipeline files, which may name secrets by environment variable.

Source: https://docs.haystack.deepset.ai/docs/serialization
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from haystack.core.errors import ComponentError, DeserializationError
from haystack.core.serialization import generate_qualified_class_name

from kvasir.core.errors import SettingsError


def load_class(option: str, name: str) -> type[Any]:
    """Import a class by ``package.module:Class``: operator settings only, never a request's.

    Raises:
        SettingsError: There is no such class; the message begins with the option's name.
    """
    module, _, qualified = name.partition(":")
    if not qualified:
        raise SettingsError(f"{option} must be of the form package.module:Class, not '{name}'")
    try:
        cls: type[Any] = getattr(importlib.import_module(module), qualified)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"{option} '{name}' cannot be imported: {error}") from error
    return cls


def make(option: str, name: str, init_parameters: Mapping[str, Any]) -> Any:
    """Create an object of the class ``name``; ``option`` is for messages.

    Raises:
        SettingsError: There is no such class, or it does not take these parameters.
    """
    cls = load_class(option, name)
    parameters = dict(init_parameters)
    try:
        if not any(isinstance(v, Mapping) and "type" in v for v in parameters.values()):
            return cls(**parameters)
        # A secret, or an object within: Haystack reads these from the form of its files only.
        name_in_file = generate_qualified_class_name(cls)
        return cls.from_dict({"type": name_in_file, "init_parameters": parameters})
    except (DeserializationError, ComponentError, TypeError, ValueError) as error:
        raise SettingsError(f"{option} '{name}' cannot be made: {error}") from error
