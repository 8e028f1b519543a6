"""How a collection's documents are split: as it remembers, unless it is new or split again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kvasir.core.errors import SplitConflictError
from kvasir.core.ledger import Splitting
from kvasir.settings.component_schema import WINDOW_OPTIONS
from kvasir.settings.schema import Settings

_SECTION = "rag.splitter"


def splitting_of(settings: Settings) -> Splitting:
    """Return how the settings split, for a new collection."""
    splitter = settings.rag.splitter
    return Splitting(splitter.chosen, splitter.arguments, settings.rag.language)


def check_splitting(settings: Settings, collection: str, remembered: Splitting) -> None:
    """Check that the settings which were given by name are those that a collection remembers.

    Raises:
        SplitConflictError: One differs.
    """
    for key, value, kept in _differences(settings, remembered):
        raise SplitConflictError(collection, key, _shown(kept), _shown(value))


def _differences(settings: Settings, remembered: Splitting) -> Iterator[tuple[str, Any, Any]]:
    """Yield key, value and remembered value of each setting that was given and differs."""
    splitter, language = settings.rag.splitter, settings.rag.language
    if language is not None and language != remembered.language:
        yield "rag.language", language, remembered.language
    named = splitter.model_fields_set
    if splitter.type is not None and splitter.type != remembered.splitter:
        yield f"{_SECTION}.type", splitter.type, remembered.splitter
    if splitter.chosen == "window":
        for option in WINDOW_OPTIONS:
            value, kept = getattr(splitter, option), remembered.arguments.get(option)
            if option in named and value != kept:
                yield f"{_SECTION}.{option}", value, kept
    for option, value in splitter.options.items():
        if value != remembered.arguments.get(option):
            yield f"{_SECTION}.options.{option}", value, remembered.arguments.get(option)


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
