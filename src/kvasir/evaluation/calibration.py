"""Fit the decision to refuse to a collection.

Questions that the collection answers are given, or made of its text: half the words of a
sentence, in their order, mixed with words from elsewhere, because users do not ask in the words
of the document. Questions that it does not answer are given, or made of words of several
documents. The fit is a logistic regression with the shipped coefficients as its prior; the
threshold separates the two kinds best in cross-validation.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from kvasir.answering.evidence import EvidenceReader, Features
from kvasir.answering.refusal import DEFAULT_CALIBRATION, Calibration
from kvasir.answering.retrieval import Searches
from kvasir.core.deadline import check
from kvasir.core.errors import TooFewQuestionsError
from kvasir.core.protocols import VectorStore
from kvasir.core.run import Run
from kvasir.core.text import CJK
from kvasir.core.types import Chunk, SearchRequest
from kvasir.language.sentences import sentence_spans

FEWEST_QUESTIONS = 20
"""Fewest questions of each kind."""

MOST_REFUSED = 0.05
"""Largest share of answered questions that may be refused."""
MOST_REFUSED_MADE = 0.02
"""The same for made questions: real ones are harder to recognise."""

SHIPPED_STAYS = "shipped_decision_stays"
"""In a report: 1 if fitting gained nothing and the start was kept."""
MOST_LOST_OFF_TOPIC = 0.02
"""Largest loss of refused unanswered questions, as a share, that is kept by default."""

_FOLDS = 5
_STEPS = 100
_PRIOR_STRENGTH = 2.0
"""Weight of the shipped coefficients, in questions."""
_SENTENCE_WORDS = range(8, 41)
_KEPT_SHARE = 0.5
_FOREIGN_WORDS = 3
_MIXED_FROM = 12
_TOKEN = re.compile(rf"[{CJK}]{{2}}|[^\W_]+(?:['’.-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A decision that was fitted to a collection, and whether it is kept.

    Attributes:
        gained: Whether it is better than the start.
        drawbacks: What it does worse than the start, in words; empty without a gain.
        kept: Whether the collection uses it from now on.
    """

    calibration: Calibration
    gained: bool
    drawbacks: tuple[str, ...]
    kept: bool


@dataclass(frozen=True, slots=True)
class MadeQuestions:
    """Questions made of a collection's own text."""

    answered: tuple[str, ...]
    unanswered: tuple[str, ...]


def calibrate(
    store: VectorStore,
    retriever: Searches,
    reader: EvidenceReader,
    answered: Sequence[str] | None,
    unanswered: Sequence[str] | None,
    *,
    top_k: int,
    apply: bool | None,
    run: Run,
) -> Fitted:
    """Fit the decision to questions; those that are None are made of the collection's sentences.

    Raises:
        TooFewQuestionsError: There are too few questions, or too few sentences to make them of.
        StoppedError: The run was stopped.
    """
    made = None if answered and unanswered else make_questions(store, run=run)

    def features(kind: str, given: Sequence[str] | None) -> Features:
        questions = given or (getattr(made, kind) if made else ())
        return read_features(questions, retriever, reader, top_k=top_k, run=run, stage=kind)

    rows = features("answered", answered), features("unanswered", unanswered)
    calibration = fit(*rows, most_refused=MOST_REFUSED if answered else MOST_REFUSED_MADE)
    return decide(calibration, all_given=made is None, apply=apply)


def make_questions(
    store: VectorStore, count: int = 200, seed: int = 0, run: Run | None = None
) -> MadeQuestions:
    """Make at most ``count`` questions of each kind from a collection's sentences.

    Raises:
        StoppedError: The run was stopped.
        TooFewQuestionsError: The collection has too few sentences to make questions of.
    """
    run = run or Run()
    chunks: list[Chunk] = []
    total = store.count()
    for batch in store.scroll():
        chunks += [chunk for chunk, _ in batch]
        run.step("reading", len(chunks), max(total, len(chunks)), "chunks")
    rng = random.Random(seed)
    sentences = list(islice(_sample_sentences(chunks, rng), count))
    if len(sentences) < FEWEST_QUESTIONS:
        raise TooFewQuestionsError(
            f"the collection has {len(sentences)} sentences to make questions of, "
            f"{FEWEST_QUESTIONS} are needed"
        )
    words = [word for sentence in sentences for word in sentence]
    answered = tuple(_shortened(sentence, words, rng) for sentence in sentences)
    mixed = (rng.sample(sentences, _MIXED_FROM) for _ in sentences)
    return MadeQuestions(answered, tuple(" ".join(map(rng.choice, each)) for each in mixed))


