"""How long an extractive answer takes, from the question as text to the checked citations.

    python bench/answers.py                                100,000 chunks, a table of 10,000 rows
    python bench/answers.py --chunks 2000 --answers 20     a quick look

The chunks and their vectors are made from seeds, as for ``load.py``, whose index is used. The
question is embedded, and so are the sentences that may be quoted. The table is a collection of its
own: its questions ask for a cell, a row's neighbour, and a sum, and have words that no cell has.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from itertools import islice
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import kvasir
from kvasir.app import App
from kvasir.collection import Collection
from kvasir.core.types import Source
from kvasir.settings.loading import load_settings
from load import Prose, prepare
from tables import milliseconds, table

ROWS = 10_000
WARM_UP = 10
TABLE_QUESTIONS = (
    "What is the stock of item N{row}?",
    "How many pieces of N{row} are kept in hall {hall}?",
    "What is the total stock?",
    "Which item has the lowest stock?",
    "Where do we keep N{row}, and who counted it?",
)


def measure(collection: Collection, questions: Iterable[str]) -> dict[str, Any]:
    """Return the milliseconds of whole answers and of their stages."""
    asked = list(questions)
    whole: list[float] = []
    stages: dict[str, list[float]] = {"retrieve": [], "generate": []}
    quoted = 0
    for number, question in enumerate(asked):
        started = time.perf_counter()
        answer = collection.ask(question)
        took = time.perf_counter() - started
        if number < WARM_UP:
            continue
        whole.append(took)
        quoted += bool(answer.citations)
        for stage, values in stages.items():
            values.append(answer.timings.get(stage, 0.0))
    return {
        "answers": len(whole),
        "with_citations": quoted,
        "whole_ms": _summary(whole),
        **{f"{stage}_ms": _summary(values) for stage, values in stages.items()},
    }


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


def measure_text(chunks: int, answers: int) -> dict[str, Any]:
    """Return the figures of a collection of prose."""
    with redirect_stdout(sys.stderr):
        file = prepare(chunks)
    settings = load_settings(file)
    with App(settings) as app, app.collection() as collection:
        questions = list(islice(Prose(app.embedder.name).questions(chunks), answers + WARM_UP))
        started = time.perf_counter()
        for question in questions[WARM_UP:]:
            app.embedder.embed_queries([question])
        embedding = 1000 * (time.perf_counter() - started) / answers
        found = measure(collection, questions)
    return {"what": f"{chunks:,} chunks of prose", "embedding_ms": round(embedding, 2), **found}


def measure_table(rows: int, answers: int) -> dict[str, Any]:
    """Return the figures of a collection that is one table."""
    rng = np.random.default_rng(3)
    lines = ["Item,Hall,Stock,Counted by"]
    lines += [
        f"N{number},hall {number % 40},{int(rng.integers(1, 900))},person {number % 7}"
        for number in range(rows)
    ]
    with (
        tempfile.TemporaryDirectory(prefix="kvasir-bench-") as folder,
        kvasir.open(data_dir=folder, answer={"refuse": False}) as collection,
    ):
        collection.ingest((Source("bench:stock.csv", "text/csv"), "\n".join(lines).encode()))
        collection.optimize(wait=True)
        questions = [
            TABLE_QUESTIONS[number % len(TABLE_QUESTIONS)].format(
                row=int(rng.integers(0, rows)), hall=int(rng.integers(0, 40))
            )
            for number in range(answers + WARM_UP)
        ]
        found = measure(collection, questions)
    return {"what": f"a table of {rows:,} rows", "embedding_ms": None, **found}


def render(figures: list[dict[str, Any]]) -> str:
    """Return the figures as Markdown."""
    rows = [
        [
            each["what"],
            milliseconds(each["whole_ms"]),
            milliseconds(each["retrieve_ms"]),
            milliseconds(each["generate_ms"]),
            "-" if each["embedding_ms"] is None else f"{each['embedding_ms']:.1f}",
        ]
        for each in figures
    ]
    heads = ["collection", "answer ms", "of it search", "of it generation", "embedding a question"]
    return "An extractive answer, p50 / p99 in milliseconds.\n\n" + table(heads, rows)


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--answers", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = [
        measure_text(given.chunks, given.answers),
        measure_table(given.rows, given.answers),
    ]
    print(json.dumps(figures) if given.json else render(figures))


if __name__ == "__main__":
    main()
