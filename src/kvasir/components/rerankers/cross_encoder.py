"""Rerank with a cross-encoder of sentence-transformers, such as BAAI/bge-reranker-v2-m3.

A cross-encoder reads query and chunk together, which is slower and more exact than comparing
two vectors. Source: Nogueira and Cho 2019, arXiv 1901.04085.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder

from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.run import Run
from kvasir.core.types import Hit
from kvasir.models.local import find
from kvasir.models.transformers import usable_device, without_progress_bars

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
        """Find and load the model.

        Args:
            name: A path, or a name on the Hugging Face hub.
            token: Access token for the hub.
            data_dir: Kvasir's data directory; models are fetched to its ``models`` folder.
            max_tokens: Truncate query and chunk together here instead of at the model's maximum.
            device: ``cpu``, ``cuda``, ...; CUDA (in bf16) where there is one by default.
            batch_size: Pairs computed at once.
            run: Stops fetching the model, and gets the progress.

        Raises:
            ModelNotFoundError: The model is nowhere to be found.
            SettingsError: An option is unusable, or the model does not give one score a pair.
            ComponentError: sentence-transformers cannot load the model.
        """
        device = usable_device(device)
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        folder = find(name, token, data_dir, run)
        try:
            with without_progress_bars():
                self._encoder = CrossEncoder(
                    str(folder.path),
                    device=device,
                    max_length=max_tokens,
                    local_files_only=True,
                    model_kwargs={"dtype": dtype},
                )
        except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
            raise ComponentError("reranker 'cross-encoder'", "loading", error) from error
        if self._encoder.num_labels != 1:
            raise SettingsError(
                f"'{folder.name}' gives {self._encoder.num_labels} scores a pair, a reranker "
                "needs one; choose a reranking model such as " + DEFAULT_MODEL
            )
        self.name = folder.name
        self._batch_size = batch_size
        # Its tokenizer is reconfigured on every call and is not thread-safe.
        self._lock = threading.Lock()

    def rerank(self, query: str, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        """Return the best hits, best first, with ``score`` replaced (0..1)."""
        if not hits or top_k < 1:
            return []
        try:
            with self._lock:
                scores = self._encoder.predict(
                    [(query, hit.chunk.passage) for hit in hits],
                    batch_size=self._batch_size,
                    show_progress_bar=False,
                    activation_fn=torch.nn.Sigmoid(),
                    convert_to_tensor=True,
                )
        except RuntimeError as error:
            raise ComponentError("reranker 'cross-encoder'", "inference", error) from error
        rated = zip(hits, scores.to(torch.float32).cpu().tolist(), strict=True)
        ordered = sorted(rated, key=lambda pair: -pair[1])
        return [replace(hit, score=float(score)) for hit, score in ordered[:top_k]]
