"""The default generator: quotes the sentences that answer, and invents nothing.

Every sentence of the retrieved chunks gets a score from its meaning (cosine), its words
(BM25, with IDF over the retrieved sentences), its chunk's rank and its neighbours' words; long
sentences pay for their length. The best sentence is quoted, and up to two more if they come
near it. What says the same in another document is quoted once, with both markers. The
constants were fitted on one half of XQuAD English and checked on the other half and in Spanish:
docs/decisions/0011-extractive.md has the figures.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from kvasir.components.generators.extractive_passages import (
    Passage,
    passages,
    shorten,
    without_bullet,
)
from kvasir.components.generators.extractive_quotes import (
    in_reading_order,
    render,
    with_its_table,
    with_what_follows,
    with_what_precedes,
)
from kvasir.core.errors import SettingsError
from kvasir.core.protocols import Embedder, TextAnalyzer
from kvasir.core.scoring import inverse_document_frequency
from kvasir.core.types import Hit, Matrix, Prompt

MEANING_SHARE = 0.3
"""Share of the cosine in a sentence's own score, where the model knows the language."""
FOREIGN_MEANING_SHARE = 0.1
"""The same where the embedding model was not trained for the language."""
CHUNK_WEIGHT = 1.0
NEIGHBOUR_WEIGHT = 0.1
COST_OF_100_WORDS = 0.4
SECONDARY_COST = 0.7
"""Captions, code, headings by form, and table rows that share next to nothing."""
FEWEST_SHARED_BY_A_ROW = 2
"""Of the question's terms, in the row and its header together."""
MORE_OF_ANOTHER_DOCUMENT = 0.09
"""By how much nearer to the best score a sentence of another document must come."""
MOST_MARKERS = 3
"""Sources named for one sentence that stands in several documents."""

Scores = NDArray[np.float64]

_CACHED_SENTENCES = 4096


@dataclass(frozen=True, slots=True)
class _Overlap:
    """What a passage shares with the question.

    Attributes:
        weight: Its BM25 score.
        own: How many of the question's terms it holds.
        is_a_weak_row: Whether it is a table row that holds none, or too few with its header.
        says_nothing_new: Whether it has no other terms than the question's.
    """

    weight: float
    own: int
    is_a_weak_row: bool
    says_nothing_new: bool


