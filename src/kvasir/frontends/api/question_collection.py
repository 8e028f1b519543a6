"""The collection of routes that name none, as those of the requirement documents."""

from __future__ import annotations

from kvasir.app import App


def question_collection(kvasir: App) -> str:
    """Return the collection that answers questions: ``questions.collection``, or the usual one."""
    return kvasir.settings.questions.collection or kvasir.settings.collection
