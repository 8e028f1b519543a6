"""What joining the words of Vietnamese does to the keyword leg: nDCG@10 on XQuAD.

    python bench/segmentation.py [--data FOLDER] [--page FILE]

Vietnamese writes a space between syllables, and most words have two. The keyword leg counts
syllables ("học", "sinh"); here it is compared with one that counts words ("học sinh" as one term),
as the segmenter for PhoBERT finds them, and with one that counts both. Terms, weights and IDF are
those of the store. The vectors' leg needs a trained PhoBERT, whose weights are not at hand: random
ones say nothing about quality.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.types import SparseVector
from kvasir.evaluation import metrics
from kvasir.evaluation.datasets import load_dataset
from kvasir.language.word_segmentation import segment
from tables import put, table

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "retrieval"
JOINT = "ǃ"
"""A letter that no Vietnamese word has: at "_", with which the segmenter joins, terms end."""
_PART = 200


def joined(texts: list[str]) -> list[str]:
    """Return texts whose words of several syllables are one word for the analyzer."""
    parts = (texts[start : start + _PART] for start in range(0, len(texts), _PART))
    return [each.replace("_", JOINT) for part in parts for each in segment(part)]


def run_of(
    documents: dict[str, SparseVector], questions: dict[str, SparseVector]
) -> dict[str, dict[str, float]]:
    """Return the scores of the ten best documents of each question."""
    counts = Counter(term for each in documents.values() for term in each.indices.tolist())
    total = len(documents)
    idf = {t: np.log((total - n + 0.5) / (n + 0.5) + 1) for t, n in counts.items()}
    weights = {
        name: dict(zip(each.indices.tolist(), each.values.tolist(), strict=True))
        for name, each in documents.items()
    }
    found = {}
    for question, terms in questions.items():
        wanted = [term for term in terms.indices.tolist() if term in idf]
        scores = {
            name: sum(idf[term] * weight.get(term, 0.0) for term in wanted)
            for name, weight in weights.items()
        }
        best = sorted(scores, key=scores.__getitem__, reverse=True)[:10]
        found[question] = {name: scores[name] for name in best if scores[name] > 0}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    data = load_dataset(given.data / "xquad-vi")
    passages = {each.id: f"{each.title}\n{each.text}" for each in data.passages}
    questions = {each.id: each.text for each in data.queries}
    analyzer = Bm25Analyzer()
    plain = list(passages.values()), list(questions.values())
    words = joined(plain[0]), joined(plain[1])
    both = [
        tuple(f"{a} {b}" for a, b in zip(*each, strict=True))
        for each in zip(plain, words, strict=True)
    ]
    rows = []
    for name, (texts, asked) in (
        ("syllables (what Kvasir does)", plain),
        ("words", words),
        ("both", (both[0], both[1])),
    ):
        terms = analyzer.document_terms(texts, ["vi"] * len(texts))
        wanted = analyzer.query_terms(asked, ["vi"] * len(asked))
        run = run_of(
            dict(zip(passages, terms, strict=True)), dict(zip(questions, wanted, strict=True))
        )
        scores = metrics.mean(metrics.per_query(data.qrels, run))
        rows.append([name, *(f"{scores[each]:.3f}" for each in ("ndcg@10", "recall@1"))])
        print(rows[-1], flush=True)
    text = table(["the keyword leg counts", "nDCG@10", "recall@1"], rows)
    print(text)
    if given.page:
        put(given.page, "segmentation", text)


if __name__ == "__main__":
    main()
