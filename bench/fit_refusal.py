"""Fit the decision to refuse, and print its cross-validated rates by set, kind and language.

    python bench/fit_refusal.py
    python bench/fit_refusal.py --set rag.embedding_model.name=bench/work/e5 [--check]

Two collections are asked: the library of bench/questions (the questions of its half ``fit``), and
the public sets of ../shared/data (XQuAD in four languages, five corpora of English texts) together.
Of XQuAD a third of the questions are asked as they are, a third with the paragraph hidden that
holds the answer (``near``) and a third with the whole article hidden (``same-field``), in all
languages. The questions of each collection are ``off-topic`` in the other one. A question whose
passage is not found is left out: it is the search that failed.

Hits are kept in bench/work/refusal; ``--search`` searches again. Five folds, by document, so that
no passage is on both sides; each set, kind and language weighs alike. ``--check`` fits nothing and
prints the rates of the shipped decision, with a model that it was not fitted for.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

import kvasir
from kvasir.answering.evidence import FEATURES, EvidenceReader, Features
from kvasir.answering.refusal import DEFAULT_CALIBRATION, Calibration
from kvasir.collection import Collection
from kvasir.core.types import Answer, Comparison, Hit, SearchRequest
from kvasir.core.wire import dumps, loads
from kvasir.evaluation.calibration import logistic_regression
from kvasir.evaluation.question_sets import (
    GoldPassage,
    JudgedQuestion,
    load_question_set,
    of_half,
)
from kvasir.evaluation.questions import judge
from kvasir.settings.loading import parse_assignment

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data"
WORK = HERE / "work" / "refusal"
LIBRARY = HERE / "work" / "questions"
LANGUAGES = ("en", "es", "vi", "zh")
HIDDEN = ("good", "near", "same-field")
PER_KIND = 60
"""Questions of a public set, of each kind and language."""
TOP_K = 10
FOLDS = 5
MOST_REFUSED = 0.05
MOST_NOT_SURE = 0.15
"""Share of the good questions that may be refused, and refused or not sure."""
PRIOR = 1.0


@dataclass(frozen=True, slots=True)
class Case:
    """A question of a set with its hits; ``group`` is the document by which the folds are cut."""

    set: str
    kind: str
    language: str
    group: str
    question: str
    hits: tuple[Hit, ...]

    @property
    def answerable(self) -> bool:
        """True if the documents hold the answer."""
        return self.kind == "good"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and the files that are hidden from its search, by the start of their names."""

    question: JudgedQuestion
    kind: str
    group: str
    hidden: str = ""


def gather(assignments: Sequence[str], name: str) -> Iterator[Case]:
    """Search for all questions."""
    library, public = list(library_questions()), list(public_questions())
    with open_collection(LIBRARY / "indexes" / name, assignments) as collection:
        collection.ingest(*kvasir.files(LIBRARY / "library"))
        yield from search(collection, "library", [*library, *off_topic(public)])
    with open_collection(WORK / "indexes" / name, assignments) as collection:
        collection.ingest(*kvasir.files(write_public()))
        collection.optimize(wait=True)
        yield from search(collection, "public", [*public, *off_topic(library)])


def open_collection(folder: Path, assignments: Sequence[str]) -> AbstractContextManager[Collection]:
    """Open the collection of a folder."""
    settings = dict(parse_assignment(text) for text in assignments)
    overrides = {key.replace(".", "__"): value for key, value in settings.items()}
    return kvasir.open(**{**overrides, "data_dir": str(folder)})


def library_questions() -> Iterator[Asked]:
    """Yield the library's questions of the half for fitting, without follow-ups."""
    for each in of_half(load_question_set(HERE / "questions" / "questions.jsonl"), "fit"):
        if not each.after:
            group = each.passages[0][0].document if each.passages else each.id
            yield Asked(each, each.kind if each.refuse else "good", group)


def public_questions() -> Iterator[Asked]:
    """Yield the questions of the public sets."""
    rng = Random(0)
    for language in LANGUAGES:
        rows = read_lines(DATA / "retrieval" / f"xquad-{language}" / "queries.jsonl")
        rng.shuffle(rows)
        for number, row in enumerate(rows[: len(HIDDEN) * PER_KIND]):
            document, kind = row["doc"], HIDDEN[number % len(HIDDEN)]
            article = document.split("-")[0]
            gold = GoldPassage(f"{document}-{language}.txt")
            hidden = {"near": f"{document}-", "same-field": f"{article}-"}.get(kind, "")
            asked = JudgedQuestion(row["_id"], row["text"], kind, language, passages=((gold,),))
            yield Asked(asked, kind, article, hidden)
    rows = read_lines(DATA / "chunking" / "questions.jsonl")
    rng.shuffle(rows)
    for row in rows[: 2 * PER_KIND]:
        gold = GoldPassage(f"{row['corpus_id']}.md", row["references"][0]["content"][:40])
        asked = JudgedQuestion(row["_id"], row["question"], "good", "en", passages=((gold,),))
        yield Asked(asked, "good", row["_id"])


def off_topic(questions: Sequence[Asked]) -> list[Asked]:
    """Return the questions that another collection answers."""
    return [replace(each, kind="off-topic") for each in questions if each.kind == "good"]


