"""The settings in force: what the file leaves out is filled in by what is used in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kvasir.settings.loading import merge
from kvasir.settings.masking import mask
from kvasir.settings.schema import Settings

_COMPUTED: Mapping[str, Callable[[Settings], object]] = {
    "rag.splitter.type": lambda settings: settings.rag.splitter.chosen,
    "rag.vectordb.uri": lambda settings: settings.store_uri,
    "chat.rag.enabled": lambda settings: not settings.has_language_model,
    "chat.logs_dir": lambda settings: str(settings.chat_logs_dir),
    "chat.rag.context_refinement.threshold": lambda settings: settings.chat.rag.refine_below,
    "catalog.url": lambda settings: settings.catalog_url,
    "database.url": lambda settings: settings.database_url,
    "server.spool": lambda settings: settings.spool_uri,
    "questions.collection": lambda settings: settings.question_collection,
    "mail.sender": lambda settings: settings.mail.username,
    "mail.imap.username": lambda settings: settings.mail.username,
}
"""How the value of a key is computed that is null in the settings."""


def in_force(settings: Settings) -> dict[str, Any]:
    """Return the tree as plain values with what is used for null, secrets masked."""
    tree = settings.model_dump(mode="json")
    computed = {key: compute(settings) for key, compute in _COMPUTED.items()}
    merge(tree, {key: value for key, value in computed.items() if _value_at(tree, key) is None})
    tree["data_dir"] = str(settings.data_folder)
    masked: dict[str, Any] = mask(tree)
    return masked


def _value_at(tree: dict[str, Any], dotted: str) -> object:
    value: Any = tree
    for part in dotted.split("."):
        value = value[part]
    return value
