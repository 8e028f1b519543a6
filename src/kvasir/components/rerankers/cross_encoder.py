"""Rerank with a cross-encoder of sentence-transformers, such as BAAI/bge-reranker-v2-m3.

A cross-encoder reads query and chunk together, which is slower and more exact than comparing
two vectors. Source: Nogueira and Cho 2019, arXiv 1901.04085.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder

from kvasir.core.errors import SettingsError
from kvasir.core.run import Run
from kvasir.core.text import replace_surrogates
from kvasir.core.types import Hit
from kvasir.models.devices import usable_device
from kvasir.models.local import find
from kvasir.models.transformers import SharedModel

DEFAULT_MODEL = "BAAI/bge-reranker-v2-m3"


class CrossEncoderReranker:
    """Scores query and chunk with one cross-encoder; the score is its sigmoid, 0..1."""

    def __init__(
        self,
        name: str = DEFAULT_MODEL,
        token: str | None = None,
        data_dir: Path | str | None = None,
        max_tokens: int | None = None,
        device: str | None = None,
        batch_size: int = 16,
        run: Run | None = None,
    ) -> None:
        """Find the model as ``kvasir.models.local.find`` does, and load it.

        Query and chunk together are truncated to ``max_tokens`` instead of the model's maximum.
        The device is ``cpu``, ``cuda``, ...; by default CUDA (in bf16) where there is one.
        ``batch_size`` counts pairs.

        Raises:
            ModelNotFoundError: The model is nowhere to be found.
            SettingsError: An option is unusable, or the model does not give one score a pair.
            ComponentError: sentence-transformers cannot load the model.
        """
        device = usable_device(device)
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        folder = find(name, token, data_dir, run)
        self._model = SharedModel(
            "reranker 'cross-encoder'",
            CrossEncoder,
            folder,
            device=device,
            max_length=max_tokens,
            model_kwargs={"dtype": dtype},
        )
        labels = self._model.encoder.num_labels
        if labels != 1:
            raise SettingsError(
                f"'{folder.name}' gives {labels} scores a pair, a reranker needs one; choose a "
                f"reranking model such as {DEFAULT_MODEL}"
            )
        self.name = folder.name
        self._batch_size = batch_size

    def rerank(self, query: str, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        """Return the best hits, best first, with ``score`` replaced (0..1)."""
        if not hits or top_k < 1:
            return []
        scores = self._model.compute(
            self._model.encoder.predict,
            [(replace_surrogates(query), replace_surrogates(hit.chunk.passage)) for hit in hits],
            batch_size=self._batch_size,
            activation_fn=torch.nn.Sigmoid(),
        )
        rated = zip(hits, scores.tolist(), strict=True)
        ordered = sorted(rated, key=lambda pair: -pair[1])
        return [replace(hit, score=float(score)) for hit, score in ordered[:top_k]]
