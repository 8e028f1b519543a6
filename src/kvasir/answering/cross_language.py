"""Whether an embedding model compares questions with passages in another language.

The shipped reference pairs say the same in every language. So the model is asked to find the
passage of each question among those in the other language: no list of languages is needed, and a
model that barely knows one of the two is found out.
"""

from __future__ import annotations

from threading import Lock

import numpy as np

from kvasir.answering.reference_pairs import REFERENCE_PAIRS
from kvasir.core.filters import Comparison
from kvasir.core.protocols import Embedder, VectorStore
from kvasir.core.types import Matrix

LEAST_FOUND = 0.9
"""Share of the questions whose passage must be the nearest one; by chance it is 0.1."""

_SAMPLE = 256
"""Passages whose mean stands for a language."""

_known: dict[tuple[str, str, str], bool] = {}
_locks: dict[tuple[str, str, str], Lock] = {}


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
    if key not in _known:
        with _locks.setdefault(key, Lock()):
            if key not in _known:
                _known[key] = _finds_passages(embedder, asked, written)
    return _known[key]


def _finds_passages(embedder: Embedder, asked: str, written: str) -> bool:
    questions = embedder.embed_queries([pair[0] for pair in REFERENCE_PAIRS[asked]])
    passages = embedder.embed_documents([pair[1] for pair in REFERENCE_PAIRS[written]])
    nearest = np.argmax(questions @ passages.T, axis=1)
    return float((nearest == np.arange(len(questions))).mean()) >= LEAST_FOUND


class LanguageLevels:
    """How near a collection's passages in each language are to a question, whatever they say.

    A multilingual model puts texts of one language near each other. So a passage in another
    language than the question's is compared with the others in its own language: its cosine is
    shifted by the difference of the two languages' means.
    """

    def __init__(self, store: VectorStore) -> None:
        """Read nothing yet."""
        self._store = store
        self._means: dict[str, Matrix | None] = {}

    def shift(self, vector: Matrix, asked: str, written: str) -> float:
        """Return what to add to the ``dense_score`` of passages in a language, for a question.

        ``vector`` is the question's [dimension], ``asked`` its language.
        """
        own, other = self._mean(asked), self._mean(written)
        if own is None or other is None:
            return 0.0
        return float(vector @ (own - other)) / 2.0  # Scores span half the range of cosines.

    def _mean(self, language: str) -> Matrix | None:
        """Return the mean vector of some passages in a language; None if there is none."""
        if language not in self._means:
            condition = Comparison("language", "==", language)
            batch = next(self._store.scroll(condition, _SAMPLE), [])
            vectors = [vector for _, vector in batch]
            self._means[language] = np.mean(vectors, axis=0) if vectors else None
        return self._means[language]