def _sample_sentences(chunks: Sequence[Chunk], rng: random.Random) -> Iterator[list[str]]:
    """Yield the words of at most one sentence of each chunk, in random order."""
    order = sorted(chunks, key=lambda chunk: chunk.id)
    rng.shuffle(order)
    for chunk in order:
        language = str(chunk.metadata.get("language", "")) or None
        spans = sentence_spans(chunk.text, language)
        rng.shuffle(spans)
        sentences = (_TOKEN.findall(chunk.text[start:end]) for start, end in spans)
        yield from islice((words for words in sentences if len(words) in _SENTENCE_WORDS), 1)


def _shortened(sentence: Sequence[str], words: Sequence[str], rng: random.Random) -> str:
    size = max(4, round(len(sentence) * _KEPT_SHARE))
    kept = [sentence[i] for i in sorted(rng.sample(range(len(sentence)), size))]
    for _ in range(_FOREIGN_WORDS):
        kept.insert(rng.randrange(len(kept) + 1), rng.choice(words))
    return " ".join(kept)


def read_features(
    questions: Sequence[str],
    retriever: Searches,
    reader: EvidenceReader,
    *,
    top_k: int = 10,
    run: Run | None = None,
    stage: str = "questions",
) -> Features:
    """Search for questions and return their features, float64 [n, features].

    Questions without a hit, which are always refused, are left out. ``stage`` is that of the run.

    Raises:
        StoppedError: The run was stopped.
    """
    run = run or Run()
    rows = []
    for number, question in enumerate(questions, 1):
        check("calibrating")
        hits = run.call(partial(retriever.retrieve, SearchRequest(question, top_k)))
        if hits:
            rows.append(reader.read(question, hits).vector())
        run.step(stage, number, len(questions), "questions")
    return np.stack(rows) if rows else np.zeros((0, len(DEFAULT_CALIBRATION.features)))


def fit(
    answered: Features,
    unanswered: Features,
    start: Calibration = DEFAULT_CALIBRATION,
    *,
    most_refused: float = MOST_REFUSED,
) -> Calibration:
    """Fit the decision to features [n, features] of answered and of unanswered questions.

    The report has the cross-validated shares of refused questions, by the fitted and
    (``_before``) by the starting calibration. Without a gain, the start is returned and
    ``SHIPPED_STAYS`` is 1.

    Args:
        answered: Questions that the collection answers.
        unanswered: Questions that it does not answer.
        start: The prior of the coefficients.
        most_refused: Largest share, 0..1, of answered questions that may be refused:
            ``MOST_REFUSED``, or ``MOST_REFUSED_MADE`` for questions from ``make_questions``.

    Raises:
        TooFewQuestionsError: There are too few questions of one kind.
    """
    for kind, rows in (("answers", answered), ("does not answer", unanswered)):
        if len(rows) < FEWEST_QUESTIONS:
            raise TooFewQuestionsError(
                f"{len(rows)} questions that the collection {kind} are too few: "
                f"at least {FEWEST_QUESTIONS} are needed"
            )
    features = np.concatenate([answered, unanswered])
    truth = np.concatenate([np.ones(len(answered)), np.zeros(len(unanswered))])
    # Every fold has both kinds in the same share.
    folds = np.concatenate([np.arange(len(answered)), np.arange(len(unanswered))]) % _FOLDS
    held_out = np.zeros(len(truth))
    for fold in range(_FOLDS):
        rest = folds != fold
        model = logistic_regression(features[rest], truth[rest], start)
        held_out[~rest] = model.probabilities(features[~rest])
    threshold = _best_threshold(held_out, truth, most_refused)
    before = start.probabilities(features) < start.threshold
    after = held_out < threshold
    asked = truth == 1
    report = {
        "questions_answered": float(len(answered)),
        "questions_unanswered": float(len(unanswered)),
        "refused_on_topic": float(after[asked].mean()),
        "refused_off_topic": float(after[~asked].mean()),
        "refused_on_topic_before": float(before[asked].mean()),
        "refused_off_topic_before": float(before[~asked].mean()),
    }
    if _errors(after, asked) >= _errors(before, asked):
        return replace(start, report=report | {SHIPPED_STAYS: 1.0})
    final = logistic_regression(features, truth, start)
    sure = max(threshold, start.sure)
    return replace(final, threshold=threshold, sure=sure, report=report | {SHIPPED_STAYS: 0.0})


