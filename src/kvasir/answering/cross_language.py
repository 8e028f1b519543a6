"""Whether an embedding model compares questions with passages in another language.

The shipped reference pairs say the same in every language. So the model is asked to find the
passage of each question among those in the other language: no list of languages is needed, and a
model that barely knows one of the two is found out.
"""

from __future__ import annotations

from threading import Lock

import numpy as np

from kvasir.answering.reference_pairs import REFERENCE_PAIRS
from kvasir.core.protocols import Embedder

LEAST_FOUND = 0.9
"""Share of the questions whose passage must be the nearest one; by chance it is 0.1."""

_lock = Lock()
_known: dict[tuple[str, str, str], bool] = {}


def compares_languages(embedder: Embedder, asked: str, written: str) -> bool:
    """Return True if questions in one language find passages in another one.

    False for languages without reference pairs. Both are ISO 639-1 codes. Twenty texts are
    embedded once in a process for each pair of languages.

    Raises:
        ComponentError: Embedding failed.
    """
    if asked not in REFERENCE_PAIRS or written not in REFERENCE_PAIRS:
        return False
    key = embedder.fingerprint, asked, written
    with _lock:
        if key not in _known:
            questions = embedder.embed_queries([pair[0] for pair in REFERENCE_PAIRS[asked]])
            passages = embedder.embed_documents([pair[1] for pair in REFERENCE_PAIRS[written]])
            nearest = np.argmax(questions @ passages.T, axis=1)
            found = float((nearest == np.arange(len(questions))).mean())
            _known[key] = found >= LEAST_FOUND
        return _known[key]
