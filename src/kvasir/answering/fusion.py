"""Puts the two legs of a search together, and says how much the dense one counts.

Scores are fused by a convex combination: ``alpha * dense + (1 - alpha) * lexical``, each leg
first brought to 0..1 over the candidates of one query.

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
"""Dense share where nothing says whether it was: costs little in either case."""
UNKNOWN_LANGUAGE = 0.2
"""Dense share where it was not."""

FLUENT_BYTES_PER_TOKEN = 4.0
"""A tokenizer that was made for a language takes at least this much text with one token.

UTF-8 bytes, as they make scripts comparable: all-MiniLM-L6-v2, an English model, takes 4.9
bytes of English and 3.2 of Spanish, 3.4 of Vietnamese and 3.0 of Chinese.
"""

_ANY = {"mul", "multilingual"}
"""What a list of languages may hold that says nothing of any single one."""


def fuse(
    dense: NDArray[np.float64], lexical: NDArray[np.float64], alpha: float
) -> NDArray[np.float64]:
    """Fuse the scores of one query's candidates.

    The dense scores are scaled so that the worst candidate has 0 and the best 1. BM25 has a
    floor of its own, 0 for a text that shares no term, so it is only divided by the best.

    Args:
        dense: Dense score of every candidate [n], the keyword leg's own finds included: a
            candidate that only one leg found is then judged by both.
        lexical: BM25 score of every candidate [n], 0 where no term is shared.
        alpha: The dense share, 0..1. It is 1 where no candidate shares a term.

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
    """Return the alpha that suits an embedder and a language.

    What the model says of itself decides. Where it says nothing, its tokenizer is asked: one
    made for a language needs few tokens for its text. The reverse does not hold (some good
    Chinese models take every character by itself), so that this alone never gives the lowest
    share.

    Args:
        embedder: The embedder.
        language: ISO 639-1 code of the question; ``und`` when it could not be told.
        sample: Texts of the collection in that language; may be empty.
    """
    if _is_said(embedder, language):
        return KNOWN_LANGUAGE if language in embedder.languages else UNKNOWN_LANGUAGE
    if isinstance(embedder, TokenCounter) and _is_fluent(embedder, sample):
        return KNOWN_LANGUAGE
    return UNCERTAIN_LANGUAGE


def needs_sample(embedder: Embedder, language: str) -> bool:
    """Return True if ``dense_share`` would look at the sample."""
    return isinstance(embedder, TokenCounter) and not _is_said(embedder, language)


def _is_said(embedder: Embedder, language: str) -> bool:
    """Return True if the model's own list of languages settles the question."""
    listed = embedder.languages
    return language not in ("", UNKNOWN) and bool(listed) and not _ANY.intersection(listed)


def _is_fluent(counter: TokenCounter, sample: Sequence[str]) -> bool:
    size = sum(len(text.encode()) for text in sample)
    return size > 0 and size >= FLUENT_BYTES_PER_TOKEN * sum(counter.count_tokens(sample))
