"""Words of Vietnamese, whose syllables are written apart: ``học sinh`` is the word ``học_sinh``.

PhoBERT was trained on words with ``_`` between their syllables. The library is underthesea, whose
model is in its package.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from underthesea import word_tokenize

_lock = threading.Lock()


def segment(texts: Sequence[str]) -> list[str]:
    """Return the texts with ``_`` between the syllables of a word and spaces between words."""
    with _lock:  # Its model is one object.
        return [word_tokenize(text, format="text") if text.strip() else text for text in texts]
