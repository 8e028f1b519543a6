"""Measures whether a pasted mail with one question in it finds the passage.

    python bench/long_questions.py DATASET NOISE.md ... [--characters 10000] [--questions 100]

A mail is a stretch of the noise, which is about other things than the data set (BEIR's layout),
with one question of the set among its sentences. ``asked``: as it is, with a question mark.
``told``: "I would like to know" and the question without its mark. The noise keeps its own
questions.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from kvasir.answering.retrieval import Retriever
from kvasir.core.registry import build
from kvasir.core.types import SearchRequest
from kvasir.evaluation.datasets import load_dataset
from kvasir.language.detect import detect
from kvasir.language.sentences import sentence_spans
from small_collections import Passages


def main() -> None:
    """Print the share of mails with the passage in the first 1, 3 and 10 hits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("noise", nargs="+", type=Path)
    parser.add_argument("--characters", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.dataset)
    language = detect(dataset.passages[0].text)
    store = Passages(dataset, language)
    retriever = Retriever(build("embedders", "openvino", {}), store, languages=[language])
    noise = [path.read_text(encoding="utf-8") for path in arguments.noise]
    places = {passage.id: place for place, passage in enumerate(dataset.passages)}
    rng = np.random.default_rng(arguments.seed)
    chosen = rng.permutation(len(dataset.queries))[: arguments.questions].tolist()
    print("| form | mails | first | top 3 | top 10 |\n|---|---|---|---|---|")
    for form in ("asked", "told"):
        ranks = []
        for number in chosen:
            query = dataset.queries[number]
            text = query.text
            if form == "told":
                text = f"I would like to know {text[0].lower()}{text[1:].rstrip('?？ ')}."
            mail = _mail(rng, noise[int(rng.integers(len(noise)))], text, arguments.characters)
            hits = retriever.retrieve(SearchRequest(mail, top_k=10))
            found = [store.places[hit.chunk.id] for hit in hits]
            right = places[next(iter(dataset.qrels[query.id]))]
            ranks.append(found.index(right) if right in found else 10)
        shares = (np.mean(np.array(ranks) < depth) for depth in (1, 3, 10))
        print(f"| {form} | {len(ranks)} | " + " | ".join(f"{s:.2f}" for s in shares) + " |")


def _mail(rng: np.random.Generator, noise: str, question: str, characters: int) -> str:
    """Return a stretch of the noise with the question between two of its sentences."""
    start = int(rng.integers(max(1, len(noise) - characters)))
    stretch = noise[start : start + characters]
    ends = [end for _, end in sentence_spans(stretch)]
    end = ends[int(rng.integers(len(ends)))]
    return f"Hello,\n\n{stretch[:end]} {question} {stretch[end:]}\n\nKind regards\nAna"


if __name__ == "__main__":
    main()
