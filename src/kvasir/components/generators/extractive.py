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
from collections.abc import Iterator, Sequence

import numpy as np

from kvasir.components.generators import extractive_passages as quoting
from kvasir.components.generators.embedder_choice import EmbedderChoice
from kvasir.components.generators.extractive_forms import (
    NUMBERED,
    begins_with,
    described_names,
    described_side,
    form_scores,
    identifiers_of,
)
from kvasir.components.generators.extractive_lists import list_scores
from kvasir.components.generators.extractive_passages import (
    Passage,
    normalized,
    passages,
    without_bullet,
)
from kvasir.components.generators.extractive_scores import (
    COST_OF_A_WEAK_ROW,
    SECONDARY_COST,
    inherit_heading_scores,
    neighbours,
    scaled,
)
from kvasir.components.generators.extractive_selection import (
    Asked,
    Limits,
    Overlap,
    Scores,
    Sides,
    covered_by_documents,
    select,
)
from kvasir.components.generators.extractive_terms import TermReader, restricted
from kvasir.core.errors import SettingsError
from kvasir.core.protocols import Embedder, TextAnalyzer
from kvasir.core.recent_vectors import RecentVectors
from kvasir.core.scoring import inverse_document_frequency
from kvasir.core.text import count_words
from kvasir.core.types import Hit, Matrix, Prompt
from kvasir.language.detect import UNKNOWN, detect
from kvasir.language.question_kinds import (
    QuestionKind,
    compares_all,
    parts_of,
    question_kind,
)
from kvasir.language.question_sides import is_definition, sides_of

MEANING_SHARE = 0.3
"""Share of the cosine in a sentence's own score, where the model knows the language."""
FOREIGN_MEANING_SHARE = 0.1
"""The same where the embedding model was not trained for the language."""
CHUNK_WEIGHT = 1.0
NEIGHBOUR_WEIGHT = 0.1
COST_OF_100_WORDS = 0.4
COST_OF_ANOTHER_SUBJECT = 0.3
"""Of a passage whose document holds nothing of the question, where another holds all of it."""
NAMED_ROW = 0.3
"""Added for a row whose first cell stands whole in the question."""
FEWEST_SHARED_BY_A_ROW = 2
"""Terms of the question that a row and its header must hold together."""
FEWEST_SHARED_BY_A_COMMAND = 2
"""Terms of a question how to do something that code must hold to be no aside."""
SHORTEST_REPEATED = 4
"""Words of a question from which on a passage that holds it whole repeats it, as an example."""
COST_OF_ANOTHER_LANGUAGE = 0.2
"""Of a passage in another language than the question's, where passages are in several."""
MOST_SIDES = 3
"""Words of a question that are taken for the sides of a difference."""

MOST_EMBEDDED = 8
"""Sentences embedded for an answer, the most promising ones."""

_REMEMBERED_SENTENCES = 4096
_OPTION = re.compile(r"(?<![\w-])-{1,2}[A-Za-z][\w-]*")


class ExtractiveGenerator(EmbedderChoice):
    """Answers with exact sentences of the sources, each followed by its marker."""

    quotes_only = True

    def __init__(
        self,
        embedder: Embedder,
        analyzer: TextAnalyzer,
        max_sentences: int = 3,
        max_words: int = 110,
        min_relative_score: float = 0.74,
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
        self._terms = TermReader(analyzer)
        self._limits = Limits(max_sentences, max_words, min_relative_score)
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
        kind = question_kind(prompt.question)
        overlaps = self._overlaps(prompt.question, found, kind)
        language = _asked_language(prompt.question, found)
        scores = self._scores(prompt.question, hits, found, overlaps, kind)
        if language:
            scores -= COST_OF_ANOTHER_LANGUAGE * np.array([p.language != language for p in found])
        sides = self._sides(prompt.question, found, overlaps, kind)
        asked = Asked(
            kind,
            sides,
            len(parts_of(prompt.question)) > 1,
            language,
            compares=compares_all(prompt.question),
        )
        chosen = quoting.in_reading_order(select(found, scores, overlaps, asked, self._limits))
        yield from quoting.render([self._cut(passage, prompt.question) for passage in chosen])

    def _scores(
        self,
        question: str,
        hits: Sequence[Hit],
        found: Sequence[Passage],
        overlaps: Sequence[Overlap],
        kind: QuestionKind | None,
    ) -> Scores:
        words = np.array([overlap.bm25 for overlap in overlaps])
        share = np.array([self._meaning_share(p.language) for p in found])
        best_hit = max(hit.score for hit in hits) or 1.0
        chunk = np.array([hits[p.marker - 1].score / best_hit for p in found])
        length = np.array([p.words for p in found]) / 100.0
        pairs = zip(found, overlaps, strict=True)
        is_secondary = [
            p.quotable and (_is_aside(p, o, kind) or o.only_repeats_question) for p, o in pairs
        ]
        about = covered_by_documents(found, overlaps)
        is_weak = [p.quotable and o.is_weak_row for p, o in zip(found, overlaps, strict=True)]
        without_meaning = (
            (1.0 - share) * scaled(words)
            + CHUNK_WEIGHT * chunk
            + NEIGHBOUR_WEIGHT * scaled(neighbours(words, found))
            - COST_OF_100_WORDS * length
            - SECONDARY_COST * np.array(is_secondary)
            - COST_OF_A_WEAK_ROW * np.array(is_weak)
            - COST_OF_ANOTHER_SUBJECT * (about.max() - about)
            + (kind is not QuestionKind.LIST)
            * NAMED_ROW
            * np.array([overlap.names_row for overlap in overlaps])
            + form_scores(question, found, kind)
            + list_scores(question, found, overlaps, kind, self._terms)
        )
        embedded = self._worth_embedding(found, without_meaning, share)
        query = self._embedder.embed_queries([question])[0]
        cosines = self._embed([found[i].text for i in embedded]) @ query
        meaning = np.zeros_like(without_meaning)
        meaning[embedded] = scaled(cosines.astype(np.float64))
        return inherit_heading_scores(without_meaning + share * meaning, found)

    def _worth_embedding(
        self, found: Sequence[Passage], without_meaning: Scores, share: Scores
    ) -> list[int]:
        """Return the numbers of the passages that may be quoted, whatever their cosine is.

        Embedding all would take most of an answer's time. The one with the worst score is added:
        cosines are scaled from the lowest.
        """
        worst = inherit_heading_scores(without_meaning, found)
        best = inherit_heading_scores(without_meaning + share, found)
        sure = max((score for score, p in zip(worst, found, strict=True) if p.quotable), default=0)
        if sure <= 0.0:
            return list(range(len(found)))
        chosen = np.argsort(-best, kind="stable")[:MOST_EMBEDDED]
        chosen = chosen[best[chosen] >= self._limits.min_relative_score * sure]
        return sorted({*chosen.tolist(), int(without_meaning.argmin())})

    def _sides(
        self,
        question: str,
        found: Sequence[Passage],
        overlaps: Sequence[Overlap],
        kind: QuestionKind | None,
    ) -> Sides:
        """Return what each passage speaks of, of several things that the question asks about.

        Of a difference these are the question's rarest terms in the passages, or its options; of
        several questions in one, the rarest term of each.
        """
        parts = parts_of(question)
        options = list(dict.fromkeys(_OPTION.findall(question)))
        if kind is QuestionKind.DIFFERENCE and len(options) > 1:
            return [{o for o in options if begins_with(p.text, [o])} for p in found]
        names = [] if kind is QuestionKind.DIFFERENCE else identifiers_of(question)
        if len(names) > 1:
            named = [{name for name in names if begins_with(p.text, [name])} for p in found]
            if len(set().union(*named)) > 1:
                return named
        counts = Counter(term for overlap in overlaps for term in overlap.shared)
        language = found[0].language
        sides: list[int] = []
        if kind is QuestionKind.DIFFERENCE and (asked_sides := sides_of(question)):
            described = [described_side(p, asked_sides) for p in found]
            if len(set().union(*described)) == len(asked_sides):
                return described
            sides = self._rarest_of_each(asked_sides, language, counts)
        if kind is QuestionKind.DIFFERENCE and len(sides) < 2:
            held = [term for term, count in counts.items() if count < len(found)]
            sides = sorted(held, key=counts.__getitem__)[:MOST_SIDES]
        elif kind is not QuestionKind.DIFFERENCE and len(parts) > 1:
            sides = self._rarest_of_each(parts, language, counts)
        return [{side for side in sides if side in overlap.shared} for overlap in overlaps]

    def _rarest_of_each(
        self, texts: Sequence[str], language: str, counts: Counter[int]
    ) -> list[int]:
        """Return the rarest term of each text that the others do not have."""
        terms = [
            {*vector.indices.tolist()} & counts.keys()
            for vector in self._analyzer.query_terms(texts, [language] * len(texts))
        ]
        rarest: list[int] = []
        for each in terms:
            new = each.difference(*(other for other in terms if other is not each))
            rarest += sorted(new, key=counts.__getitem__)[:1]
        return rarest

    def _overlaps(
        self, question: str, found: Sequence[Passage], kind: QuestionKind | None
    ) -> list[Overlap]:
        """Compare each passage with the question; IDF is taken over the passages."""
        languages = [passage.language for passage in found]
        wanted = self._terms.asked(question, languages)
        weights = self._terms.weights([without_bullet(p.text) for p in found], languages)
        shared = restricted(weights, wanted, languages)
        in_headers = shared
        if any(p.is_row for p in found):
            headers = self._terms.weights([p.header for p in found], languages)
            in_headers = restricted(headers, wanted, languages)
        labels = self._terms.weights([p.label for p in found], languages)
        counts = Counter(term for terms in shared for term in terms)
        idf = {term: inverse_document_frequency(len(found), n) for term, n in counts.items()}
        term, described = described_names(question, kind)
        names = {_plain(match[0]) for match in NUMBERED.finditer(question)}
        # Of a question with one term, such as an error code, a row cannot have two.
        fewest = {code: min(len(each), FEWEST_SHARED_BY_A_ROW) for code, each in wanted.items()}
        asked = normalized(question) if question.rstrip().endswith(("?", "？")) else ""
        asked = asked if count_words(asked) >= SHORTEST_REPEATED else ""
        overlaps = []
        rows = zip(found, weights, shared, in_headers, labels, strict=True)
        for passage, all_terms, common, header, label in rows:
            is_named = bool(label) and label.keys() <= wanted[passage.language]
            # The header's terms count for a row that itself shares a term.
            terms = header | common if common else common
            bm25 = sum(idf.get(term, 0.0) * weight for term, weight in terms.items())
            overlaps.append(
                Overlap(
                    bm25,
                    shared=terms.keys(),
                    names={name for name in names if name in f" {passage.normalized_text} "},
                    terms=all_terms.keys(),
                    shares_itself=bool(common),
                    describes=begins_with(passage.text, described)
                    or is_definition(passage.text, term, passage.language),
                    is_weak_row=passage.is_row
                    and not is_named
                    and len(terms) < fewest[passage.language],
                    names_row=is_named,
                    only_repeats_question=(
                        (0 < len(common) == len(all_terms) and not passage.introduces_next)
                        or (bool(asked) and asked in passage.normalized_text)
                    ),
                )
            )
        return overlaps

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


def _asked_language(question: str, found: Sequence[Passage]) -> str:
    """Return the question's language, if passages are in several and it is one of these."""
    languages = list(dict.fromkeys(p.language for p in found if p.language not in ("", UNKNOWN)))
    if len(languages) < 2:
        return ""
    language = detect(question, languages)
    return language if language in languages else ""


def _is_aside(passage: Passage, overlap: Overlap, kind: QuestionKind | None) -> bool:
    """Return True if a passage is an aside; a command that is asked about is none.

    "Which command stops the service?" is answered by code with a comment that says so.
    """
    is_asked_for = kind is QuestionKind.HOW_TO and passage.is_command
    return passage.is_secondary and not (
        is_asked_for and len(overlap.shared) >= FEWEST_SHARED_BY_A_COMMAND
    )


def _plain(name: str) -> str:
    """Return a numbered name as it stands in a passage's ``normalized_text``."""
    start = "" if "\u3400" <= name[0] <= "\u9fff" else " "
    return f"{start}{' '.join(name.casefold().replace('-', ' ').split())} "
