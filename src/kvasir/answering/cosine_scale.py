"""How an embedding model scores texts that belong together, and texts that do not.

Cosines of unrelated texts are near 0 in some models and above 0.7 in others, and they spread by a
model's own measure, which differs from language to language. Both searching and refusing need it:
a difference within the spread of unrelated texts says nothing, and a cosine says how likely a
passage is an answer only by comparison. The texts are fixed (``reference_pairs``), so the figures
depend on the model alone, not on a collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np

from kvasir.answering.reference_pairs import REFERENCE_PAIRS
from kvasir.core.protocols import Embedder

_LEAST_RELATED, _MOST_RELATED = -0.6, 1.2
"""Limits of the relatedness, since the tails of the distributions are not normal."""
_LEAST_SPREAD = 1e-3
_FALLBACK = "en"
"""Stands in for languages without pairs."""


@dataclass(frozen=True, slots=True)
class CosineScale:
    """The cosines of one model in one language.

    Attributes:
        related: Mean cosine, -1..1, of questions and the passages that answer them.
        unrelated: The same of questions and the passages that answer other ones.
        deviation: Standard deviation of the cosines of unrelated texts.
        variance: Mean variance of the cosines of both kinds.
    """

    related: float
    unrelated: float
    deviation: float
    variance: float

    def relatedness(self, cosine: float) -> float:
        """Return a tenth of the logarithm of how much likelier a cosine is among related texts.

        With normal distributions of one spread, within limits. It is near 0 for every cosine if the
        model does not tell related texts from others.
        """
        middle = (self.related + self.unrelated) / 2.0
        found = (cosine - middle) * (self.related - self.unrelated) / self.variance / 10.0
        return min(_MOST_RELATED, max(_LEAST_RELATED, found))


_scales: dict[tuple[str, str], CosineScale] = {}
_locks: dict[tuple[str, str], Lock] = {}


def cosine_scale(embedder: Embedder, language: str) -> CosineScale:
    """Return a model's scale in a language (ISO 639-1); in English if there are no pairs for it.

    The texts of a language are embedded once in the process for every fingerprint: it takes
    milliseconds.

    Raises:
        ComponentError: Embedding failed.
    """
    key = embedder.fingerprint, language if language in REFERENCE_PAIRS else _FALLBACK
    if key not in _scales:
        with _locks.setdefault(key, Lock()):
            if key not in _scales:
                _scales[key] = _measure(embedder, key[1])
    return _scales[key]


def _measure(embedder: Embedder, language: str) -> CosineScale:
    questions, passages = zip(*REFERENCE_PAIRS[language], strict=True)
    cosines = np.asarray(embedder.embed_queries(questions), np.float64)
    cosines = cosines @ np.asarray(embedder.embed_documents(passages), np.float64).T
    own = np.eye(len(cosines), dtype=bool)
    related, unrelated = cosines[own], cosines[~own]
    variance = float(related.var() + unrelated.var()) / 2.0
    # A model that is no better than chance, or worse, tells nothing.
    above = max(float(related.mean()), float(unrelated.mean()))
    return CosineScale(
        related=above,
        unrelated=float(unrelated.mean()),
        deviation=float(unrelated.std()),
        variance=max(variance, _LEAST_SPREAD**2),
    )
