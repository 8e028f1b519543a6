"""Embeds with an RWKV model: one of EmbeddingRWKV, or a base with a state trained for embedding.

Generator and reranker ``rwkv`` use the same weights if they name the same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kvasir.core.errors import ComponentError
from kvasir.core.types import Matrix
from kvasir.rwkv.bases import AUTO
from kvasir.rwkv.embedding import TextEmbedding
from kvasir.rwkv.tuned import load_tuned


class RwkvEmbedder:
    """Embeds with an RWKV model."""

    def __init__(
        self,
        name: str,
        data_dir: Path | str | None = None,
        state: str | None = None,
        adapter: str | None = None,
        pooling: str = "mean",
        max_tokens: int = 512,
        query_prompt: str = "",
        document_prompt: str = "",
        device: str | None = None,
        precision: str = AUTO,
    ) -> None:
        """Find the model and load it.

        Args:
            name: A ``.pth`` or safetensors file, a folder with one, or ``OWNER/NAME/FILE``.
            data_dir: The folder below which downloaded models are.
            state: A tuned state of the model.
            adapter: A LoRA or PiSSA adapter of the model.
            pooling: ``mean`` or ``last``, of a model without heads for embedding.
            max_tokens: The end of longer texts is cut off.
            query_prompt: Stands before each query.
            document_prompt: Stands before each document.
            device: ``cpu``, ``cuda``, ...; by default CUDA where there is one.
            precision: ``f32``, ``bf16``, ``f16``, or ``auto``: bf16 on CUDA, f32 elsewhere.

        Raises:
            ModelNotFoundError: There is no such file.
            SettingsError: It is no model that embeds, or an option is unusable.
            ComponentError: The file is damaged, or there is too little memory.
        """
        self._tuned = load_tuned(
            name, data_dir, state=state, adapter=adapter, device=device, precision=precision
        )
        base = self._tuned.base
        self._texts = TextEmbedding(base, self._tuned.state, pooling, max_tokens)
        self._query_prompt, self._document_prompt = query_prompt, document_prompt
        self.name = name
        self.dimension = base.model.config.width
        self.languages: tuple[str, ...] = ()
        self.max_tokens = max_tokens
        identity = [
            self._tuned.fingerprint,
            base.heads_fingerprint or pooling,
            str(max_tokens),
            query_prompt,
            document_prompt,
        ]
        self.fingerprint = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:32]

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, dimension], unit length, in the order of the texts."""
        return self._embed(texts, self._document_prompt)

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """Embed queries, with the query prompt."""
        return self._embed(texts, self._query_prompt)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text as a document, the one at its end included."""
        encode = self._tuned.base.tokenizer.encode
        return [len(encode(self._document_prompt + text)) + 1 for text in texts]

    def _embed(self, texts: Sequence[str], prompt: str) -> Matrix:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        try:
            with self._tuned.applied():
                return self._texts.embed([prompt + text for text in texts])
        except (RuntimeError, ArithmeticError) as error:
            raise ComponentError("embedder 'rwkv'", "inference", error) from error
