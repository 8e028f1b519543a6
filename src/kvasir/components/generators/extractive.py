"""The default generator: quotes the sentences that answer, and invents nothing.

Every sentence of the retrieved chunks gets a score from its meaning (cosine), its words
(BM25, with IDF over the retrieved sentences), its chunk's rank and its neighbours' words; long
sentences pay for their length. The best sentence is quoted, and up to two more if they come
near it. The constants were fitted on one half of XQuAD English and checked on the other half
and in Spanish: docs/decisions/0011-extractive.md has the figures.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from kvasir.components.generators.passages import Passage, passages, render, shorten
from kvasir.core.errors import SettingsError
from kvasir.core.protocols import Embedder, TextAnalyzer
from kvasir.core.types import Hit, Matrix, Prompt

MEANING_SHARE = 0.3
"""Share of the cosine in a sentence's own score, where the model knows the language."""
FOREIGN_MEANING_SHARE = 0.1
"""The same where the embedding model was not trained for the language."""
CHUNK_WEIGHT = 1.0
NEIGHBOUR_WEIGHT = 0.1
COST_OF_100_WORDS = 0.4

Scores = NDArray[np.float64]

_CACHED_SENTENCES = 4096


class ExtractiveGenerator:
    """Answers with sentences of the sources, to the letter, each followed by its marker."""

    quotes_only = True

    def __init__(
        self,
        embedder: Embedder,
        analyzer: TextAnalyzer,
        max_sentences: int = 3,
        max_words: int = 110,
        min_relative_score: float = 0.75,
        read_hits: int = 8,
    ) -> None:
        """Sets how much is quoted.

        Args:
            embedder: Compares sentences with the question by meaning.
            analyzer: Compares them by their words.
            max_sentences: Most sentences in an answer.
            max_words: Most words of an answer, unless its first sentence alone is longer.
            min_relative_score: A further sentence must reach this share of the best score.
            read_hits: How many of the best hits are read.

        Raises:
            SettingsError: A value is out of range.
        """
        if max_sentences < 1 or max_words < 1 or read_hits < 1:
            raise SettingsError("max_sentences, max_words and read_hits must be at least 1")
        if not 0.0 <= min_relative_score <= 1.0:
            raise SettingsError(f"min_relative_score must be from 0 to 1, not {min_relative_score}")
        self._embedder = embedder
        self._analyzer = analyzer
        self._max_sentences = max_sentences
        self._max_words = max_words
        self._min_relative_score = min_relative_score
        self._read_hits = read_hits
        self._vectors: OrderedDict[str, Matrix] = OrderedDict()
        self._lock = Lock()

    def generate(self, prompt: Prompt) -> Iterator[str]:
        """Yields quoted sentences, each with its marker; nothing when there are no hits.

        Sources come best first; within a source its sentences stand in the source's order.
        """
        hits = prompt.hits[: self._read_hits]
        found = passages(hits)
        if not found:
            return
        weights = self._term_weights(prompt.question, found)
        scores = self._scores(prompt.question, hits, found, weights)
        chosen = self._select(found, scores)
        cut = [self._cut(found[i], prompt.question) for i in _reading_order(chosen, found)]
        yield from render(cut)

    def _scores(
        self, question: str, hits: Sequence[Hit], found: Sequence[Passage], words: Scores
    ) -> Scores:
        query = self._embedder.embed_queries([question])[0]
        meaning = _scaled((self._embed([p.text for p in found]) @ query).astype(np.float64))
        share = np.array([self._meaning_share(p.language) for p in found])
        own = share * meaning + (1.0 - share) * _scaled(words)
        best_hit = max(hit.score for hit in hits) or 1.0
        chunk = np.array([hits[p.marker - 1].score / best_hit for p in found])
        length = np.array([p.words for p in found]) / 100.0
        scores = (
            own
            + CHUNK_WEIGHT * chunk
            + NEIGHBOUR_WEIGHT * _scaled(_neighbours(words, found))
            - COST_OF_100_WORDS * length
        )
        # What a question or a heading promises is said by what stands under it; what a table's
        # header promises, by any of its rows.
        promised = -np.inf
        for i, passage in enumerate(found):
            if i and found[i - 1].marker != passage.marker:
                promised = -np.inf
            scores[i] = max(scores[i], promised)
            if passage.quotable:
                promised = -np.inf
            elif not passage.text.startswith("|"):
                promised = scores[i]
        scores[[not p.quotable for p in found]] = -np.inf
        return scores

    def _select(self, found: Sequence[Passage], scores: Scores) -> list[int]:
        """Returns the indices of what is quoted, best first."""
        order = np.argsort(-scores, kind="stable")
        best = float(scores[order[0]])
        if not math.isfinite(best):
            return [0]  # Nothing but headings and questions: the first says what there is.
        chosen: list[int] = []
        seen: set[str] = set()
        words = 0
        for i in order.tolist():
            passage = found[i]
            if chosen and (
                len(chosen) >= self._max_sentences
                or scores[i] < self._min_relative_score * best
                or words + passage.words > self._max_words
                or passage.key in seen
            ):
                continue
            chosen.append(i)
            seen.add(passage.key)
            words += passage.words
        return chosen

    def _term_weights(self, question: str, found: Sequence[Passage]) -> Scores:
        """Returns each sentence's BM25 score, IDF taken over the retrieved sentences."""
        languages = [passage.language for passage in found]
        wanted = {
            language: frozenset(
                self._analyzer.query_terms([question], [language])[0].indices.tolist()
            )
            for language in dict.fromkeys(languages)
        }
        held = [
            {
                term: weight
                for term, weight in zip(v.indices.tolist(), v.values.tolist(), strict=True)
                if term in wanted[language]
            }
            for v, language in zip(
                self._analyzer.document_terms([p.text for p in found], languages),
                languages,
                strict=True,
            )
        ]
        counts = Counter(term for terms in held for term in terms)
        total = len(found)
        rarity = {
            term: math.log(1.0 + (total - count + 0.5) / (count + 0.5))
            for term, count in counts.items()
        }
        return np.array([sum(rarity[t] * w for t, w in terms.items()) for terms in held])

    def _cut(self, passage: Passage, question: str) -> Passage:
        """Shortens a very long sentence to the clauses that share most with the question."""

        def weigh(clauses: Sequence[str]) -> list[float]:
            languages = [passage.language] * len(clauses)
            terms = self._analyzer.query_terms([question], [passage.language])[0].indices
            return [
                float(np.isin(v.indices, terms).sum())
                for v in self._analyzer.document_terms(clauses, languages)
            ]

        return shorten(passage, weigh)

    def _meaning_share(self, language: str) -> float:
        known = self._embedder.languages
        return MEANING_SHARE if not known or language in known else FOREIGN_MEANING_SHARE

    def _embed(self, texts: Sequence[str]) -> Matrix:
        """Returns the vectors of sentences; those seen lately are not embedded again."""
        with self._lock:
            known = {text: self._vectors[text] for text in texts if text in self._vectors}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known |= dict(zip(new, self._embedder.embed_documents(new), strict=True))
        with self._lock:
            for text in texts:
                self._vectors[text] = known[text]
                self._vectors.move_to_end(text)
            while len(self._vectors) > _CACHED_SENTENCES:
                self._vectors.popitem(last=False)
        return np.stack([known[text] for text in texts])


def _scaled(values: Scores) -> Scores:
    """Brings values to 0..1 over the candidates."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.ones_like(values)


def _neighbours(words: Scores, found: Sequence[Passage]) -> Scores:
    """Returns for each sentence the better score of the ones before and after it."""
    result = np.zeros_like(words)
    for i in range(1, len(found)):
        if found[i - 1].marker == found[i].marker:
            result[i] = max(result[i], words[i - 1])
            result[i - 1] = max(result[i - 1], words[i])
    return result


def _reading_order(chosen: Sequence[int], found: Sequence[Passage]) -> list[int]:
    """Sorts: documents by their best sentence, sentences by where they stand."""
    rank: dict[str, int] = {}
    for i in chosen:
        rank.setdefault(found[i].document_id, len(rank))
    return sorted(chosen, key=lambda i: (rank[found[i].document_id], found[i].start))
