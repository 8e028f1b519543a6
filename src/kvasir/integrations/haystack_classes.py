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


def make(option: str, name: str, init_parameters: Mapping[str, Any], **objects: Any) -> Any:
    """Create an object of a class of the operator's settings, never of a request.

    ``option`` is for messages; ``objects`` are parameters that no file could hold.

    Raises:
        SettingsError: There is no such class, or it does not take these parameters.
    """
    module, _, qualified = name.partition(":")
    if not qualified:
        raise SettingsError(f"{option} must be of the form package.module:Class, not '{name}'")
    try:
        cls: type[Any] = getattr(importlib.import_module(module), qualified)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"{option} '{name}' cannot be imported: {error}") from error
    parameters = dict(init_parameters)
    try:
        if objects or not any(isinstance(v, Mapping) and "type" in v for v in parameters.values()):
            return cls(**parameters, **objects)
        # A secret, or an object within: Haystack reads these from the form of its files only.
        name_in_file = generate_qualified_class_name(cls)
        return cls.from_dict({"type": name_in_file, "init_parameters": parameters})
    except (DeserializationError, ComponentError, TypeError, ValueError) as error:
        raise SettingsError(f"{option} '{name}' cannot be made: {error}") from error
