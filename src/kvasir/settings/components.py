"""The components that settings choose: which they are, and their options in the right types."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter

from kvasir.core import registry
from kvasir.core.errors import SettingsError
from kvasir.settings.schema import Settings

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_NUMBERS_ARE_TEXT = ConfigDict(coerce_numbers_to_str=True)


def chosen_components(settings: Settings) -> list[tuple[str, str, dict[str, Any]]]:
    """Return family, name and options of every component that the settings choose."""
    rag, retrieval = settings.rag, settings.chat.rag
    reranker, judge = retrieval.retriever.reranker, settings.evaluation.judge
    refining = retrieval.context_refinement.generator
    chosen = [
        ("splitters", rag.splitter.chosen, rag.splitter.arguments),
        ("embedders", rag.embedding_model.type, rag.embedding_model.options),
        ("stores", rag.vectordb.type, rag.vectordb.options),
        ("rerankers", reranker.type, reranker.options),
        ("generators", settings.generator.type, settings.generator.arguments),
        ("judges", judge.type, judge.options),
    ]
    if refining:
        chosen.append(("generators", refining.type, refining.arguments))
    return [(family, name, options) for family, name, options in chosen if name]


def check(family: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component's options in the types of its constructor's parameters.

    A value for a parameter that is no plain number, text or switch is passed on as it is.

    Raises:
        SettingsError: An option is unknown, or not of the type that the constructor declares.
        UnknownComponentError: There is no such component.
        MissingExtraError: The component's library is not installed.
    """
    types = _parameter_types(registry.check(family, name, options))
    return {
        option: _convert(value, types.get(option), f"{family[:-1]} '{name}': option {option}")
        for option, value in options.items()
    }


def build(
    family: str, name: str, options: Mapping[str, Any], provided: Mapping[str, Any] | None = None
) -> Any:
    """Make a component from its settings: ``check``, then ``registry.build``."""
    return registry.build(family, name, check(family, name, options), provided)


def _parameter_types(cls: type[Any]) -> Mapping[str, Any]:
    """Return the types of a constructor's parameters, as far as its annotations resolve."""
    try:
        return get_type_hints(cls.__init__)
    except (NameError, TypeError):
        # Annotations of a plug-in that exist for type checkers alone.
        return {}


def _convert(value: Any, declared: Any, option: str) -> Any:
    kinds = get_args(declared) if get_origin(declared) in (Union, UnionType) else (declared,)
    wanted = [kind for kind in kinds if kind is not NoneType]
    if len(wanted) != 1 or wanted[0] not in _KINDS:
        return value
    try:
        if isinstance(value, bool) and wanted[0] is not bool:
            raise ValueError("pydantic takes true for 1")
        return TypeAdapter(declared, config=_NUMBERS_ARE_TEXT).validate_python(value)
    except ValueError:  # ValidationError is one
        raise SettingsError(f"{option} must be {_KINDS[wanted[0]]}, not {value!r}") from None