class ExtractiveGenerator:
    """Answers with sentences of the sources, to the letter, each followed by its marker."""

    quotes_only = True

    def __init__(
        self,
        embedder: Embedder,
        analyzer: TextAnalyzer,
        max_sentences: int = 3,
        max_words: int = 110,
        min_relative_score: float = 0.76,
        read_hits: int = 8,
    ) -> None:
        """Set how much is quoted.

        Args:
            embedder: Compares sentences with the question by meaning.
            analyzer: Compares them by their words.
            max_sentences: Most sentences in an answer.
            max_words: Most words of an answer, unless its first sentence alone is longer.
            min_relative_score: A further sentence must reach this share of the best score, one
                of another document somewhat more.
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
        """Yield quoted sentences, each with its marker; nothing when there are no hits.

        Sources come best first; within a source its sentences stand in the source's order.
        """
        hits = prompt.hits[: self._read_hits]
        found = passages(hits)
        if not found:
            return
        overlaps = self._overlaps(prompt.question, found)
        scores = self._scores(prompt.question, hits, found, overlaps)
        chosen = self._select(found, scores, overlaps, hits)
        yield from render([self._cut(p, prompt.question) for p in in_reading_order(chosen)])

    def _scores(
        self,
        question: str,
        hits: Sequence[Hit],
        found: Sequence[Passage],
        shared: Sequence[_Overlap],
    ) -> Scores:
        query = self._embedder.embed_queries([question])[0]
        words = np.array([terms.weight for terms in shared])
        meaning = _scaled((self._embed([p.text for p in found]) @ query).astype(np.float64))
        share = np.array([self._meaning_share(p.language) for p in found])
        own = share * meaning + (1.0 - share) * _scaled(words)
        best_hit = max(hit.score for hit in hits) or 1.0
        chunk = np.array([hits[p.marker - 1].score / best_hit for p in found])
        length = np.array([p.words for p in found]) / 100.0
        is_secondary = np.array(
            [
                p.quotable and (p.is_secondary or terms.says_nothing_new or terms.is_a_weak_row)
                for p, terms in zip(found, shared, strict=True)
            ]
        )
        scores = (
            own
            + CHUNK_WEIGHT * chunk
            + NEIGHBOUR_WEIGHT * _scaled(_neighbours(words, found))
            - COST_OF_100_WORDS * length
            - SECONDARY_COST * is_secondary
        )
        return _inherit_heading_scores(scores, found)

    def _select(
        self,
        found: Sequence[Passage],
        scores: Scores,
        shared: Sequence[_Overlap],
        hits: Sequence[Hit],
    ) -> list[Passage]:
        """Return what is quoted, best first."""
        order = [i for i in np.argsort(-scores, kind="stable").tolist() if found[i].quotable]
        if not order:
            # Nothing but headings and questions: the best of them says what there is.
            return [found[int(scores.argmax())]]
        best = float(scores[order[0]])
        chosen: list[Passage] = []
        words = 0
        for i in order:
            needed = self._min_relative_score
            if chosen and found[i].document_id != chosen[0].document_id:
                needed += MORE_OF_ANOTHER_DOCUMENT
            if chosen and (len(chosen) >= self._max_sentences or scores[i] < needed * best):
                continue
            if _is_said(found[i], chosen):
                continue
            quoted = self._completed(found, i, shared[i], hits, self._max_words - words)
            if quoted is None or (chosen and words + quoted.words > self._max_words):
                continue
            if quoted is not found[i] and _is_said(quoted, chosen):
                continue
            chosen.append(replace(quoted, duplicate_markers=_elsewhere(found[i], found)))
            words += quoted.words
        # Where all that was found only introduces something, the introduction is all there is.
        return chosen or [found[order[0]]]

    def _completed(
        self,
        found: Sequence[Passage],
        number: int,
        shared: _Overlap,
        hits: Sequence[Hit],
        budget: int,
    ) -> Passage | None:
        """Add what a passage does not answer without; None where that cannot be had."""
        passage = found[number]
        if passage.introduces_next:
            return with_what_follows(found, number, hits, budget)
        if passage.is_row and not shared.own:
            return with_its_table(found, number, hits, budget)
        if passage.text[0].islower():
            return with_what_precedes(found, number, hits, budget)
        return passage

    def _overlaps(self, question: str, found: Sequence[Passage]) -> list[_Overlap]:
        """Return what each passage shares with the question, IDF taken over the passages."""
        languages = [passage.language for passage in found]
        wanted = {
            language: frozenset(
                self._analyzer.query_terms([question], [language])[0].indices.tolist()
            )
            for language in dict.fromkeys(languages)
        }

        every = self._term_weights([without_bullet(p.text) for p in found], languages)
        own = _only(wanted, every, languages)
        above = own
        if any(p.is_row for p in found):
            headers = self._term_weights([p.header for p in found], languages)
            above = _only(wanted, headers, languages)
        counts = Counter(term for terms in own for term in terms)
        total = len(found)
        rarity = {term: inverse_document_frequency(total, count) for term, count in counts.items()}
        # A row that shares anything says it of what its header names.
        full = [
            header | terms if terms else terms for terms, header in zip(own, above, strict=True)
        ]
        return [
            _Overlap(
                sum(rarity.get(t, 0.0) * w for t, w in both.items()),
                len(terms),
                passage.is_row and len(both) < FEWEST_SHARED_BY_A_ROW,
                0 < len(terms) == len(all_terms) and not passage.introduces_next,
            )
            for passage, all_terms, terms, both in zip(found, every, own, full, strict=True)
        ]

    def _term_weights(
        self, texts: Sequence[str], languages: Sequence[str]
    ) -> list[dict[int, float]]:
        """Return the BM25 weight of each term of each text."""
        return [
            dict(zip(v.indices.tolist(), v.values.tolist(), strict=True))
            for v in self._analyzer.document_terms(texts, languages)
        ]

    def _cut(self, passage: Passage, question: str) -> Passage:
        """Shorten a very long sentence to the clauses that share most with the question."""

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
        """Return the vectors of sentences; those seen lately are not embedded again."""
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


def _only(
    wanted: Mapping[str, Set[int]],
    weights: Sequence[dict[int, float]],
    languages: Sequence[str],
) -> list[dict[int, float]]:
    """Return of each text the terms that are wanted in its language."""
    return [
        {term: weight for term, weight in terms.items() if term in wanted[language]}
        for terms, language in zip(weights, languages, strict=True)
    ]


def _inherit_heading_scores(scores: Scores, found: Sequence[Passage]) -> Scores:
    """Return the scores where text under a heading or question inherits its score.

    It goes to all that follows up to and with the first quotable sentence that is not
    secondary. The header of a table does not end it, and no hit inherits from another.
    """
    result = scores.copy()
    inherited = -np.inf
    for i, passage in enumerate(found):
        if i and found[i - 1].marker != passage.marker:
            inherited = -np.inf
        result[i] = max(result[i], inherited - SECONDARY_COST * passage.is_secondary)
        if passage.quotable and not passage.is_secondary:
            inherited = -np.inf
        elif not passage.quotable and not passage.is_row:
            inherited = result[i]
    return result


def _scaled(values: Scores) -> Scores:
    """Bring values to 0..1 over the candidates."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.ones_like(values)


def _neighbours(words: Scores, found: Sequence[Passage]) -> Scores:
    """Return for each sentence the better score of the ones before and after it."""
    result = np.zeros_like(words)
    for i in range(1, len(found)):
        if found[i - 1].marker == found[i].marker:
            result[i] = max(result[i], words[i - 1])
            result[i - 1] = max(result[i - 1], words[i])
    return result


def _is_said(passage: Passage, chosen: Sequence[Passage]) -> bool:
    """Return True if what is quoted already holds a passage, or the other way round."""
    key = f" {passage.normalized_text} "
    return any(
        key in f" {other.normalized_text} " or f" {other.normalized_text} " in key
        for other in chosen
    )


def _elsewhere(passage: Passage, found: Sequence[Passage]) -> tuple[int, ...]:
    """Return the markers of other documents that say the same, one a document."""
    markers: dict[str, int] = {}
    for other in found:
        if (
            other.document_id != passage.document_id
            and other.normalized_text == passage.normalized_text
        ):
            markers.setdefault(other.document_id, other.marker)
    return tuple(sorted(markers.values())[: MOST_MARKERS - 1])
