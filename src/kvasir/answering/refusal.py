"""Decide whether the retrieved chunks hold an answer, and word the refusal.

A logistic model over features of a question and its hits: the cosine, and the share of the
question's terms that a chunk or a sentence covers, weighted by their IDF among the retrieved
sentences. No feature depends on the size of the collection. Fit and error rates of the weights:
docs/decisions/0010-refusal.md.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir.answering.retrieval import KNOWN_LANGUAGE, dense_share
from kvasir.core.errors import IncompatibleVersionError, WireError
from kvasir.core.protocols import Embedder, TextAnalyzer
from kvasir.core.scoring import inverse_document_frequency
from kvasir.core.types import Citation, Hit
from kvasir.core.wire import from_json
from kvasir.language.detect import detect
from kvasir.language.sentences import sentence_spans

Features = NDArray[np.float64]

REFUSALS = {
    "en": "I cannot find the answer in the documents.",
    "es": "No encuentro la respuesta en los documentos.",
    "vi": "Tôi không tìm thấy câu trả lời trong tài liệu.",
    "zh": "我在文档中找不到答案。",
}
"""Refusals by language; English for every other one."""

NOTHING_MATCHES = {
    "en": "No document matches the filters, so there is nothing to answer from.",
    "es": "Ningún documento cumple los filtros, así que no hay de dónde responder.",
    "vi": "Không có tài liệu nào khớp với bộ lọc, nên không có gì để trả lời.",
    "zh": "没有文档符合筛选条件，因此无法回答。",
}
"""Refusals if the filters exclude every chunk."""

NO_DOCUMENTS = {
    "en": "The collection has no documents, so there is nothing to answer from.",
    "es": "La colección no tiene documentos, así que no hay de dónde responder.",
    "vi": "Bộ sưu tập không có tài liệu nào, nên không có gì để trả lời.",
    "zh": "该集合中没有文档，因此无法回答。",
}
"""Refusals if the collection is empty."""

_DOES_NOT_KNOW = re.compile(
    r"\b(?:can ?not|can['’]t|could not|couldn['’]t|unable to) (?:find|answer|determine|locate)\b"
    r"|\b(?:do not|don['’]t) know\b"
    r"|\bno (?:puedo|pude|es posible|se puede) (?:encontrar|responder|determinar|contestar)\b"
    r"|\bno (?:encuentro|encontré|lo sé|sé)\b"
    r"|không (?:tìm thấy|thể tìm|thể trả lời|biết)"
    r"|找不到|没有找到|未找到|无法回答|無法回答|不知道",
    re.IGNORECASE,
)
_NOT_IN_SOURCES = re.compile(
    r"\b(?:do|does|did) not (?:contain|mention|provide|include|hold|say|specify|state)\b"
    r"|\b(?:doesn|don)['’]t (?:contain|mention|provide|include|say|specify|state)\b"
    r"|\bno (?:information|mention|answer)\b"
    r"|\bnot (?:mentioned|provided|specified|stated|found|given) in\b"
    r"|\bno (?:contienen?|mencionan?|proporcionan?|incluyen?|hay información)\b"
    r"|không (?:có thông tin|đề cập|được đề cập)"
    r"|没有提到|没有提及|未提及|没有提供|没有相关",
    re.IGNORECASE,
)
_SPEAKS_OF_ITSELF = re.compile(
    r"i\b|sorry|unfortunately|the (?:\w+ )?(?:sources?|documents?|context)|lo siento|no "
    r"|tôi|xin lỗi|rất tiếc|抱歉|对不起|我",
    re.IGNORECASE,
)
_OPENINGS = ("i ", "sorry", "unfortunately", "the ", "lo siento", "tôi", "xin lỗi", "rất tiếc")
_DECIDED = 40
"""Characters after which a text's opening is known."""
_OPENING = 100
_LONGEST_REFUSAL = 400
"""Most characters of an answer that only says that it does not know."""

_NO_TERMS = 0.5
"""Coverage of a question that has only stop words."""
_NO_CONTRAST = 0.5
"""Contrast where there are too few hits."""
_FEWEST_FOR_CONTRAST = 5
_REPORT = "report_"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Features that show whether the documents hold the answer to a question.

    Attributes:
        similarity: Best cosine of question and chunk; 0 for a foreign language.
        chunk_coverage: Share of the question's terms, by weight, that the best chunk holds.
        sentence_coverage: The same for the best single sentence.
        foreign: 1 if the embedding model was not trained for the question's language.
        contrast: For a foreign language, 1 minus the mean of the other chunks' BM25 scores
            divided by the best one; otherwise 0.
    """

    similarity: float
    chunk_coverage: float
    sentence_coverage: float
    foreign: float
    contrast: float

    def vector(self) -> Features:
        """Return the features as float64 [5], in the order of the attributes."""
        return np.array([getattr(self, name) for name in FEATURES], dtype=np.float64)


FEATURES = tuple(item.name for item in fields(Evidence))


@dataclass(frozen=True, slots=True)
class EvidenceReader:
    """Computes the features of questions; without an embedder no language is foreign."""

    analyzer: TextAnalyzer
    embedder: Embedder | None = None

    def read(self, question: str, hits: Sequence[Hit]) -> Evidence:
        """Return the evidence; there must be at least one hit."""
        languages = list(dict.fromkeys(str(h.chunk.metadata.get("language", "")) for h in hits))
        language = detect(question, languages) if len(languages) > 1 else languages[0]
        foreign = self._is_foreign(language, hits)
        chunks, sentences = self._coverages(question, language, hits)
        cosines = [-1.0 if hit.dense_score is None else 2.0 * hit.dense_score - 1.0 for hit in hits]
        return Evidence(
            similarity=0.0 if foreign else max(0.0, *cosines),
            chunk_coverage=max(chunks),
            sentence_coverage=max(sentences),
            foreign=float(foreign),
            contrast=_contrast(hits) if foreign else 0.0,
        )

    def _is_foreign(self, language: str, hits: Sequence[Hit]) -> bool:
        if self.embedder is None:
            return False
        texts = [hit.chunk.text for hit in hits]
        return dense_share(self.embedder, language, texts) < KNOWN_LANGUAGE

    def _coverages(
        self, question: str, language: str, hits: Sequence[Hit]
    ) -> tuple[list[float], list[float]]:
        """Return the covered share of the question by each chunk, and by each sentence."""
        passages: list[str] = []
        owners: list[int] = []
        languages: list[str] = []
        for number, hit in enumerate(hits):
            chunk_language = str(hit.chunk.metadata.get("language", ""))
            text = hit.chunk.text
            found = [text[a:b] for a, b in sentence_spans(text, chunk_language or None)] or [text]
            # The index contains the heading path, so it counts for the chunk.
            passages += [" ".join(hit.chunk.headings), *found]
            owners += [number] * (len(found) + 1)
            languages += [chunk_language] * (len(found) + 1)
        wanted = set(self.analyzer.query_terms([question], [language])[0].indices.tolist())
        if not wanted:
            return [_NO_TERMS] * len(hits), [_NO_TERMS]
        held = [
            wanted.intersection(sparse.indices.tolist())
            for sparse in self.analyzer.document_terms(passages, languages)
        ]
        counts = Counter(term for terms in held for term in terms)
        weights = {t: inverse_document_frequency(len(held), counts[t]) for t in wanted}
        total = sum(weights.values())
        of_chunk: list[set[int]] = [set() for _ in hits]
        for owner, terms in zip(owners, held, strict=True):
            of_chunk[owner] |= terms
        return (
            [sum(weights[term] for term in terms) / total for terms in of_chunk],
            [sum(weights[term] for term in terms) / total for terms in held],
        )


def _contrast(hits: Sequence[Hit]) -> float:
    scores = sorted((hit.lexical_score or 0.0 for hit in hits), reverse=True)
    if len(scores) < _FEWEST_FOR_CONTRAST or scores[0] <= 0.0:
        return _NO_CONTRAST
    return 1.0 - sum(scores[1:]) / (len(scores) - 1) / scores[0]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The decision to refuse: a logistic model and its threshold.

    Attributes:
        weights: One per feature, in the order of ``features``.
        bias: The constant term.
        threshold: Refuse below this probability.
        report: Figures measured during the fit, for people to read.
        features: Names of the features, those of ``Evidence``.
    """

    weights: tuple[float, ...]
    bias: float
    threshold: float = 0.5
    report: Mapping[str, float] = field(default_factory=dict)
    features: tuple[str, ...] = FEATURES

    def confidence(self, evidence: Evidence) -> float:
        """Return the probability, 0..1, that the documents hold the answer."""
        return float(self.probabilities(evidence.vector()[None, :])[0])

    def probabilities(self, features: Features) -> Features:
        """Return the probability of each row of features [n, 5] as float64 [n]."""
        logits = features @ np.asarray(self.weights) + self.bias
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500))), dtype=np.float64)

    def refuses(self, confidence: float) -> bool:
        """Return True if a question of this confidence is refused."""
        return confidence < self.threshold

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Calibration:
        """Return the calibration of a collection's record.

        The first form was one flat mapping, ``{feature: weight, "bias": ..., "report_...": ...}``.

        Raises:
            IncompatibleVersionError: Another version wrote it.
        """
        try:
            if "weights" in stored:
                found = from_json(cls, dict(stored))
                if found.features != FEATURES or len(found.weights) != len(FEATURES):
                    raise ValueError(f"it has the features {', '.join(found.features)}")
                return found
            weights = tuple(float(stored[name]) for name in FEATURES)
            report = {
                name.removeprefix(_REPORT): float(value)
                for name, value in stored.items()
                if name.startswith(_REPORT)
            }
            return cls(weights, float(stored["bias"]), float(stored["threshold"]), report)
        except (ValueError, KeyError, TypeError, WireError) as error:
            raise IncompatibleVersionError(
                f"the stored calibration cannot be read ({error!r}): calibrate the collection again"
            ) from error


DEFAULT_CALIBRATION = Calibration(
    weights=(13.64, 4.85, 6.99, 1.79, 7.79),
    bias=-10.59,
    threshold=0.2,
    report={"refused_on_topic": 0.018, "refused_off_topic": 0.975},
)
"""Fitted on XQuAD in four languages; the report is of English, five-fold cross-validated."""


def refusal(question: str, hits: Sequence[Hit] = (), sayings: Mapping[str, str] = REFUSALS) -> str:
    """Return a refusal in the question's language."""
    found = (str(hit.chunk.metadata.get("language", "")) for hit in hits)
    candidates = [code for code in dict.fromkeys([*found, *REFUSALS]) if code]
    return sayings.get(detect(question, candidates), sayings["en"])


def may_become_refusal(text: str) -> bool:
    """Return True if a text that is still being written may turn out to be a refusal only."""
    text = text.lstrip()
    if len(text) > _LONGEST_REFUSAL or _SPEAKS_OF_ITSELF.match(text):
        return len(text) <= _LONGEST_REFUSAL
    begun = text.casefold()
    return len(text) < _DECIDED and any(
        opening.startswith(begun) or begun.startswith(opening) for opening in _OPENINGS
    )


def translated_refusal(text: str, question: str, hits: Sequence[Hit]) -> str:
    """Return a model's refusal, or ours if the model's is in another language than the question."""
    wanted = refusal(question, hits)
    language = next(code for code, saying in REFUSALS.items() if saying == wanted)
    return text if detect(text, list(REFUSALS)) == language else wanted


def says_it_does_not_know(text: str, citations: Sequence[Citation]) -> bool:
    """Return True if a generated answer only says that it does not know.

    Words of a cited document ("I do not know") do not count.
    """
    if not text:
        return True
    if len(text) > _LONGEST_REFUSAL:
        return False
    if not citations:
        return bool(_DOES_NOT_KNOW.search(text) or _NOT_IN_SOURCES.search(text))
    found = _DOES_NOT_KNOW.search(text[:_OPENING])
    quoted = found and any(found[0] in citation.quote for citation in citations)
    return bool(found and not quoted and _SPEAKS_OF_ITSELF.match(text))