def read_lines(path: Path) -> list[dict[str, str]]:
    """Return the objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write_public() -> Path:
    """Write the public sets as files, and return their folder."""
    folder = WORK / "public"
    folder.mkdir(parents=True, exist_ok=True)
    for language in LANGUAGES:
        for row in read_lines(DATA / "retrieval" / f"xquad-{language}" / "corpus.jsonl"):
            (folder / f"{row['_id']}-{language}.txt").write_text(row["text"], "utf-8")
    for file in (DATA / "chunking").glob("*.md"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def search(collection: Collection, name: str, questions: Sequence[Asked]) -> Iterator[Case]:
    """Yield the questions with their hits, without those whose passages are not found."""
    uris = [each.source_uri for each in collection.documents()]
    for number, asked in enumerate(questions, 1):
        question = asked.question
        out = tuple(u for u in uris if asked.hidden and Path(u).name.startswith(asked.hidden))
        hidden = Comparison("source_uri", "not in", out) if out else None
        request = SearchRequest(question.question, TOP_K, filters=hidden)
        hits = tuple(collection.index.retrieve(request))
        is_found = judge(question, Answer("", hits=hits)).rank is not None
        if hits and (is_found or asked.kind != "good"):
            yield Case(name, asked.kind, question.language, asked.group, question.question, hits)
        if number % 50 == 0:
            print(f"\r{name} {number} of {len(questions)} ", end="", file=sys.stderr, flush=True)


def features(cases: Sequence[Case], assignments: Sequence[str]) -> Features:
    """Return the features of the questions, float64 [n, features]."""
    with open_collection(WORK / "indexes" / "none", assignments) as collection:
        components = collection.index.components
        reader = EvidenceReader(components.analyzer, components.embedder)
        return np.stack([reader.read(each.question, each.hits).vector() for each in cases])


def weigh(cases: Sequence[Case]) -> NDArray[np.float64]:
    """Return a weight for each question: groups alike, and answerable ones as the others."""
    counts = Counter((each.set, each.kind, each.language) for each in cases)
    weights = np.array([counts[each.set, each.kind, each.language] ** -0.5 for each in cases])
    answerable = np.array([each.answerable for each in cases])
    for kind in (answerable, ~answerable):
        weights[kind] *= len(cases) / 2.0 / weights[kind].sum()
    return weights


def cross_validate(
    cases: Sequence[Case], rows: Features
) -> tuple[NDArray[np.float64], Calibration]:
    """Return the held-out probabilities [n], and the decision fitted to all questions."""
    truth = np.array([each.answerable for each in cases], dtype=np.float64)
    weights = weigh(cases)
    folds = np.array([int(sha256(each.group.encode()).hexdigest(), 16) % FOLDS for each in cases])
    start = Calibration((0.0,) * len(FEATURES), 0.0)
    held_out = np.zeros(len(cases))

    def fit(chosen: NDArray[np.bool_]) -> Calibration:
        given = rows[chosen], truth[chosen]
        return logistic_regression(*given, start, balance=weights[chosen], prior=PRIOR)

    for fold in range(FOLDS):
        held_out[folds == fold] = fit(folds != fold).probabilities(rows[folds == fold])
    return held_out, fit(np.ones(len(cases), dtype=bool))


def print_rates(
    cases: Sequence[Case], probabilities: NDArray[np.float64], threshold: float, sure: float
) -> None:
    """Print the shares that are refused and not sure, by set and kind, and by language."""
    for title, key in (
        ("set and kind", lambda each: (each.set, each.kind)),
        ("language of good questions", lambda each: (each.set, each.language) * each.answerable),
        ("language of the others", lambda each: (each.set, each.language) * (not each.answerable)),
    ):
        print(f"\n| {title} | asked | refused | not sure | sure |\n|---|---:|---:|---:|---:|")
        keys = [key(each) for each in cases]
        for group in sorted(set(keys) - {()}):
            found = probabilities[[each == group for each in keys]]
            refused, unsure = (found < threshold).mean(), (found < sure).mean()
            shares = f"{refused:.0%} | {unsure - refused:.0%} | {1 - unsure:.0%}"
            print(f"| {' '.join(group)} | {len(found)} | {shares} |")


def main() -> None:
    """Search where needed, fit, and print the decision and its rates."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--search", action="store_true", help="search again")
    parser.add_argument("--check", action="store_true", help="measure the shipped decision")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    name = sha256(dumps(sorted(options.set)).encode()).hexdigest()[:8]
    kept = WORK / f"{name}.jsonl"
    if options.search or not kept.is_file():
        WORK.mkdir(parents=True, exist_ok=True)
        kept.write_text("".join(f"{dumps(each)}\n" for each in gather(options.set, name)), "utf-8")
    cases = [loads(Case, line) for line in kept.read_text("utf-8").splitlines()]
    rows = features(cases, options.set)
    answerable = np.array([each.answerable for each in cases])
    if options.check:
        shipped = DEFAULT_CALIBRATION
        print_rates(cases, shipped.probabilities(rows), shipped.threshold, shipped.sure)
        return
    probabilities, fitted = cross_validate(cases, rows)
    threshold, sure = np.quantile(probabilities[answerable], [MOST_REFUSED, MOST_NOT_SURE])
    print(dict(zip(FEATURES, np.round(fitted.weights, 2).tolist(), strict=True)))
    print(f"bias {fitted.bias:.2f}, threshold {threshold:.3f}, sure {sure:.3f}")
    print_rates(cases, probabilities, float(threshold), float(sure))


if __name__ == "__main__":
    main()
