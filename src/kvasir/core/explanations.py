"""How a search found its hits, and how an answer was decided, for a caller who asks for it.

The parts of a hit's score add up, with ``search`` for its ``SearchExplanation``:

    fused    = dense_share * scaled_dense + (1 - dense_share) * scaled_lexical
    literal  = (fused + literal_share) / 2, or ``fused`` where ``literal_share`` is None
    named    = (literal + ``DESCRIBED_WEIGHT`` * described) / (1 + ``DESCRIBED_WEIGHT``), or
               ``literal`` where ``described`` is None
    score    = ``reranked``; else named * ``search.unread_factor`` with a reranker; else named

and so do those of a decision: ``confidence`` is 1 / (1 + exp(-(bias + sum of contributions))).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

DESCRIBED_WEIGHT = 0.5
"""Weight of describing what a definition or difference is asked of, beside the score as it was."""


class Weighting(StrEnum):
    """Why the dense leg has its share of a score."""

    LISTED = "listed"  # The embedding model's list of languages has the question's.
    NOT_LISTED = "not listed"  # The list does not have it.
    TOKENIZER = "tokenizer"  # There is no list; the model's tokenizer was made for the language.
    UNKNOWN = "unknown"  # Neither a list nor the tokenizer shows it.
    COMPARED = "compared"  # The model finds passages in other languages than the question's.
    SETTING = "setting"  # The settings give the share.
    VECTORS_ALONE = "vectors alone"  # Keywords were not searched.


class LeftOutReason(StrEnum):
    """Why a candidate is not among the hits."""

    EXCLUDED = "excluded"  # It holds a word after a hyphen.
    THRESHOLD = "threshold"  # Its dense score is below the threshold.
    COPY = "copy"  # A hit has the same passage.
    JOINED = "joined"  # It stands beside a hit, which has taken it in.
    DOCUMENT = "document"  # Its document has its share of the hits already.
    RANK = "rank"  # Enough others have higher scores.


class Decision(StrEnum):
    """Who decided whether the documents hold the answer."""

    EVIDENCE = "evidence"  # The calibrated decision.
    NOTHING_FOUND = "nothing found"  # There is no hit to answer from.
    TABLE = "table"  # A table in the documents has, or lacks, what is asked for.
    MODEL = "language model"  # It has read the passages.
    QUOTATION = "quotation"  # The quoted text says itself that there is no answer.
    NO_VALUE = "no value"  # The quoted text lacks the kind of thing that is asked for.
    NEVER_REFUSES = "never refuses"  # The settings allow no refusal.


@dataclass(frozen=True, slots=True)
class HitExplanation:
    """The parts of the score of one hit; see the module."""

    chunk_id: str
    part: int  # Index of the part of the question that found it, in ``SearchExplanation.parts``.
    cosine: float  # Of the question and the passage, -1..1.
    shift: float  # Added to the dense score: it is in another language than the question.
    dense_rank: int | None  # Rank in the dense leg, from 1; None if it is not among its best.
    scaled_dense: float  # The dense score, scaled over the candidates.
    lexical_rank: int | None  # Rank in the keyword leg, as of ``dense_rank``.
    lexical_score: float | None  # BM25; None if it is not among the best of the keyword leg.
    scaled_lexical: float  # The BM25 score, divided by the best.
    fused: float  # The score of both legs.
    literal_share: float | None  # Of phrases and identifiers that it holds; None if not counted.
    held: tuple[str, ...]  # These phrases and identifiers.
    place: int  # Its place, from 1, before the reranker and the limit for each document.
    reranked: float | None  # The reranker's score; None if it did not read the hit.
    score: float  # As of the hit.
    copies: int  # Number of equal passages that are one hit with it.
    of_document: int  # It is the n-th best hit of its document, from 1.
    filled: bool  # It has the place of a hit beyond the limit of that hit's document.
    described: bool | None = None  # It describes what the question asks of; None if none does.


@dataclass(frozen=True, slots=True)
class LeftOutPassage:
    """A candidate that is not among the hits."""

    chunk_id: str
    document_id: str
    source_uri: str
    page: int | None
    start: int  # Offset in the document's text.
    end: int
    score: float  # The score that it had when it was left out; a dense score below a threshold.
    word: str = ""  # The word or phrase that excluded it.


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The candidates that are not among the hits for one reason."""

    reason: LeftOutReason
    count: int
    passages: tuple[LeftOutPassage, ...] = ()  # The best of them.


@dataclass(frozen=True, slots=True)
class SearchExplanation:
    """How one search found its hits."""

    query: str  # The text that was searched for: the question without excluded words.
    reply_language: str  # ISO 639-1 code of the language in which the asker gets replies.
    language: str = ""  # ISO 639-1 code that the question was taken for; empty: not detected.
    languages: tuple[str, ...] = ()  # Those of the collection's documents.
    language_set: bool = False  # The settings give the language.
    weighting: Weighting = Weighting.VECTORS_ALONE
    dense_share: float = 1.0  # Share of the dense leg in a score, 0..1.
    parts: tuple[str, ...] = ()  # What was searched for, one after another, in a long question.
    phrases: tuple[str, ...] = ()  # Texts in quotation marks.
    identifiers: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()  # Words and phrases after a hyphen.
    options: tuple[str, ...] = ()  # Those that exclude nothing, as passages have them as options.
    filters: Mapping[str, Any] | None = None  # The caller's, in Haystack's syntax.
    operator_filters: Mapping[str, Any] | None = None  # The settings', which must match as well.
    threshold: float = 0.0  # Least ``dense_score`` of a hit.
    depth: int = 0  # Most candidates of each leg, for each part.
    candidates: int = 0  # Passages that either leg found.
    dense_candidates: int = 0
    lexical_candidates: int = 0
    best_dense: float = 0.0  # Highest dense score of the candidates, shifted.
    worst_dense: float = 0.0  # Lowest one.
    # ``scaled_dense`` is 1 - (best_dense - dense score) / dense_range; without a keyword search the
    # dense score itself.
    dense_range: float = 0.0
    noise: float = 0.0  # Dense scores of unrelated texts differ by this much: the least range.
    best_lexical: float = 0.0  # Highest BM25 score, by which all are divided; 0: no shared term.
    reranked: int = 0  # Hits that the reranker read.
    unread_factor: float | None = None  # Factor of the scores of hits that it did not read.
    top_k: int = 0
    most_of_one: int = 0  # Hits that one document may have while other documents have good ones.
    left_out: tuple[LeftOut, ...] = ()
    hits: tuple[HitExplanation, ...] = ()  # In the order of the hits.


@dataclass(frozen=True, slots=True)
class EvidencePart:
    """One feature of the decision whether the documents hold the answer."""

    computed: ClassVar[tuple[str, ...]] = ("contribution",)

    name: str
    value: float
    weight: float
    meaning: str  # In words, in the language in which the asker gets replies.

    @property
    def contribution(self) -> float:
        """What it adds to the logarithm of the odds."""
        return self.value * self.weight


@dataclass(frozen=True, slots=True)
class AnswerExplanation:
    """How it was decided whether the documents hold the answer, and what was searched."""

    decided_by: Decision
    reply_language: str  # As of ``SearchExplanation``.
    question: str  # The question, or the part of a long one, that the evidence is about.
    confidence: float  # Probability, 0..1, by the evidence alone, that the documents hold it.
    bias: float  # Logarithm of the odds without any evidence.
    evidence: tuple[EvidencePart, ...]  # None if nothing was found.
    refuse_below: float  # A lower confidence is refused.
    sure_from: float  # From this confidence on the answer is sure.
    calibrated: bool  # The decision was fitted to this collection.
    table: str = ""  # Why nothing could be computed over a table.
    searches: tuple[SearchExplanation, ...] = ()  # In a conversation there may be several.
