"""The figures of chunking, against values worked out by hand and the definition's authors."""

import json
from pathlib import Path

import numpy as np
import pytest

from kvasir.components.splitters.window import WindowSplitter
from kvasir.core.errors import RequestError
from kvasir.core.run import Progress, Run
from kvasir.core.wire import to_json
from kvasir.evaluation.chunking import (
    DenseSearch,
    StoreSearch,
    evaluate_chunking,
    load_chunking_dataset,
)
from kvasir.testing.fakes import FakeAnalyzer, FakeEmbedder, MemoryStore

DATA = Path(__file__).parents[3] / "shared" / "data" / "chunking"


@pytest.fixture
def folder(tmp_path):
    """Two corpora of ten-character lines; line 3 of ``a`` answers."""
    for name in "ab":
        lines = "".join(f"{name} line {n:02}\n" for n in range(10))
        (tmp_path / f"{name}.md").write_text(lines, newline="")
    write(tmp_path, [{"start_index": 32, "end_index": 37}])
    return tmp_path


def write(folder, references, corpus="a"):
    row = {"corpus_id": corpus, "question": "What?", "references": references}
    (folder / "questions.jsonl").write_text(json.dumps(row) + "\n")


def ask(folder, *questions):
    rows = [
        {
            "corpus_id": corpus,
            "question": text,
            "references": [{"start_index": start, "end_index": end}],
        }
        for corpus, text, start, end in questions
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def fixed(*spans):
    """Retrieves chunks by document title and start."""
    return lambda chunks, questions, top_k: [
        [chunk for chunk in chunks if (chunk.metadata["title"], chunk.start) in spans][:top_k]
        for _ in questions
    ]


def measure(folder, splitter, retrieve):
    return evaluate_chunking(load_chunking_dataset(folder), splitter, retrieve).metrics


def test_a_chunk_around_the_reference_recalls_it_and_costs_its_length(folder):
    metrics = measure(folder, WindowSplitter("line", 1), fixed(("a", 30)))
    assert metrics == {"recall": 1.0, "precision": 0.5, "iou": 0.5, "precision_omega": 0.5}


def test_other_chunks_cost_precision_and_count_for_nothing(folder):
    metrics = measure(folder, WindowSplitter("line", 1), fixed(("a", 30), ("a", 0), ("a", 60)))
    assert metrics["recall"] == 1.0
    assert metrics["precision"] == pytest.approx(5 / 30)
    assert metrics["iou"] == pytest.approx(5 / 30)
    assert metrics["precision_omega"] == 0.5


def test_chunks_of_another_corpus_recall_nothing(folder):
    ask(folder, ("a", "What?", 32, 37), ("b", "What?", 32, 37))
    result = evaluate_chunking(
        load_chunking_dataset(folder), WindowSplitter("line", 1), fixed(("a", 30))
    )
    assert result.per_question["recall"].tolist() == [1.0, 0.0]
    assert result.per_question["precision"].tolist() == [0.5, 0.0]
    assert result.corpora["b"]["iou"] == 0.0


def test_what_is_missed_costs_recall_and_iou(folder):
    write(folder, [{"start_index": 35, "end_index": 45}])
    metrics = measure(folder, WindowSplitter("line", 1), fixed(("a", 30)))
    assert metrics["recall"] == 0.5
    assert metrics["precision"] == 0.5
    assert metrics["iou"] == pytest.approx(5 / 15)
    assert metrics["precision_omega"] == 0.5


def test_text_that_two_retrieved_chunks_share_counts_twice_in_precision(folder):
    metrics = measure(folder, WindowSplitter("line", 2, 1), fixed(("a", 20), ("a", 30)))
    assert metrics["recall"] == 1.0
    assert metrics["precision"] == pytest.approx(5 / 40)
    assert metrics["precision_omega"] == pytest.approx(5 / 30)


def test_nothing_retrieved_scores_zero(folder):
    metrics = measure(folder, WindowSplitter("line", 1), fixed())
    assert (metrics["recall"], metrics["precision"], metrics["iou"]) == (0, 0, 0)


def test_dense_and_store_search_find_the_words_of_the_question(folder):
    ask(folder, ("a", "a 03", 30, 39), ("b", "b 07", 70, 79))
    dataset = load_chunking_dataset(folder)
    embedder = FakeEmbedder(dimension=1024)
    reported = []
    run = Run(progress=reported.append)
    for retrieve in (
        DenseSearch(embedder, run),
        StoreSearch(embedder, lambda: MemoryStore(dimension=1024, analyzer=FakeAnalyzer())),
    ):
        result = evaluate_chunking(
            dataset,
            WindowSplitter("line", 1),
            retrieve,
            top_k=1,
            run=run,
        )
        assert result.metrics["recall"] == 1.0
        assert result.chunks == 20
        printed = to_json(result)
        assert printed["questions"] == 2
        assert printed["corpora"]["b"]["precision"] == 0.9
        assert json.dumps(printed)
    assert Progress("embed", 20, 20, "chunks") in reported
    assert Progress("split", 2, 2, "documents") in reported


def test_carriage_returns_are_counted_as_they_stand(folder):
    (folder / "a.md").write_bytes(b"one\r\ntwo\r\n")
    write(folder, [{"start_index": 5, "end_index": 8}])
    (document,) = load_chunking_dataset(folder).documents
    assert document.text[5:8] == "two"


def test_a_language_that_is_set_is_the_one_of_all_corpora(folder):
    ask(folder, ("a", "a 03", 30, 39))
    (document,) = load_chunking_dataset(folder, language="es").documents
    assert document.metadata["language"] == "es"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no questions"),
        ("{", "line 1"),
        ('{"corpus_id": "a", "question": "q"}', "line 1: KeyError: 'references'"),
        ('{"corpus_id": "x", "question": "q", "references": []}', "x.md is missing"),
        ('{"corpus_id": "../a", "question": "q", "references": []}', "missing"),
        ('{"corpus_id": "a", "question": "q", "references": []}', "a reference lies outside"),
        (
            '{"corpus_id": "a", "question": "q", "references": '
            '[{"start_index": 0, "end_index": 999}]}',
            "a reference lies outside of a.md",
        ),
    ],
)
def test_malformed_data_is_named_by_file_and_line(folder, content, message):
    (folder / "questions.jsonl").write_text(content)
    with pytest.raises(RequestError, match=message):
        load_chunking_dataset(folder)


