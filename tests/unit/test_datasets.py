"""Data sets in BEIR's layout are read, and faults named with their line."""

import json

import pytest

from kvasir.core.errors import RequestError
from kvasir.evaluation.datasets import load_dataset


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "small"
    (root / "qrels").mkdir(parents=True)
    write(
        root / "corpus.jsonl",
        {"_id": "a", "title": "T", "text": "one\u2028two"},
        {"_id": "b", "text": "x"},
    )
    write(
        root / "queries.jsonl",
        {"_id": "1", "text": "first?", "answers": ["one"]},
        {"_id": "2", "text": "not judged"},
        {"_id": "3", "text": "third?"},
    )
    (root / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n3\tb\t2\n1\ta\t1\n", encoding="utf-8"
    )
    return root


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_folder_is_read(folder):
    data = load_dataset(folder)
    assert data.name == "small"
    assert [(p.id, p.title, p.text) for p in data.passages] == [
        ("a", "T", "one\u2028two"),
        ("b", "", "x"),
    ]
    assert data.queries[0].answers == ("one",)
    assert data.qrels == {"1": {"a": 1}, "3": {"b": 2}}


def test_questions_without_judgements_are_left_out_and_judgements_follow_the_questions(folder):
    data = load_dataset(folder)
    assert [query.id for query in data.queries] == ["1", "3"] == list(data.qrels)


def test_a_byte_order_mark_and_a_missing_header_are_accepted(folder):
    (folder / "qrels" / "test.tsv").write_text("\ufeff1\ta\t1\n", encoding="utf-8")
    assert load_dataset(folder).qrels == {"1": {"a": 1}}


def test_the_only_split_is_taken_whatever_its_name(folder):
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "dev.tsv")
    assert load_dataset(folder).qrels == {"1": {"a": 1}, "3": {"b": 2}}


def test_a_missing_split_is_named_with_those_that_exist(folder):
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "dev.tsv")
    (folder / "qrels" / "train.tsv").write_text("1\ta\t1\n", encoding="utf-8")
    with pytest.raises(RequestError, match=r"test\.tsv is missing; splits found in .*: dev, train"):
        load_dataset(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{broken', r"corpus\.jsonl, line 2: not valid"),
        ("corpus.jsonl", '["a"]', r"line 1: a JSON object"),
        ("corpus.jsonl", '\n{"_id": "a"}', r"line 2: 'text' must be a text, not None"),
        (
            "corpus.jsonl",
            '{"_id":"a","text":"x"}\n{"_id":"a","text":"y"}',
            r"line 2: .*second time",
        ),
        ("corpus.jsonl", "", r"holds no documents"),
        ("queries.jsonl", '{"_id":"1","text":"x","answers":"y"}', r"line 1: 'answers'"),
        ("queries.jsonl", "", r"holds no questions"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n1 a 1\n", r"line 2: 3 columns"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n9\ta\t1\n", r"line 2: no question '9'"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\tz\t1\n", r"line 2: no document 'z'"),
        ("qrels/test.tsv", "q\tc\ts\n1\ta\tyes\n", r"line 2: the score 'yes'"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\n", r"holds no judgements"),
    ],
)
def test_a_fault_is_named_with_its_file_and_line(folder, name, content, message):
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(RequestError, match=message):
        load_dataset(folder)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(RequestError, match=f"{name} is missing"):
        load_dataset(folder)


def test_text_that_is_not_utf_8_is_said_to_be_so(folder):
    (folder / "corpus.jsonl").write_bytes(b'{"_id": "a", "text": "\xff"}')
    with pytest.raises(RequestError, match="not UTF-8"):
        load_dataset(folder)


def test_a_path_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(RequestError, match="is not a folder"):
        load_dataset(tmp_path / "nowhere")
