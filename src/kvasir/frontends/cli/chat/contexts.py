"""Contexts: named system messages that set the tone of a chat."""

from __future__ import annotations

from collections.abc import Mapping

from kvasir.core.errors import SettingsError

CONTEXTS: Mapping[str, str] = {
    "default": (
        "You are a helpful assistant. Answer accurately, clearly and no longer than the question "
        "needs. Say so when you do not know something."
    ),
    "cli_helper": (
        "You are an expert in command-line interfaces and know all common commands. Answer with "
        "the command to execute as it is, without any explanation."
    ),
}
"""The contexts of InstructLab's chat, under its names."""


def all_contexts(own: Mapping[str, str]) -> dict[str, str]:
    """Return the built-in contexts, updated with the user's own."""
    return {**CONTEXTS, **own}


def check_context(name: str, known: Mapping[str, str]) -> None:
    """Raise SettingsError, which lists the known contexts, for an unknown name."""
    if name not in known:
        raise SettingsError(f"there is no context '{name}'; contexts: {', '.join(known)}")
