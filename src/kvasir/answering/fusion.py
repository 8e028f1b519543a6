"""Fuse dense and keyword scores, with a weight that depends on embedder and language.

Scores are fused by a convex combination: ``alpha * dense + (1 - alpha) * lexical``, each scaled
to 0..1 over the candidates of one query.

Source: Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval",
arXiv 2210.11934. The figures behind the constants: docs/decisions/0009-fusion.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kvasir.core.protocols import Embedder, TokenCounter
from kvasir.language.detect import UNKNOWN

KNOWN_LANGUAGE = 0.5
"""Dense share where the embedding model was trained for the language."""
UNCERTAIN_LANGUAGE = 0.35
"""Dense share where that is unknown: costs little in either case."""
UNKNOWN_LANGUAGE = 0.2
"""Dense share where it was not."""

FLUENT_BYTES_PER_TOKEN = 4.0
"""Fewest UTF-8 bytes per token of a tokenizer that was made for a language.

Bytes make scripts comparable: all-MiniLM-L6-v2, an English model, has 4.9 in English, 3.2 in
Spanish, 3.4 in Vietnamese and 3.0 in Chinese.
"""

_ANY = {"mul", "multilingual"}
"""Entries of a model's language list that name no single language."""


def fuse(
    dense: NDArray[np.float64], lexical: NDArray[np.float64], alpha: float
) -> NDArray[np.float64]:
    """Fuse the scores of one query's candidates.

    Dense scores are scaled from 0 (worst) to 1 (best). BM25 is 0 for a text that shares no term,
    so it is only divided by the best.

    Args:
        dense: Dense score of every candidate [n], including those of the keyword search.
        lexical: BM25 score of every candidate [n], 0 where no term is shared.
        alpha: The dense share, 0..1; 1 is used if no candidate shares a term.

    Returns:
        Fused scores [n], 0..1.
    """
    if not dense.size:
        return dense
    low, high = float(dense.min()), float(dense.max())
    similar = (dense - low) / (high - low) if high > low else np.ones_like(dense)
    best = float(lexical.max())
    return alpha * similar + (1.0 - alpha) * (lexical / best) if best > 0.0 else similar


def dense_share(embedder: Embedder, language: str, sample: Sequence[str]) -> float:
    """Return the dense share for an embedder and a language.

    The model's own list of languages decides. Without one, few tokens for the sample show that
    the tokenizer was made for the language. Many tokens show nothing (some good Chinese models
    tokenize by character), so the lowest share needs the list.

    Args:
        embedder: The embedder.
        language: ISO 639-1 code of the question; ``und`` if unknown.
        sample: Texts of the collection in that language; may be empty.
    """
    if _is_listed(embedder, language):
        return KNOWN_LANGUAGE if language in embedder.languages else UNKNOWN_LANGUAGE
    if isinstance(embedder, TokenCounter) and _is_fluent(embedder, sample):
        return KNOWN_LANGUAGE
    return UNCERTAIN_LANGUAGE


def needs_sample(embedder: Embedder, language: str) -> bool:
    """Return True if ``dense_share`` would use the sample."""
    return isinstance(embedder, TokenCounter) and not _is_listed(embedder, language)


def _is_listed(embedder: Embedder, language: str) -> bool:
    """Return True if the model's list of languages decides for a language."""
    listed = embedder.languages
    return language not in ("", UNKNOWN) and bool(listed) and not _ANY.intersection(listed)


def _is_fluent(counter: TokenCounter, sample: Sequence[str]) -> bool:
    size = sum(len(text.encode()) for text in sample)
    return size > 0 and size >= FLUENT_BYTES_PER_TOKEN * sum(counter.count_tokens(sample))
