"""BM25 term weights by the rules of each language.

Qdrant's own tokenizers, stemmers and stop words do the work, whatever the store: so a
collection keeps its keyword index when it moves from one store to another. All languages
share one space of term ids (a hash of the term), and a name that is written alike in two
languages is found from both.

Which rules serve which language was measured on XQuAD: docs/decisions/0005-lexical-search.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
from qdrant_edge import Bm25, Bm25Config, DisabledStemmer, StopwordsSet, TokenizerType
from qdrant_edge import SparseVector as EdgeSparseVector

from kvasir.core.errors import SettingsError
from kvasir.core.text import SOUTHEAST_ASIAN
from kvasir.core.types import SparseVector

STEMMED = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "nb": "norwegian",
    "nn": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}
"""Languages with a stemmer and stop words, by ISO 639-1 code."""

FOLDED = frozenset({"de", "en", "es", "fr", "it", "nl", "pt", "ro"})
"""Languages in which people leave out accents when they type; elsewhere they tell words apart."""

UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "zh"})
"""Languages written without spaces between words."""

_UNSPACED_TEXT = re.compile(
    f"[{SOUTHEAST_ASIAN}"
    "\u3005-\u3007\u3040-\u30ff"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Chinese characters
    "\U00020000-\U0003134f"
    "]+"
)

_NO_STOP_WORDS = StopwordsSet(languages=set(), custom=set())


class Bm25Analyzer:
    """Turns text into BM25 term weights with the tokenizer and stemmer of its language.

    A language without rules of its own is cut into words and left as it is; the rules of
    Chinese, Japanese, Thai and the like also serve passages in these scripts inside texts of
    another language.

    Source: Robertson and Zaragoza 2009, The Probabilistic Relevance Framework.
    """

    def __init__(self, k1: float = 1.2, b: float = 0.75, average_length: float = 256.0) -> None:
        """Set BM25's parameters; a change asks for ingesting again.

        Args:
            k1: How soon repeating a word stops counting; at least 0.
            b: How much long texts are held back, 0..1.
            average_length: The length, in words, that is neither held back nor preferred.
        """
        if k1 < 0 or not 0 <= b <= 1 or average_length <= 0:
            raise SettingsError(
                f"analyzer 'bm25': k1={k1}, b={b}, average_length={average_length} will not do; "
                "k1 is at least 0, b lies within 0..1, average_length is above 0"
            )
        self._k1, self._b, self._average_length = k1, b, average_length
        self._model = lru_cache(maxsize=None)(self._make_model)

    def document_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        """Return the term weights of each text, IDF left to the store.

        Args:
            texts: What is indexed.
            languages: ISO 639-1 code of each text; any other word means unknown.
        """
        return [
            _merged([model.embed_document(part) for model, part in self._parts(text, language)])
            for text, language in zip(texts, languages, strict=True)
        ]

    def query_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        """Return the distinct terms of each query, each of weight 1."""
        queries = []
        for text, language in zip(texts, languages, strict=True):
            found = _merged(
                [model.embed_query(part) for model, part in self._parts(text, language)]
            )
            queries.append(SparseVector(found.indices, np.ones_like(found.values)))
        return queries

    def _parts(self, text: str, language: str) -> list[tuple[Bm25, str]]:
        """Return the text's parts, each with the model whose rules it follows."""
        code = re.split("[-_]", language.strip().lower(), maxsplit=1)[0]
        if code in UNSPACED:
            return [(self._unspaced_model, text)]
        model = self._model(code if code in STEMMED else "")
        if text.isascii() or not _UNSPACED_TEXT.search(text):
            return [(model, text)]
        unspaced = " ".join(_UNSPACED_TEXT.findall(text))
        return [(model, _UNSPACED_TEXT.sub(" ", text)), (self._unspaced_model, unspaced)]

    def _make_model(self, code: str) -> Bm25:
        if not code:
            return self._plain_model(TokenizerType.Word)
        return Bm25(
            Bm25Config(
                k=self._k1,
                b=self._b,
                avg_len=self._average_length,
                language=STEMMED[code],
                ascii_folding=code in FOLDED,
            )
        )

    @cached_property
    def _unspaced_model(self) -> Bm25:
        return self._plain_model(TokenizerType.Multilingual)

    def _plain_model(self, tokenizer: TokenizerType) -> Bm25:
        # A language of "none" is refused: stemmer and stop words are switched off one by one.
        return Bm25(
            Bm25Config(
                k=self._k1,
                b=self._b,
                avg_len=self._average_length,
                tokenizer=tokenizer,
                stemmer=DisabledStemmer(),
                stopwords=_NO_STOP_WORDS,
            )
        )


def _merged(vectors: Sequence[EdgeSparseVector]) -> SparseVector:
    """Return one vector with sorted, distinct term ids, weights of the same term added."""
    indices = np.concatenate([np.asarray(v.indices, dtype=np.uint32) for v in vectors])
    values = np.concatenate([np.asarray(v.values, dtype=np.float32) for v in vectors])
    distinct, positions = np.unique(indices, return_inverse=True)
    sums = np.zeros(len(distinct), dtype=np.float32)
    np.add.at(sums, positions, values)
    return SparseVector(distinct, sums)
