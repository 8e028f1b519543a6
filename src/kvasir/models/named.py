"""Embedding models that have a short name: tested choices for a purpose.

Figures and reasons: docs/decisions/0058-changing-models.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model on the hub; its prompts are those of ``kvasir.models.local``."""

    name: str  # On the hub.
    embedders: tuple[str, ...]  # That run it, the preferred one first.
    purpose: str  # In a few words.


NAMED_MODELS: Mapping[str, NamedModel] = {
    "multilingual": NamedModel(
        "intfloat/multilingual-e5-small",
        ("openvino", "sentence-transformers"),
        "questions and documents in about a hundred languages, also in different ones",
    ),
    "english": NamedModel(
        "sentence-transformers/all-MiniLM-L6-v2",
        ("openvino", "sentence-transformers"),
        "the default: small and fast, English only",
    ),
}
"""By the name that is typed."""