def decide(calibration: Calibration, *, all_given: bool, apply: bool | None = None) -> Fitted:
    """Decide whether the result of ``fit`` is kept: never one without a gain.

    Without the user's choice, ``apply``, it is kept if it does nothing worse and all questions were
    given: made ones are a rough guide.
    """
    gained = not calibration.report[SHIPPED_STAYS]
    worse = tuple(drawbacks(calibration)) if gained else ()
    wanted = all_given and not worse if apply is None else apply
    return Fitted(calibration, gained, worse, kept=gained and wanted)


def drawbacks(calibration: Calibration) -> list[str]:
    """Describe in words what a fitted decision does worse than the start."""
    report = calibration.report
    found: list[str] = []
    lost = report["refused_off_topic_before"] - report["refused_off_topic"]
    if lost > MOST_LOST_OFF_TOPIC:
        found.append(f"answers {lost:.1%} more of the questions that the documents do not answer")
    more = report["refused_on_topic"] - report["refused_on_topic_before"]
    if more > 0:
        found.append(f"refuses {more:.1%} more of the questions that they do answer")
    return found


def _errors(refused: NDArray[np.bool_], asked: NDArray[np.bool_]) -> float:
    return float(refused[asked].mean() + (~refused[~asked]).mean())


def logistic_regression(
    features: Features,
    truth: NDArray[np.float64],
    start: Calibration,
    *,
    balance: NDArray[np.float64] | None = None,
    prior: float = _PRIOR_STRENGTH,
) -> Calibration:
    """Fit a decision by Newton's method, drawn towards the start.

    Args:
        features: One row a question [n, features].
        truth: 1 for the questions that the documents answer, otherwise 0, [n].
        start: The prior of the coefficients.
        balance: Weight of each question [n]; by default both kinds weigh the same.
        prior: Weight of the start, in questions.
    """
    rows = np.column_stack([features, np.ones(len(features))])
    weights = origin = np.array([*start.weights, start.bias])
    if balance is None:
        share = truth.mean()
        balance = np.where(truth == 1, 0.5 / share, 0.5 / (1.0 - share))
    strength = np.full(len(origin), prior)
    # The bias may move: it differs most between collections.
    strength[-1] = 0.1 * prior
    for _ in range(_STEPS):
        probabilities = 1.0 / (1.0 + np.exp(-np.clip(rows @ weights, -500, 500)))
        gradient = rows.T @ (balance * (probabilities - truth)) + strength * (weights - origin)
        curvature = balance * probabilities * (1.0 - probabilities)
        hessian = (rows * curvature[:, None]).T @ rows + np.diag(strength)
        step = np.linalg.solve(hessian, gradient)
        # A full step can overshoot if the kinds are perfectly separable.
        weights = weights - step / max(1.0, float(np.abs(step).max()) / 2.0)
        if np.abs(step).max() < 1e-6:
            break
    return replace(start, weights=tuple(weights[:-1].tolist()), bias=float(weights[-1]), report={})


def _best_threshold(
    probabilities: NDArray[np.float64], truth: NDArray[np.float64], most_refused: float
) -> float:
    """Return the threshold with the smallest sum of the two error rates."""
    values = np.unique(probabilities)
    cuts = np.clip(np.concatenate([values[:1] / 2, (values[1:] + values[:-1]) / 2]), 0.01, 0.99)
    refused = probabilities[None, :] < cuts[:, None]
    wrongly = refused[:, truth == 1].mean(axis=1)
    errors = wrongly + (~refused[:, truth == 0]).mean(axis=1)
    # The lowest cut refuses almost nothing and is always allowed.
    errors[(wrongly > most_refused) & (cuts > cuts[0])] = np.inf
    return float(np.median(cuts[np.isclose(errors, errors.min())]))
