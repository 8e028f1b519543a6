"""Embeds with any model that sentence-transformers can load, on CPU or CUDA.

For models that the default embedder cannot run (other architectures and poolings) and for GPUs.
Both read prompts, lengths and fingerprint with the same code, so a collection made with one engine
can be searched with the other.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from kvasir.components.embedders.sentence_model import read_sentence_model
from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.run import Run
from kvasir.core.text import replace_surrogates
from kvasir.core.types import Matrix
from kvasir.models.cards import languages
from kvasir.models.local import find
from kvasir.models.transformers import usable_device, without_progress_bars

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
        device: str | None = None,
        precision: str = "auto",
        batch_size: int | None = None,
        run: Run | None = None,
    ) -> None:
        """Find and load the model.

        Args:
            name: A path, or a name on the Hugging Face hub.
            token: Access token for the hub.
            data_dir: Kvasir's data directory; models are fetched to its ``models`` folder.
            max_tokens: Truncate texts here instead of at the model's own maximum.
            query_prompt: Replaces the model's own prompt for queries.
            document_prompt: Replaces the model's own prompt for documents.
            device: ``cpu``, ``cuda``, ``cuda:1``, ...; CUDA where there is one by default.
            precision: ``f32``, ``bf16``, ``f16``, or ``auto``: bf16 on CUDA, f32 elsewhere.
            batch_size: Texts in a batch (sorted by length); 256 on CUDA, 32 elsewhere by default.
            run: Stops fetching the model, and gets the progress.

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
        model = read_sentence_model(
            folder,
            max_tokens=max_tokens,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
        )
        try:
            with without_progress_bars():
                self._encoder = SentenceTransformer(
                    str(folder.path),
                    device=device,
                    local_files_only=True,
                    model_kwargs={"dtype": dtype},
                )
        except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
            raise ComponentError("embedder 'sentence-transformers'", "loading", error) from error
        self._encoder.max_seq_length = model.max_tokens
        self.name = folder.name
        self.dimension = int(self._encoder.get_embedding_dimension() or 0)
        self.fingerprint = model.fingerprint
        self.languages = languages(folder.name, folder.path)
        self.max_tokens = model.max_tokens
        self._model = model
        self._batch_size = batch_size or (_CUDA_BATCH if cuda else _CPU_BATCH)
        # Its tokenizer is reconfigured on every call and is not thread-safe.
        self._lock = threading.Lock()

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
        with self._lock:
            ids: Any = self._encoder.tokenizer(
                [prompt + replace_surrogates(text) for text in texts],
                truncation=False,
                padding=False,
                verbose=False,
            )["input_ids"]
        return [len(row) for row in ids]

    def _embed(self, texts: Sequence[str], prompt: str) -> Matrix:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        try:
            with self._lock:
                raw = self._encoder.encode(
                    [replace_surrogates(text) for text in texts],
                    prompt=prompt,
                    batch_size=self._batch_size,
                    show_progress_bar=False,
                    convert_to_tensor=True,
                )
        except RuntimeError as error:
            raise ComponentError("embedder 'sentence-transformers'", "inference", error) from error
        vectors: Matrix = raw.to(torch.float32).cpu().numpy()
        # Not every model normalises, and bf16 would leave an error of 1e-3.
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors
