"""Decide whether the retrieved chunks hold an answer, and word the refusal.

The decision is a logistic model over the features of ``answering.evidence``. Its outcome is one of
three: the documents hold the answer, it is not sure whether they do, or they do not. Fit and error
rates of the weights: docs/decisions/0052-refusal-for-every-model.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kvasir.answering.asked_language import asked_language
from kvasir.answering.evidence import (
    ALL_FEATURES,
    FEATURES,
    FIRST_FEATURES,
    Evidence,
    Features,
)
from kvasir.answering.refusal_phrases import (
    DOES_NOT_KNOW,
    NOT_IN_SOURCES,
    OPENINGS,
    SPEAKS_OF_ITSELF,
)
from kvasir.core.errors import IncompatibleVersionError, WireError
from kvasir.core.types import Certainty, Citation, Hit
from kvasir.core.wire import from_json
from kvasir.language.detect import detect

REFUSALS = {
    "en": "I cannot find the answer in the documents.",
    "es": "No encuentro la respuesta en los documentos.",
    "fr": "Je ne trouve pas la réponse dans les documents.",
    "de": "Ich finde die Antwort nicht in den Dokumenten.",
    "vi": "Tôi không tìm thấy câu trả lời trong tài liệu.",
    "zh": "我在文档中找不到答案。",
}
"""Refusals by language; English for every other one."""

NOTHING_MATCHES = {
    "en": "No document matches the filters, so there is nothing to answer from.",
    "es": "Ningún documento cumple los filtros, así que no hay de dónde responder.",
    "fr": "Aucun document ne correspond aux filtres, il n'y a donc rien pour répondre.",
    "de": "Kein Dokument entspricht den Filtern, daher gibt es keine Grundlage für eine Antwort.",
    "vi": "Không có tài liệu nào khớp với bộ lọc, nên không có gì để trả lời.",
    "zh": "没有文档符合筛选条件，因此无法回答。",
}
"""Refusals if the filters exclude every chunk."""

NO_DOCUMENTS = {
    "en": "The collection has no documents, so there is nothing to answer from.",
    "es": "La colección no tiene documentos, así que no hay de dónde responder.",
    "fr": "La collection ne contient aucun document, il n'y a donc rien pour répondre.",
    "de": "Die Sammlung enthält keine Dokumente, daher gibt es keine Grundlage für eine Antwort.",
    "vi": "Bộ sưu tập không có tài liệu nào, nên không có gì để trả lời.",
    "zh": "该集合中没有文档，因此无法回答。",
}
"""Refusals if the collection is empty."""

_DECIDED = 40
"""Characters after which a text's opening is known."""
_OPENING = 100
_LONGEST_REFUSAL = 400
"""Most characters of an answer that only says that it does not know."""

_REPORT = "report_"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The decision to refuse: a logistic model and its thresholds.

    Attributes:
        weights: One per feature, in the order of ``features``.
        bias: The constant term.
        threshold: Refuse below this probability.
        report: Figures measured during the fit, for people to read.
        features: Names of features of ``Evidence``.
        sure: Not sure below this probability.
    """

    weights: tuple[float, ...]
    bias: float
    threshold: float = 0.5
    report: Mapping[str, float] = field(default_factory=dict)
    features: tuple[str, ...] = FEATURES
    sure: float = 0.5

    def confidence(self, evidence: Evidence) -> float:
        """Return the probability, 0..1, that the documents hold the answer."""
        return float(self.probabilities(evidence.vector(self.features)[None, :])[0])

    def probabilities(self, features: Features) -> Features:
        """Return the probability of each row of features [n, features] as float64 [n]."""
        logits = features @ np.asarray(self.weights) + self.bias
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500))), dtype=np.float64)

    def refuses(self, confidence: float) -> bool:
        """Return True if a question of this confidence is refused."""
        return confidence < self.threshold

    def decide(self, confidence: float) -> Certainty:
        """Return what is said of a question of this confidence."""
        if self.refuses(confidence):
            return Certainty.NO
        return Certainty.SURE if confidence >= self.sure else Certainty.NOT_SURE

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Calibration:
        """Return the calibration of a collection's record, also one over other features.

        The first form was one flat mapping, ``{feature: weight, "bias": ..., "report_...": ...}``.

        Raises:
            IncompatibleVersionError: Another version wrote it.
        """
        try:
            if "weights" in stored:
                found = from_json(cls, dict(stored))
                if unknown := set(found.features).difference(ALL_FEATURES):
                    raise ValueError(f"it has the features {', '.join(sorted(unknown))}")
                if len(found.weights) != len(found.features):
                    raise ValueError(f"it has {len(found.weights)} weights")
                return found
            weights = tuple(float(stored[name]) for name in FIRST_FEATURES)
            report = {
                name.removeprefix(_REPORT): float(value)
                for name, value in stored.items()
                if name.startswith(_REPORT)
            }
            bias, threshold = float(stored["bias"]), float(stored["threshold"])
            return cls(weights, bias, threshold, report, FIRST_FEATURES)
        except (ValueError, KeyError, TypeError, WireError) as error:
            raise IncompatibleVersionError(
                f"the stored calibration cannot be read ({error!r}): calibrate the collection again"
            ) from error


DEFAULT_CALIBRATION = Calibration(
    weights=(1.83, 1.61, 2.08, 3.27, 2.1, 1.07, -1.51),
    bias=-4.03,
    threshold=0.2,
    report={"refused_on_topic": 0.024, "refused_off_topic": 0.901},
    sure=0.7,
)
"""Fitted by bench/fit_refusal.py; the report is of all its sets, five-fold cross-validated."""


def refusal(question: str, hits: Sequence[Hit] = (), sayings: Mapping[str, str] = REFUSALS) -> str:
    """Return a refusal in the question's language."""
    return sayings.get(asked_language(question, hits, sayings), sayings["en"])


def may_become_refusal(text: str) -> bool:
    """Return True if a text that is still being written may turn out to be a refusal only."""
    text = text.lstrip()
    if len(text) > _LONGEST_REFUSAL or SPEAKS_OF_ITSELF.match(text):
        return len(text) <= _LONGEST_REFUSAL
    begun = text.casefold()
    return len(text) < _DECIDED and any(
        opening.startswith(begun) or begun.startswith(opening) for opening in OPENINGS
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
        return bool(DOES_NOT_KNOW.search(text) or NOT_IN_SOURCES.search(text))
    found = DOES_NOT_KNOW.search(text[:_OPENING])
    quoted = found and any(found[0] in citation.quote for citation in citations)
    return bool(found and not quoted and SPEAKS_OF_ITSELF.match(text))
