"""``kvasir evaluate`` measures what the manual says, and leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from manual_commands import file_of

from kvasir.app import App
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.settings.schema import Settings

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


@pytest.fixture
def garden(kvasir: Kvasir, tmp_path: Path) -> Kvasir:
    """The collection of the manual's example, with its questions."""
    page = (Path(__file__).parents[2] / "docs" / "evaluating.md").read_text("utf-8")
    section = page.split("## How do I measure my own collection?")[1]
    (tmp_path / "garden.md").write_text(file_of(section, "markdown"), "utf-8")
    (tmp_path / "questions.jsonl").write_text(file_of(section, "jsonl") + "\n", "utf-8")
    kvasir("ingest", "garden.md")
    return kvasir


def test_a_file_that_cannot_be_written_is_refused_before_the_questions_are_asked(
    kvasir: Kvasir, tmp_path: Path
) -> None:
    (tmp_path / "questions.jsonl").write_text('{"question": "a?"}\n', "utf-8")
    said = kvasir(
        "evaluate", "questions", "questions.jsonl", "--details", "nowhere/out.jsonl", code=2
    ).err
    folder = tmp_path / "nowhere"
    assert (
        said == f"error: 'nowhere/out.jsonl' cannot be written: make the folder '{folder}' first\n"
    )


def test_the_manuals_ten_questions_are_asked_and_judged(garden: Kvasir, tmp_path: Path) -> None:
    report = garden(
        "evaluate", "questions", "--json", "--details", "out.jsonl", "questions.jsonl"
    ).json
    assert report["all"]["questions"] == 10
    assert report["all"]["top_10"] == {"count": 8, "total": 8} | _interval(report["all"]["top_10"])
    assert report["all"]["satisfying"]["count"] >= 5
    assert (report["kinds"]["fact"]["questions"], report["languages"]["de"]["questions"]) == (3, 1)
    cases = {row["id"]: row for row in read_lines(tmp_path / "out.jsonl")}
    assert len(cases) == 10
    assert cases["key"]["satisfying"] is ("Priya Nair" in cases["key"]["answer"])
    assert cases["foreign"]["satisfying"] is cases["foreign"]["refused"]
    assert cases["due"]["rank"] == 1
    assert cases["due"]["sources"][0].endswith("garden.md")
    halves = [
        garden("evaluate", "questions", "--json", "--half", half, "questions.jsonl").json
        for half in ("fit", "report")
    ]
    assert sum(half["all"]["questions"] for half in halves) == 10


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Reads JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _interval(share: dict[str, Any]) -> dict[str, Any]:
    assert share["low"] < share["share"] == 1.0
    return {key: share[key] for key in ("share", "low", "high")}


def test_the_table_of_questions_has_a_row_for_each_kind_and_language(garden: Kvasir) -> None:
    lines = garden("evaluate", "questions", "questions.jsonl").out.splitlines()
    assert lines[0].split()[:2] == ["kind", "asked"]
    assert [line.split()[0] for line in lines[1:8]] == [
        *("fact", "follow-up", "list", "near", "off-topic", "other", "several"),
    ]
    by_language = [line.split()[:2] for line in lines if line.startswith(("de ", "none ", "all "))]
    assert by_language == [["all", "10"], ["none", "9"], ["de", "1"], ["all", "10"]]


def test_the_export_of_the_answers_log_is_asked_again(garden: Kvasir, tmp_path: Path) -> None:
    question, uri = "What is the rent for a standard plot?", str(tmp_path / "garden.md")
    answer = LoggedAnswer(
        *("a1", 0, "default", question, "96 pounds"),
        False,
        (uri,),
        "quotes",
        0.1,
        datetime.now(UTC),
    )
    with App(Settings(data_dir=tmp_path / "kvasir-data")) as app:
        app.services.answer_log.record(answer)
    garden("answers", "export", "--to", "log.jsonl")
    rows = read_lines(tmp_path / "log.jsonl")
    report = garden("evaluate", "questions", "--json", "log.jsonl").json
    assert report["kinds"]["not rated"]["satisfying"]["total"] == 0
    write_lines(tmp_path / "rated.jsonl", [{**rows[0], "rating": 1}])
    report = garden("evaluate", "questions", "--json", "rated.jsonl").json
    assert report["kinds"]["rated good"]["satisfying"]["count"] == 1


def test_a_fault_in_a_question_file_is_one_sentence(garden: Kvasir, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"question": "a?", "musst": ["b"]}\n')
    said = garden("evaluate", "questions", "bad.jsonl", code=2).err
    assert "bad.jsonl, line 1: 'musst' is not known here" in said
