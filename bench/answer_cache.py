"""How often the cache of answers is wrong, and how often it helps, by the threshold.

    python bench/answer_cache.py [--json]

Wrong: two different XQuAD questions of one paragraph that would share an answer, in four languages
(the eight pairs that are the same question to the letter are none).
Helps: of the 200 paraphrases in ``questions/paraphrases.tsv``, those that would be served.
Intervals are of 95 % (Clopper and Pearson 1934). The default embedding model, and all pairs of a
paragraph.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np

from kvasir.answering.same_question import QuestionForm, asks_the_same, exact_form, form_of
from kvasir.app import App
from kvasir.settings.loading import load_settings
from tables import table

ROOT = Path(__file__).resolve().parent.parent
XQUAD = ROOT.parent / "shared" / "data" / "retrieval"
LANGUAGES = ("en", "es", "vi", "zh")
THRESHOLDS = (0.0, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98)


def upper_bound(hits: int, of: int, level: float = 0.975) -> float:
    """Return the upper end of the exact interval of a share."""
    if hits == of:
        return 1.0
    low, high = hits / of, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(hits, of, middle) > 1 - level else (low, middle)
    return high


def _at_most(hits: int, of: int, share: float) -> float:
    """Return the probability of at most so many hits."""
    log = of * np.log1p(-share)
    total = np.exp(log)
    for k in range(1, hits + 1):
        log += np.log((of - k + 1) / k) + np.log(share) - np.log1p(-share)
        total += np.exp(log)
    return float(total)


def near_misses(language: str) -> Iterable[tuple[str, str]]:
    """Yield pairs of questions of one paragraph with different answers."""
    folder = XQUAD / f"xquad-{language}"
    by_paragraph = defaultdict(list)
    with (folder / "queries.jsonl").open(encoding="utf-8") as file:
        known = {query["_id"]: query for query in map(json.loads, file)}
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8") as file:
        next(file)
        for line in file:
            query, document, _ = line.split("\t")
            by_paragraph[document].append(known[query])
    for asked in by_paragraph.values():
        for one, other in combinations(asked, 2):
            is_same = _letters(one["text"], language) == _letters(other["text"], language)
            if set(one["answers"]).isdisjoint(other["answers"]) and not is_same:
                yield one["text"], other["text"]


def _letters(question: str, language: str) -> str:
    """Return the exact form; in Spanish, where one question lacks an accent, without accents."""
    text = exact_form(question)
    if language != "es":
        return text
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def paraphrases() -> list[tuple[str, str, str]]:
    """Return language, question and paraphrase."""
    path = Path(__file__).parent / "questions" / "paraphrases.tsv"
    lines = path.read_text("utf-8").splitlines()
    return [tuple(line.split("\t")) for line in lines]  # type: ignore[misc]


class Judge:
    """Compares questions, each embedded once."""

    def __init__(self, app: App) -> None:
        """Use an application's models."""
        self._app = app
        self._forms: dict[str, QuestionForm] = {}
        self._vectors: dict[str, np.ndarray] = {}

    def prepare(self, questions: Iterable[str]) -> None:
        """Embed questions."""
        new = [each for each in dict.fromkeys(questions) if each not in self._vectors]
        for start in range(0, len(new), 256):
            some = new[start : start + 256]
            vectors = self._app.embedder.embed_queries(some)
            self._vectors |= dict(zip(some, vectors, strict=True))
        self._forms |= {each: form_of(each, self._app.analyzer) for each in new}

    def cosine(self, one: str, other: str) -> float:
        """Return the cosine."""
        return float(self._vectors[one] @ self._vectors[other])

    def passes(self, one: str, other: str) -> bool:
        """Return True if the second gate lets two questions share an answer."""
        return asks_the_same(self._forms[one], self._forms[other])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", action="store_true", help="list what passes the second gate")
    options = parser.parse_args()
    with App(load_settings({}, {}, {})) as app:
        judge = Judge(app)
        wrong = {language: list(near_misses(language)) for language in LANGUAGES}
        same = [(one, other) for _, one, other in paraphrases()]
        everything = [pair for pairs in wrong.values() for pair in pairs] + same
        judge.prepare(each for pair in everything for each in pair)
        rows = []
        for threshold in THRESHOLDS:
            alone = sum(
                judge.cosine(*pair) >= threshold for pairs in wrong.values() for pair in pairs
            )
            by_language = {
                language: sum(
                    judge.passes(*pair) and judge.cosine(*pair) >= threshold for pair in pairs
                )
                for language, pairs in wrong.items()
            }
            served = sum(judge.passes(*pair) and judge.cosine(*pair) >= threshold for pair in same)
            number = sum(map(len, wrong.values()))
            rows.append(
                {
                    "threshold": threshold,
                    "pairs": number,
                    "cosine alone": alone,
                    "wrong": sum(by_language.values()),
                    "at most": upper_bound(sum(by_language.values()), number),
                    "served": served / len(same),
                    "by language": by_language,
                }
            )
        if options.show:
            for pairs in (*wrong.values(), same):
                for pair in pairs:
                    if judge.passes(*pair):
                        print(f"{judge.cosine(*pair):.3f}", *pair, sep=" | ")
    if options.json:
        print(json.dumps(rows))
        return
    shown = [
        [
            f"{row['threshold']:.2f}",
            row["cosine alone"],
            row["wrong"],
            f"{100 * row['at most']:.2f} %",
            f"{100 * row['served']:.1f} %",
        ]
        for row in rows
    ]
    heads = ["cosine at least", "alone", "wrong", "at most (95 %)", "paraphrases served"]
    print(f"{rows[0]['pairs']} pairs of different questions of one paragraph")
    print(table(heads, shown))


if __name__ == "__main__":
    main()
