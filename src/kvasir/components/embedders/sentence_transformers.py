"""Embeds with any model that sentence-transformers can load, on CPU or CUDA.

For models that the default embedder cannot run (other architectures and poolings) and for GPUs.
Both read prompts, lengths and fingerprint with the same code, so a collection made with one engine
can be searched with the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from kvasir.components.embedders.sentence_model import read_sentence_model
from kvasir.core.errors import SettingsError
from kvasir.core.run import Run
from kvasir.core.types import Matrix
from kvasir.models.devices import usable_device
from kvasir.models.local import find
from kvasir.models.transformers import SharedModel

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
_CPU_BATCH = 32
_CUDA_BATCH = 256


class SentenceTransformersEmbedder:
    """Embeds with a sentence-transformers model."""

    def __init__(
        self,
        name: str,
        token: str | None = None,
        data_dir: Path | str | None = None,
        max_tokens: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        segmenter: str = "auto",
        device: str | None = None,
        precision: str = "auto",
        batch_size: int | None = None,
        run: Run | None = None,
    ) -> None:
        """Find the model as ``kvasir.models.local.find`` does, and load it.

        ``max_tokens`` and the prompts replace the model's own; ``segmenter`` is as of
        ``read_sentence_model``. The device is ``cpu``, ``cuda``,
        ``cuda:1``, ...; by default CUDA where there is one. The precision is ``f32``, ``bf16``,
        ``f16``, or ``auto``: bf16 on CUDA, f32 elsewhere. A batch (of texts sorted by length) has
        by default 256 texts on CUDA, 32 elsewhere.

        Raises:
            ModelNotFoundError: The model is nowhere to be found.
            SettingsError: An option is unusable.
            ComponentError: sentence-transformers cannot load the model.
        """
        device = usable_device(device)
        cuda = device.startswith("cuda")
        if precision != "auto" and precision not in DTYPES:
            raise SettingsError(f"precision must be auto, {', '.join(DTYPES)}: '{precision}'")
        dtype = DTYPES["bf16" if cuda else "f32"] if precision == "auto" else DTYPES[precision]
        folder = find(name, token, data_dir, run)
        model = read_sentence_model(folder, max_tokens, query_prompt, document_prompt, segmenter)
        self._shared = SharedModel(
            "embedder 'sentence-transformers'",
            SentenceTransformer,
            folder,
            device=device,
            model_kwargs={"dtype": dtype},
        )
        self._shared.encoder.max_seq_length = model.max_tokens
        self.name = folder.name
        self.dimension = int(self._shared.encoder.get_embedding_dimension() or 0)
        self.fingerprint = model.fingerprint
        self.languages = folder.languages
        self.max_tokens = model.max_tokens
        self._model = model
        self._batch_size = batch_size or (_CUDA_BATCH if cuda else _CPU_BATCH)

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, dimension], unit length, in the order of the texts."""
        return self._embed(texts, self._model.document_prompt)

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """Embed queries, with the model's query prompt if it has one."""
        return self._embed(texts, self._model.query_prompt)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text as a document, special tokens and prompt included."""
        if not texts:
            return []
        prompt = self._model.document_prompt
        with self._shared.lock:
            ids: Any = self._shared.encoder.tokenizer(
                [prompt + text for text in self._model.prepared(texts)],
                truncation=False,
                padding=False,
                verbose=False,
            )["input_ids"]
        return [len(row) for row in ids]

    def _embed(self, texts: Sequence[str], prompt: str) -> Matrix:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        vectors = self._shared.compute(
            self._shared.encoder.encode,
            self._model.prepared(texts),
            prompt=prompt,
            batch_size=self._batch_size,
        )
        # Not every model normalises, and bf16 would leave an error of 1e-3.
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors
