"""The default generator: quotes the sentences that answer the question, without a language model.

The score of a sentence adds its cosine, its BM25 score (IDF over the retrieved sentences), its
chunk's score and its neighbours' BM25 scores; long sentences lose a little. The best sentence is
quoted, and up to two more with nearly as good a score. A sentence that several documents contain
is quoted once, with all their markers. The constants were fitted on one half of XQuAD English
and checked on the other half and in Spanish: docs/decisions/0011-extractive.md.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kvasir.components.generators import extractive_blocks as blocks
from kvasir.components.generators import extractive_passages as quoting
from kvasir.components.generators.embedder_choice import EmbedderChoice
from kvasir.components.generators.extractive_passages import Passage, passages, without_bullet
from kvasir.components.generators.question_kinds import (
    QuestionKind,
    holds_what_is_asked,
    is_definition,
    question_kind,
    term_of,
)
from kvasir.core.errors import SettingsError
from kvasir.core.protocols import Embedder, TextAnalyzer
from kvasir.core.recent_vectors import RecentVectors
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
"""Deducted for captions, code, lines that look like headings, and rows that share few terms."""
FEWEST_SHARED_BY_A_ROW = 2
"""Terms of the question that a row and its header must hold together."""
MORE_OF_ANOTHER_DOCUMENT = 0.09
"""Added to ``min_relative_score`` for a sentence of another document than the best one's."""
MOST_MARKERS = 3
"""Sources named for one sentence that several documents contain."""
ASKED_FOR = 0.1
"""Added for a date, a number or a name, where the question asks for one."""
DEFINED = 0.6
"""Added for a sentence that begins with the term and says what it is."""
NAMED = 0.5
"""Added for a passage that begins with an option or identifier of the question."""
LEADS_TO_COMMAND = 0.3
"""Added for a sentence that announces a command, where the question asks how to do something."""
OTHER_SIDE = 0.5
"""``min_relative_score`` for what speaks of the side of a difference that is not yet quoted."""
MOST_SIDES = 3
"""Words of a question that are taken for the sides of a difference."""
WHOLE_LIST = 2.5
"""Most words of a list or of steps that the question asks for, as a multiple of ``max_words``."""

MOST_EMBEDDED = 8
"""Sentences embedded for an answer, the most promising ones."""

Scores = NDArray[np.float64]

_REMEMBERED_SENTENCES = 4096
_NAMED = re.compile(
    r"(?<![\w-])(?:--?[A-Za-z][\w-]*|(?=\w*\d)(?=\w*[A-Z])\w{3,}|[A-Z]{2,}[A-Z\d_]+)"
)
"""Options, error codes and names in capitals."""
_OPTIONS = 40
"""Characters in which the names of an option stand, before its description."""
_SIDE = re.compile(r"[A-Za-zÀ-ỹ\d][\w-]+(?<![\u4e00-\u9fff])|-{1,2}\w+")
"""Words that may be one side of a difference."""


@dataclass(frozen=True, slots=True)
class _Overlap:
    bm25: float
    shared_terms: int
    is_weak_row: bool  # too few shared terms, its header's included
    only_repeats_question: bool


class ExtractiveGenerator(EmbedderChoice):
    """Answers with exact sentences of the sources, each followed by its marker."""

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
        """Set how much is quoted, from the ``read_hits`` best hits.

        Embedder and analyzer are the collection's. An answer has at most ``max_words``, unless its
        first sentence alone is longer; further sentences must reach ``min_relative_score``, a
        share (0..1) of the best score.

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
        self._recent = RecentVectors(_REMEMBERED_SENTENCES)

    def generate(self, prompt: Prompt) -> Iterator[str]:
        """Yield quoted sentences, each with its marker; nothing when there are no hits.

        Sources are ordered best first, neighbouring sentences as in the document.
        """
        hits = prompt.hits[: self._read_hits]
        found = passages(hits)
        if not found:
            return
        overlaps = self._overlaps(prompt.question, found)
        kind = question_kind(prompt.question)
        scores = self._scores(prompt.question, hits, found, overlaps, kind)
        chosen = quoting.in_reading_order(
            self._select(found, scores, overlaps, kind, prompt.question)
        )
        yield from quoting.render([self._cut(passage, prompt.question) for passage in chosen])

    def _scores(
        self,
        question: str,
        hits: Sequence[Hit],
        found: Sequence[Passage],
        overlaps: Sequence[_Overlap],
        kind: QuestionKind | None,
    ) -> Scores:
        words = np.array([overlap.bm25 for overlap in overlaps])
        share = np.array([self._meaning_share(p.language) for p in found])
        best_hit = max(hit.score for hit in hits) or 1.0
        chunk = np.array([hits[p.marker - 1].score / best_hit for p in found])
        length = np.array([p.words for p in found]) / 100.0
        pairs = zip(found, overlaps, strict=True)
        is_secondary = [
            p.quotable and (p.is_secondary or o.only_repeats_question or o.is_weak_row)
            for p, o in pairs
        ]
        without_meaning = (
            (1.0 - share) * _scaled(words)
            + CHUNK_WEIGHT * chunk
            + NEIGHBOUR_WEIGHT * _scaled(_neighbours(words, found))
            - COST_OF_100_WORDS * length
            - SECONDARY_COST * np.array(is_secondary)
            + _form_scores(question, found, kind)
        )
        embedded = self._worth_embedding(found, without_meaning, share)
        query = self._embedder.embed_queries([question])[0]
        cosines = self._embed([found[i].text for i in embedded]) @ query
        meaning = np.zeros_like(without_meaning)
        meaning[embedded] = _scaled(cosines.astype(np.float64))
        return _inherit_heading_scores(without_meaning + share * meaning, found)

    def _worth_embedding(
        self, found: Sequence[Passage], without_meaning: Scores, share: Scores
    ) -> list[int]:
        """Return the numbers of the passages that may be quoted, whatever their cosine is.

        Embedding all would take most of an answer's time. The one with the worst score is added:
        cosines are scaled from the lowest.
        """
        worst = _inherit_heading_scores(without_meaning, found)
        best = _inherit_heading_scores(without_meaning + share, found)
        sure = max((score for score, p in zip(worst, found, strict=True) if p.quotable), default=0)
        if sure <= 0.0:
            return list(range(len(found)))
        chosen = np.argsort(-best, kind="stable")[:MOST_EMBEDDED]
        chosen = chosen[best[chosen] >= self._min_relative_score * sure]
        return sorted({*chosen.tolist(), int(without_meaning.argmin())})

    def _select(
        self,
        found: Sequence[Passage],
        scores: Scores,
        overlaps: Sequence[_Overlap],
        kind: QuestionKind | None,
        question: str,
    ) -> list[Passage]:
        order = [i for i in np.argsort(-scores, kind="stable").tolist() if found[i].quotable]
        if not order:
            # Only headings and questions were found: quote the best of them.
            return [found[int(scores.argmax())]]
        best = float(scores[order[0]])
        sides = self._sides(question, found) if kind is QuestionKind.DIFFERENCE else []
        order = _other_sides_first(order, found, sides)
        chosen: list[Passage] = []
        words = 0
        for i in order:
            needed = self._min_relative_score
            if chosen and found[i].document_id != chosen[0].document_id:
                needed += MORE_OF_ANOTHER_DOCUMENT
            if chosen and sides:
                said = " ".join(passage.text.casefold() for passage in chosen)
                new = [side for side in sides if side in found[i].text.casefold()]
                needed = OTHER_SIDE if any(side not in said for side in new) else needed
            if chosen and (len(chosen) >= self._max_sentences or scores[i] < needed * best):
                continue
            if _is_quoted(found[i], chosen):
                continue
            quoted = None if chosen else _whole(found, i, kind, int(WHOLE_LIST * self._max_words))
            quoted = quoted or _completed(found, i, overlaps[i], self._max_words - words)
            if quoted is None or (chosen and words + quoted.words > self._max_words):
                continue
            if quoted is not found[i] and _is_quoted(quoted, chosen):
                continue
            chosen.append(replace(quoted, duplicate_markers=_duplicates(found[i], found)))
            words += quoted.words
        # Every passage may introduce a text that is not there: then quote an introduction.
        return chosen or [found[order[0]]]

    def _sides(self, question: str, found: Sequence[Passage]) -> list[str]:
        """Return the rarest words of a question in the passages that have them."""
        words = list(dict.fromkeys(word.casefold() for word in _SIDE.findall(question)))
        language = [found[0].language] * len(words)
        terms = self._analyzer.query_terms(words, language)
        words = [word for word, own in zip(words, terms, strict=True) if own.indices.size]
        texts = [passage.text.casefold() for passage in found]
        counts = {word: sum(word in text for text in texts) for word in words}
        held = [word for word in words if 0 < counts[word] < len(texts)]
        return sorted(held, key=counts.__getitem__)[:MOST_SIDES]

    def _overlaps(self, question: str, found: Sequence[Passage]) -> list[_Overlap]:
        """Compare each passage with the question; IDF is taken over the passages."""
        languages = [passage.language for passage in found]
        wanted = {
            language: {*self._analyzer.query_terms([question], [language])[0].indices.tolist()}
            for language in dict.fromkeys(languages)
        }
        weights = self._term_weights([without_bullet(p.text) for p in found], languages)
        shared = _restrict(weights, wanted, languages)
        in_headers = shared
        if any(p.is_row for p in found):
            headers = self._term_weights([p.header for p in found], languages)
            in_headers = _restrict(headers, wanted, languages)
        counts = Counter(term for terms in shared for term in terms)
        idf = {term: inverse_document_frequency(len(found), n) for term, n in counts.items()}
        overlaps = []
        rows = zip(found, weights, shared, in_headers, strict=True)
        for passage, all_terms, common, header in rows:
            # The header's terms count for a row that itself shares a term.
            terms = header | common if common else common
            bm25 = sum(idf.get(term, 0.0) * weight for term, weight in terms.items())
            is_weak_row = passage.is_row and len(terms) < FEWEST_SHARED_BY_A_ROW
            only_repeats = 0 < len(common) == len(all_terms) and not passage.introduces_next
            overlaps.append(_Overlap(bm25, len(common), is_weak_row, only_repeats))
        return overlaps

    def _term_weights(
        self, texts: Sequence[str], languages: Sequence[str]
    ) -> list[dict[int, float]]:
        return [
            dict(zip(v.indices.tolist(), v.values.tolist(), strict=True))
            for v in self._analyzer.document_terms(texts, languages)
        ]

    def _cut(self, passage: Passage, question: str) -> Passage:
        """Shorten a very long sentence to the clauses that share most terms with the question."""

        def weigh(clauses: Sequence[str]) -> list[float]:
            languages = [passage.language] * len(clauses)
            terms = self._analyzer.query_terms([question], [passage.language])[0].indices
            return [
                float(np.isin(v.indices, terms).sum())
                for v in self._analyzer.document_terms(clauses, languages)
            ]

        return quoting.shorten(passage, weigh)

    def _meaning_share(self, language: str) -> float:
        known = self._embedder.languages
        return MEANING_SHARE if not known or language in known else FOREIGN_MEANING_SHARE

    def _embed(self, texts: Sequence[str]) -> Matrix:
        known = self._recent.find(texts)
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known |= dict(zip(new, self._embedder.embed_documents(new), strict=True))
        self._recent.keep(known)
        return np.stack([known[text] for text in texts])


def _restrict(
    weights: Sequence[dict[int, float]], wanted: Mapping[str, Set[int]], languages: Sequence[str]
) -> list[dict[int, float]]:
    """Keep the terms of each text that are wanted in its language."""
    return [
        {term: weight for term, weight in terms.items() if term in wanted[language]}
        for terms, language in zip(weights, languages, strict=True)
    ]


def _inherit_heading_scores(scores: Scores, found: Sequence[Passage]) -> Scores:
    """Give text under a heading or question its score; table rows do not end the inheritance.

    The first quotable sentence that is not secondary is the last to inherit. Scores never pass
    from one hit to another.
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
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.ones_like(values)


def _neighbours(words: Scores, found: Sequence[Passage]) -> Scores:
    """Return the better score of the sentences before and after each one."""
    result = np.zeros_like(words)
    for i in range(1, len(found)):
        if found[i - 1].marker == found[i].marker:
            result[i] = max(result[i], words[i - 1])
            result[i - 1] = max(result[i - 1], words[i])
    return result


def _completed(
    found: Sequence[Passage], number: int, overlap: _Overlap, budget: int
) -> Passage | None:
    """Add the text that a passage needs to be understood; None where it cannot be added."""
    passage = found[number]
    if passage.introduces_next:
        return blocks.with_what_follows(found, number, budget)
    if passage.is_row and not overlap.shared_terms:
        return blocks.with_its_table(found, number, budget)
    if passage.text[0].islower():
        return blocks.with_what_precedes(found, number, budget)
    return passage


def _whole(
    found: Sequence[Passage], number: int, kind: QuestionKind | None, budget: int
) -> Passage | None:
    """Return a passage with its whole list or its command, where the question asks for these."""
    passage = found[number]
    if kind is QuestionKind.HOW_TO and (command := blocks.with_its_command(found, number)):
        return command
    is_wanted = kind in (QuestionKind.HOW_TO, QuestionKind.LIST)
    if not is_wanted or passage.is_row or passage.is_code:
        return None
    return blocks.with_its_list(found, number, budget)


