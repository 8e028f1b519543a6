"""``kvasir evaluate`` measures what the manual says, and leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Kvasir = Callable[..., Any]

GODS = {"Odin": "wisdom", "Thor": "thunder", "Freyja": "love", "Loki": "mischief"}
WOLVES = {"Fenrir": "chains", "Skoll": "the sun", "Hati": "the moon", "Geri": "greed"}
BY_LINE = ["--splitter", "window", "--split-by", "line", "--split-length"]


def write_dataset(folder: Path, known_for: dict[str, str], answers: Sequence[int]) -> None:
    """Writes a document and a question for each name; ``answers`` says which document is right."""
    (folder / "qrels").mkdir(parents=True)
    names = list(known_for)
    corpus = [
        {"_id": f"d{n}", "title": name, "text": f"{name} is known for {known_for[name]}."}
        for n, name in enumerate(names)
    ]
    queries = [
        {"_id": f"q{n}", "text": f"What is {name} known for?"} for n, name in enumerate(names)
    ]
    write_lines(folder / "corpus.jsonl", corpus)
    write_lines(folder / "queries.jsonl", queries)
    judged = "".join(f"q{question}\td{right}\t1\n" for question, right in enumerate(answers))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Two data sets: of the second, every question is judged by another one's document."""
    write_dataset(tmp_path / "gods", GODS, answers=[0, 1, 2, 3])
    write_dataset(tmp_path / "wolves", WOLVES, answers=[1, 2, 3, 0])
    return tmp_path


def test_data_sets_share_a_collection_and_are_reported_apart(kvasir: Kvasir, judged: Path) -> None:
    report = kvasir("evaluate", "retrieval", "--json", "gods", "wolves").json
    assert (report["documents"], report["queries"], report["chunks"]) == (8, 8, 8)
    gods, wolves = report["datasets"]
    assert (gods["name"], wolves["name"]) == ("gods", "wolves")
    assert [gods["metrics"][name] for name in ("ndcg@10", "recall@1", "mrr@10")] == [1.0] * 3
    assert wolves["metrics"]["recall@1"] == 0.0
    assert 0.0 < wolves["metrics"]["ndcg@10"] < 0.7
    assert report["metrics"]["recall@1"] == 0.5
    assert gods["intervals"]["ndcg@10"] == [1.0, 1.0]
    assert sorted(path.name for path in judged.iterdir()) == ["gods", "wolves"]


def test_the_table_of_retrieval_has_a_row_for_each_data_set(
    kvasir_process: Kvasir, judged: Path
) -> None:
    heads, *rows = kvasir_process("evaluate", "retrieval", "gods", "wolves").out.splitlines()
    assert heads.split()[:5] == ["data", "set", "documents", "queries", "ndcg@10"]
    assert heads.endswith("ndcg@10, 95 %")
    gods, wolves = (row.split() for row in rows)
    assert gods == ["gods", "4", "4", *["1.0000"] * 5, "1.000-1.000"]
    assert wolves[:3] == ["wolves", "4", "4"]


@pytest.mark.xdist_group("xquad")
def test_the_command_finds_as_well_as_the_manual_says(kvasir: Kvasir, shared_data: Path) -> None:
    folder = shared_data / "retrieval" / "xquad-en"
    report = kvasir("evaluate", "retrieval", "--json", str(folder)).json
    assert (report["documents"], report["queries"]) == (240, 1190)
    assert report["metrics"]["ndcg@10"] >= 0.978


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A corpus of four lines about different things, and a question that the third one answers."""
    about = [f"{name} is known for {what}." for name, what in GODS.items()]
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "gods.md").write_text("\n".join(about) + "\n", newline="")
    start = len("\n".join(about[:2])) + 1
    span = {"start_index": start, "end_index": start + len(about[2])}
    row = {"corpus_id": "gods", "question": "What is Freyja known for?", "references": [span]}
    write_lines(tmp_path / "lines" / "questions.jsonl", [row])
    return tmp_path / "lines"


def test_a_splitter_that_cuts_out_the_answer_is_perfect(kvasir: Kvasir, lines: Path) -> None:
    command = ["evaluate", "chunking", "lines", "--top-k", "1", "--json", *BY_LINE]
    exact = kvasir(*command, "1").json
    assert (exact["chunks"], exact["questions"]) == (4, 1)
    assert (exact["metrics"]["recall"], exact["corpora"]["gods"]["recall"]) == (1.0, 1.0)
    assert exact["metrics"]["precision"] > 0.9
    whole = kvasir(*command, "4").json
    assert (whole["chunks"], whole["metrics"]["recall"]) == (1, 1.0)
    assert whole["metrics"]["precision"] < 0.3
    assert [path.name for path in lines.parent.iterdir()] == ["lines"]


def test_the_table_of_chunking_has_a_row_for_each_corpus(kvasir: Kvasir, lines: Path) -> None:
    shown = kvasir("evaluate", "chunking", "lines", *BY_LINE, "1").out
    heads, gods, everything, chunks = shown.splitlines()
    assert heads.split() == ["corpus", "recall", "precision", "iou", "precision_omega"]
    assert gods.split()[:2] == ["gods", "1.0000"]
    assert everything.split()[1:] == gods.split()[1:]
    assert chunks.startswith("4 chunks of ")