def test_a_corpus_that_is_not_utf_8_is_named(folder):
    (folder / "a.md").write_bytes(b"caf\xe9\n" * 10)
    with pytest.raises(RequestError, match=r"a\.md is not UTF-8 text"):
        load_chunking_dataset(folder)


def test_a_folder_without_questions_says_what_is_needed(tmp_path):
    with pytest.raises(RequestError, match=r"questions\.jsonl is missing"):
        load_chunking_dataset(tmp_path)


def test_the_published_references_stand_where_their_indices_say():
    if not DATA.exists():
        pytest.skip(f"needs {DATA}")
    dataset = load_chunking_dataset(DATA)
    assert len(dataset.questions) == 472
    texts = {document.id: document.text for document in dataset.documents}
    lines = (DATA / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    for question, line in zip(dataset.questions, lines, strict=True):
        quoted = [reference["content"] for reference in json.loads(line)["references"]]
        found = [texts[question.document_id][start:end] for start, end in question.references]
        assert found == quoted


def test_whole_corpora_as_chunks_have_full_recall_and_hardly_any_precision():
    if not DATA.exists():
        pytest.skip(f"needs {DATA}")
    result = evaluate_chunking(
        load_chunking_dataset(DATA),
        WindowSplitter("word", 10**9),
        lambda chunks, questions, top_k: [chunks] * len(questions),
    )
    assert result.metrics["recall"] == pytest.approx(1.0, abs=0.02)
    assert result.metrics["precision"] < 0.001
    assert np.all(result.per_question["iou"] <= result.per_question["precision"] + 1e-12)