def _form_scores(question: str, found: Sequence[Passage], kind: QuestionKind | None) -> Scores:
    """Return what the passages' form is worth for the kind of question."""
    term = term_of(question) if kind is QuestionKind.DEFINITION else ""
    names = [match[0] for match in _NAMED.finditer(question)]
    if kind is QuestionKind.DIFFERENCE:
        names += _SIDE.findall(question)
    return np.array(
        [
            ASKED_FOR * (not p.is_row and holds_what_is_asked(kind, p.text))
            + LEADS_TO_COMMAND * (kind is QuestionKind.HOW_TO and _leads_to_command(found, i))
            + DEFINED * is_definition(p.text, term, p.language)
            + NAMED * _begins_with(p.text, names)
            for i, p in enumerate(found)
        ]
    )


def _leads_to_command(found: Sequence[Passage], number: int) -> bool:
    following = found[number + 1 : number + 2]
    return found[number].introduces_next and any(
        passage.marker == found[number].marker and passage.looks_typed for passage in following
    )


def _other_sides_first(
    order: Sequence[int], found: Sequence[Passage], sides: Sequence[str]
) -> list[int]:
    """Put the best passage about each side after the best of all, which speaks of another side."""
    texts = {i: found[i].text.casefold() for i in order} if sides else {}
    firsts = list(order[:1])
    for side in sides:
        if not any(side in texts[i] for i in firsts):
            firsts += [i for i in order if side in texts[i]][:1]
    return [*firsts, *(i for i in order if i not in firsts)]


def _begins_with(text: str, names: Sequence[str]) -> bool:
    """Return True if a text, its bullet and marks aside, begins with one of the names.

    Of an option that is written in several ways, such as ``-x, --foo``, any is its name.
    """
    opening = text.lstrip("*`|+# \t")
    opening = opening[2:] if opening.startswith(("- ", "• ")) else opening
    options = _NAMED.findall(opening[:_OPTIONS].split(":")[0]) if opening[:1] == "-" else []
    return any(
        name in options
        or (opening.startswith(name) and not opening[len(name) : len(name) + 1].isalnum())
        for name in names
    )


def _is_quoted(passage: Passage, chosen: Sequence[Passage]) -> bool:
    """Return True if a chosen passage contains this one, or the other way round."""
    text = f" {passage.normalized_text} "
    others = (f" {other.normalized_text} " for other in chosen)
    return any(text in other or other in text for other in others)


def _duplicates(passage: Passage, found: Sequence[Passage]) -> tuple[int, ...]:
    """Return the markers of other documents with the same text, one per document."""
    markers: dict[str, int] = {}
    for other in found:
        if other.normalized_text == passage.normalized_text:
            markers.setdefault(other.document_id, other.marker)
    markers.pop(passage.document_id, None)
    return tuple(sorted(markers.values())[: MOST_MARKERS - 1])
