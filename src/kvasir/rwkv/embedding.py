"""Vectors of texts from a base: by the heads of EmbeddingRWKV, or from hidden vectors.

EmbeddingRWKV reads the text and the token 65535, and passes the hidden vector there through the
head for retrieval. A base without heads gives the mean of its hidden vectors, or the last one; it
needs a state or an adapter that was trained for that, otherwise its vectors are poor.
Source: https://github.com/howard-hou/EmbeddingRWKV, arXiv 2601.07861
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kvasir.core.errors import SettingsError
from kvasir.core.types import Matrix
from kvasir.rwkv.bases import Base
from kvasir.rwkv.reading import check_computed, read_texts
from kvasir.rwkv.state import State
from kvasir.rwkv.tokenizer import END_OF_DOCUMENT

END_OF_TEXT = 65_535
"""EmbeddingRWKV's token after a text."""
POOLINGS = ("mean", "last")
_HEAD = "retr_head."
_HEAD_TENSORS = ("fc1.weight", "fc2.weight", "norm.weight", "norm.bias")


class TextEmbedding:
    """Embeds texts with a base, an initial state and a pooling."""

    def __init__(self, base: Base, state: State, pooling: str, max_tokens: int) -> None:
        """Check that the base can embed; it computes nothing yet.

        Raises:
            SettingsError: The heads are of an unknown kind, or pooling or limit are unusable.
        """
        if pooling not in POOLINGS:
            raise SettingsError(f"pooling must be {' or '.join(POOLINGS)}, not '{pooling}'")
        if max_tokens < 1:
            raise SettingsError("max_tokens must be at least 1")
        self._base, self._state, self._pooling = base, state, pooling
        self._max_tokens = max_tokens
        self._head = _retrieval_head(base)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, cut to the limit, and the one at its end."""
        found = self._base.tokenizer.encode(text)[: self._max_tokens - 1]
        return [*found, END_OF_TEXT if self._head else END_OF_DOCUMENT]

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, C], unit length, in the order of the texts.

        Raises:
            ArithmeticError: The model computes numbers that are not finite.
        """
        width = self._base.model.config.width
        vectors = torch.zeros(len(texts), width)
        tokens = [self.tokens(text) for text in texts]

        def pool(number: int, hidden: Tensor, state: State) -> None:
            del state
            if self._head:
                pooled = _through(self._head, hidden[-1])
            elif self._pooling == "last":
                pooled = hidden[-1]
            else:
                pooled = hidden.float().mean(0)
            vectors[number] = pooled.float().cpu()

        read_texts(self._base.model, tokens, [self._state] * len(texts), pool)
        check_computed(vectors)
        unit = functional.normalize(vectors, dim=1).numpy()
        return np.ascontiguousarray(unit, dtype=np.float32)


def _retrieval_head(base: Base) -> Mapping[str, Tensor] | None:
    if not base.heads:
        return None
    head = {key.removeprefix(_HEAD): v for key, v in base.heads.items() if key.startswith(_HEAD)}
    if set(head) != set(_HEAD_TENSORS):
        raise SettingsError(
            f"{base.path} has heads that are not known: "
            f"{', '.join(sorted(base.heads)[:4])}; EmbeddingRWKV's models are supported"
        )
    if (vocabulary := base.model.config.vocabulary) <= END_OF_TEXT:
        raise SettingsError(
            f"{base.path} has {vocabulary} tokens, without EmbeddingRWKV's {END_OF_TEXT} for the "
            "end of a text"
        )
    return head


def _through(head: Mapping[str, Tensor], feature: Tensor) -> Tensor:
    added = functional.linear(
        torch.relu(functional.linear(feature, head["fc1.weight"])), head["fc2.weight"]
    )
    width = (feature.shape[-1],)
    return functional.layer_norm(added + feature, width, head["norm.weight"], head["norm.bias"])
