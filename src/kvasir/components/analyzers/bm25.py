"""BM25 term weights by the rules of each language.

Qdrant's tokenizers, stemmers and stop words are used with every store, so that a collection
keeps its keyword index when it moves. All languages share one space of term ids (a hash of the
term): a name with the same spelling in two languages is found from both.

The rules of each language were measured on XQuAD: docs/decisions/0005-lexical-search.md.

Identifiers are terms as well, whole and in one spelling (``language.identifiers``), and so are
function words in capitals (``language.capitals``). They are added to the terms of the words: an
index that lacks them answers as before.

Terms are those of the normal text (``language.normalization``). A search also has the terms of the
text as it is written, which are those of indexes made of texts that were not normalized.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_edge import Bm25, Bm25Config, DisabledStemmer, StopwordsSet, TokenizerType
from qdrant_edge import SparseVector as EdgeSparseVector

from kvasir.core.errors import SettingsError
from kvasir.core.text import SOUTHEAST_ASIAN
from kvasir.core.types import SparseVector
from kvasir.language.capitals import names_in_capitals
from kvasir.language.compounds import compound_parts
from kvasir.language.identifiers import find_identifiers, numbers
from kvasir.language.normalization import (
    dotless_words,
    is_typed_without_umlauts,
    joined_words,
    normalize,
    of_language,
    with_umlauts,
    words_with_umlauts,
)
from kvasir.language.question_words import QUESTION_WORDS, without_asking_phrases

STEMMED = {
    "ar": "arabic", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "fi": "finnish", "fr": "french", "hu": "hungarian", "it": "italian",
    "nl": "dutch", "no": "norwegian", "nb": "norwegian", "nn": "norwegian", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
"""Languages with a stemmer and stop words, by ISO 639-1 code."""

FOLDED = frozenset({"de", "en", "es", "fr", "it", "nl", "pt", "ro"})
"""Languages often typed without accents; in others accents distinguish words."""

UNSPACED = frozenset({"ja", "km", "lo", "my", "th", "zh"})
"""Languages written without spaces between words."""

_UNSPACED_TEXT = re.compile(
    f"[{SOUTHEAST_ASIAN}"
    "\u3005-\u3007\u3040-\u30ff"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Chinese characters
    "\U00020000-\U0003134f"
    "]+"
)

_MAY_IDENTIFY = re.compile(r"[0-9#@_/:+&\\]|\w[-.\u2010\u2011]\w|\B-\w|\B\.\w|\b[B-HJ-Z]\b")
"""Found in every text with an identifier; most sentences have none, and cost nothing."""
_WORDS = re.compile(r"\w+")

_REMEMBERED, _SENTENCE = 4096, 500
"""Texts whose terms are remembered, and the most characters of one: an answer reads the sentences
of its hits several times."""

PART_WEIGHT = 0.5
"""Weight of a term that is only a part of a word of the query."""

_NO_STOP_WORDS = StopwordsSet(languages=set(), custom=set())


class Bm25Analyzer:
    """Turns text into BM25 term weights with the tokenizer and stemmer of its language.

    Text of a language without rules is only cut into words. Passages in unspaced scripts
    (Chinese, Japanese, Thai) follow their own rules also inside texts of another language.

    Source: Robertson and Zaragoza 2009, The Probabilistic Relevance Framework.
    """

    def __init__(self, k1: float = 1.2, b: float = 0.75, average_length: float = 256.0) -> None:
        """Set BM25's parameters; after a change, documents must be ingested again.

        ``k1`` is the saturation of repeated words, ``b`` the length normalization, and
        ``average_length`` the text length in words without normalization.
        """
        if k1 < 0 or not 0 <= b <= 1 or average_length <= 0:
            raise SettingsError(
                f"analyzer 'bm25': k1={k1}, b={b}, average_length={average_length} will not do; "
                "k1 is at least 0, b lies within 0..1, average_length is above 0"
            )
        self._k1, self._b, self._average_length = k1, b, average_length
        self._model = lru_cache(maxsize=None)(self._make_model)
        self._recent_terms = lru_cache(_REMEMBERED)(self._terms)
        self._asking = lru_cache(maxsize=None)(self._find_asking)
        self._word_id = lru_cache(_REMEMBERED)(self._find_word_id)
        self._is_stop_word = lru_cache(_REMEMBERED)(self._find_stop_word)

    def document_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        """Return the term weights of each text, without IDF, which the store applies.

        Languages are ISO 639-1 codes; any other word means unknown.
        """
        return [
            (self._recent_terms if len(text) <= _SENTENCE else self._terms)(text, language)
            for text, language in zip(texts, languages, strict=True)
        ]

    def _terms(self, text: str, language: str) -> SparseVector:
        text = normalize(text)
        vectors = [model.embed_document(part) for model, part in self._parts(text, language)]
        code = _code(language)
        spellings = [*joined_words(text), *dotless_words(text, code)]
        if code == "de" and is_typed_without_umlauts(text):
            spellings += words_with_umlauts(text)
        return _merged([*map(_arrays, vectors), *self._added_terms(text, language, spellings)])

    def query_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        """Return the distinct terms of each query, each of weight 1.

        Words with which one asks ("wann") are left out, unless the query has no others.
        """
        return [
            self._query_terms(self._asked(text, language), language)
            for text, language in zip(texts, languages, strict=True)
        ]

    def _asked(self, text: str, language: str) -> str:
        """Return a query in the spelling of its terms, without phrases that only ask."""
        code = _code(language)
        text = without_asking_phrases(normalize(text), code)
        return with_umlauts(text) if code == "de" and is_typed_without_umlauts(text) else text

    def _query_terms(self, text: str, language: str) -> SparseVector:
        vectors = [model.embed_query(part) for model, part in self._parts(text, language)]
        added = self._added_terms(text, language, joined_words(text))
        merged = _merged([*map(_arrays, vectors), *added])
        wanted = merged.indices[~np.isin(merged.indices, self._asking(_code(language)))]
        terms = wanted if wanted.size else merged.indices
        return SparseVector(terms, np.ones(terms.size, dtype=np.float32))

    def search_terms(self, texts: Sequence[str], languages: Sequence[str]) -> list[SparseVector]:
        """Return the terms of ``query_terms``, and those of other spellings and of parts.

        Parts of compounds have less weight. Other spellings are the text as it is written,
        Turkish words with a dotless i, and German words with umlauts for ``ae``, ``oe``, ``ue``.
        """
        found = []
        for written, language in zip(texts, languages, strict=True):
            code, text = _code(language), self._asked(written, language)
            terms = self._query_terms(text, language)
            spellings = dotless_words(text, code)
            if text != written:
                spellings.append(without_asking_phrases(written, code))
            if code == "de":
                spellings += words_with_umlauts(text)
            terms = self._with_terms(terms, spellings, language, 1.0)
            parts = compound_parts(text) if code == "de" else []
            found.append(self._with_terms(terms, parts, language, PART_WEIGHT))
        return found

    def _with_terms(
        self, terms: SparseVector, texts: Sequence[str], language: str, weight: float
    ) -> SparseVector:
        """Add the terms of further texts that are new, with one weight."""
        if not texts:
            return terms
        added = self._query_terms(" ".join(texts), language)
        new = added.indices[~np.isin(added.indices, terms.indices)]
        both = np.concatenate([terms.values, np.full(new.size, weight, dtype=np.float32)])
        return _merged([SparseVector(np.concatenate([terms.indices, new]), both)])

    def _find_asking(self, code: str) -> NDArray[np.uint32]:
        """Return the term ids of a language's question words."""
        words = QUESTION_WORDS.get(code, ())
        ids = {
            term
            for word in words
            for model, part in self._parts(word, code)
            for term in model.embed_query(part).indices
        }
        return np.array(sorted(ids), dtype=np.uint32)

    def _added_terms(
        self, text: str, language: str, spellings: Sequence[str]
    ) -> list[SparseVector]:
        """Return the weights of the terms that the words of a normal text do not have.

        ``spellings`` are further words for words of the text.
        """
        counts: Counter[int] = Counter()
        code = _code(language)
        for word in spellings:
            counts.update(map(int, self._word_model(code).embed_query(word).indices))
        # Their ids are those of plain words: neither digits nor codes nor names have a stem.
        names = names_in_capitals(text, partial(self._is_stop_word, code))
        counts.update(self._word_id(name) for name in names)
        if _MAY_IDENTIFY.search(text):
            found = find_identifiers(text)
            words = [*found.words, *(numbers(text) if code in UNSPACED else ())]
            counts.update(self._word_id(word) for word in words)
            counts.update(_exact_id(form) for form in found.exact)
        return [self._weighted(counts, len(_WORDS.findall(text)))] if counts else []

    def _weighted(self, counts: Mapping[int, int], length: int) -> SparseVector:
        """Return the weights of terms by their counts in a text of a number of words."""
        norm = self._k1 * (1.0 - self._b + self._b * length / self._average_length)
        ids = np.array(sorted(counts), dtype=np.uint32)
        times = np.array([counts[each] for each in ids.tolist()], dtype=np.float64)
        weights = times * (self._k1 + 1.0) / (times + norm)
        return SparseVector(ids, weights.astype(np.float32))

    def _find_stop_word(self, code: str, word: str) -> bool:
        return code not in UNSPACED and not self._word_model(code).embed_query(word).indices

    def _find_word_id(self, word: str) -> int:
        (term,) = self._model("").embed_query(word).indices
        return int(term)

    def _parts(self, text: str, language: str) -> list[tuple[Bm25, str]]:
        """Return the text's parts, each with the model of its rules."""
        code = _code(language)
        if code in UNSPACED:
            return [(self._unspaced_model, text)]
        model, text = self._word_model(code), of_language(text, code)
        if text.isascii() or not _UNSPACED_TEXT.search(text):
            return [(model, text)]
        unspaced = " ".join(_UNSPACED_TEXT.findall(text))
        return [(model, _UNSPACED_TEXT.sub(" ", text)), (self._unspaced_model, unspaced)]

    def _word_model(self, code: str) -> Bm25:
        return self._model(code if code in STEMMED else "")

    def _make_model(self, code: str) -> Bm25:
        if not code:
            return self._plain_model(TokenizerType.Word)
        return self._bm25(language=STEMMED[code], ascii_folding=code in FOLDED)

    @cached_property
    def _unspaced_model(self) -> Bm25:
        return self._plain_model(TokenizerType.Multilingual)

    def _plain_model(self, tokenizer: TokenizerType) -> Bm25:
        # Language "none" is refused: switch off the stemmer and the stop words.
        return self._bm25(tokenizer=tokenizer, stemmer=DisabledStemmer(), stopwords=_NO_STOP_WORDS)

    def _bm25(self, **options: Any) -> Bm25:
        return Bm25(Bm25Config(k=self._k1, b=self._b, avg_len=self._average_length, **options))


def _code(language: str) -> str:
    return re.split("[-_]", language.strip().lower(), maxsplit=1)[0]


def _exact_id(form: str) -> int:
    """Return the term id of an identifier as it is written; a word never has it but by chance."""
    return zlib.crc32(f"\0{form}".encode()) & 0x7FFFFFFF


def _arrays(vector: EdgeSparseVector) -> SparseVector:
    return SparseVector(
        np.asarray(vector.indices, dtype=np.uint32), np.asarray(vector.values, dtype=np.float32)
    )


def _merged(vectors: Sequence[SparseVector]) -> SparseVector:
    """Return one vector with sorted, distinct term ids; weights of equal terms are added."""
    indices = np.concatenate([vector.indices for vector in vectors])
    order = indices.argsort(kind="stable")
    indices = indices[order]
    values = np.concatenate([vector.values for vector in vectors])[order]
    starts = np.flatnonzero(np.concatenate([[True], indices[1:] != indices[:-1]])[: indices.size])
    return SparseVector(indices[starts], np.add.reduceat(values, starts))
