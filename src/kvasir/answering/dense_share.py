"""How much the meaning of a text counts beside its words, by the language of the question."""

from __future__ import annotations

from collections.abc import Sequence

from kvasir.core.explanations import Weighting
from kvasir.core.protocols import Embedder, TokenCounter
from kvasir.language.detect import UNKNOWN

KNOWN_LANGUAGE = 0.5
"""Dense share where the embedding model was trained for the language."""
UNCERTAIN_LANGUAGE = 0.35
"""Dense share where that is unknown: costs little in either case."""
UNKNOWN_LANGUAGE = 0.2
"""Dense share where it was not."""
OTHER_LANGUAGE = 0.9
"""Dense share where documents are in other languages, and the model compares them with a question.

Words that a question shares with texts in another language are names, or there by chance.
"""

FLUENT_BYTES_PER_TOKEN = 4.0
"""Fewest UTF-8 bytes per token of a tokenizer that was made for a language.

Bytes make scripts comparable: all-MiniLM-L6-v2, an English model, has 4.9 in English, 3.2 in
Spanish, 3.4 in Vietnamese and 3.0 in Chinese.
"""

_ANY = {"mul", "multilingual"}
"""Entries of a model's language list that name no single language."""


def dense_share(embedder: Embedder, language: str, sample: Sequence[str]) -> float:
    """Return the dense share for an embedder and the language of a question (ISO 639-1, ``und``).

    The model's own list of languages decides. Without one, few tokens for the sample, texts of the
    collection in that language, show that the tokenizer was made for it. Many tokens show nothing
    (some good Chinese models tokenize by character), so the lowest share needs the list.
    """
    if is_listed(embedder, language):
        return KNOWN_LANGUAGE if language in embedder.languages else UNKNOWN_LANGUAGE
    if isinstance(embedder, TokenCounter) and _is_fluent(embedder, sample):
        return KNOWN_LANGUAGE
    return UNCERTAIN_LANGUAGE


def weighting(embedder: Embedder, language: str, share: float) -> Weighting:
    """Return why the dense leg has a share."""
    if share == OTHER_LANGUAGE:
        return Weighting.COMPARED
    if is_listed(embedder, language):
        is_known = language in embedder.languages
        return Weighting.LISTED if is_known else Weighting.NOT_LISTED
    return Weighting.TOKENIZER if share == KNOWN_LANGUAGE else Weighting.UNKNOWN


def is_listed(embedder: Embedder, language: str) -> bool:
    """Return True if the model's list of languages decides for a language."""
    listed = embedder.languages
    return language not in ("", UNKNOWN) and bool(listed) and not _ANY.intersection(listed)


def _is_fluent(counter: TokenCounter, sample: Sequence[str]) -> bool:
    size = sum(len(text.encode()) for text in sample)
    return size > 0 and size >= FLUENT_BYTES_PER_TOKEN * sum(counter.count_tokens(sample))
