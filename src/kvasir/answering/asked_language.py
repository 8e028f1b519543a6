"""The language in which a question gets its replies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvasir.core.types import Hit
from kvasir.language.detect import detect


def asked_language(question: str, hits: Sequence[Hit], known: Iterable[str]) -> str:
    """Return the language of a question: one of its hits, or one of those that replies have.

    ``known`` are the ISO 639-1 codes of the latter; the result may also be another one.
    """
    found = (str(hit.chunk.metadata.get("language", "")) for hit in hits)
    return detect(question, [code for code in dict.fromkeys([*found, *known]) if code])
