"""The record of a collection: its embedding model, its index, how its documents are split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kvasir.core.errors import WrongEmbedderError
from kvasir.core.protocols import Embedder


@dataclass(frozen=True, slots=True)
class Splitting:
    """How documents are split into chunks."""

    splitter: str  # Its name.
    arguments: Mapping[str, str | int | float | bool | None]  # Options of its constructor.
    language: str | None = None  # ISO 639-1 code of all documents; None if it is detected.


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """An embedding model that was chosen for a collection."""

    type: str  # Name of its embedder.
    name: str  # Its folder, or its name on the hub.
    # Options of the embedder's constructor.
    options: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """One collection: documents in one store, embedded by one model."""

    name: str
    embedder: str  # Name of its embedding model.
    dimension: int  # Length of its vectors.
    fingerprint: str  # ``Embedder.fingerprint`` of the model; an embedder for a search has it, too.
    languages: tuple[str, ...]  # ISO 639-1 codes of its live documents, sorted.
    # Fitted parameters of the decision to refuse a question; None for the shipped ones.
    calibration: Mapping[str, Any] | None
    created: datetime
    splitting: Splitting | None = None  # None if nothing was ingested yet.
    index: str = ""  # The name of its index in the store; empty for the collection's name.
    model: EmbeddingModel | None = None  # None for that of the settings.

    @property
    def store_name(self) -> str:
        """The name under which the store has its chunks."""
        return self.index or self.name


def check_embedder(record: CollectionRecord, embedder: Embedder) -> None:
    """Check that an embedder's vectors can be compared with those of a collection.

    Raises:
        WrongEmbedderError: The message names the models and the settings to change.
    """
    if record.fingerprint == embedder.fingerprint:
        return
    made = f"collection '{record.name}' was made with the embedding model '{record.embedder}'"
    if record.model is not None:
        raise WrongEmbedderError(
            f"{made}, which was chosen for it, but the model's files have "
            "changed since: restore them, or embed the collection again"
        )
    if record.embedder != embedder.name:
        raise WrongEmbedderError(
            f"{made} ({record.dimension} dimensions), but the settings name '{embedder.name}' "
            f"({embedder.dimension} dimensions): set rag.embedding_model back"
        )
    raise WrongEmbedderError(
        f"{made}, which the settings name too, but with other options or weights: set "
        "rag.embedding_model.options (max_tokens, prompts) back to what they were, or the "
        "model's files"
    )
