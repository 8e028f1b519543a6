"""The operator exports the log of answers on the command line."""

import json
from datetime import UTC, datetime

import pytest

from kvasir.app import App
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.core.wire import from_json
from kvasir.evaluation.datasets import load_questions
from kvasir.settings.schema import Settings


@pytest.fixture
def logged(tmp_path):
    """Two answers of different users and days."""
    answers = [
        LoggedAnswer(
            id=f"answer-{number}",
            user_id=number,
            collection="tea",
            question=f"Question {number}?",
            answer=f"Té verde\u2028{number}.\n[1]",
            refused=False,
            sources=("upload:tea.md",),
            model="extractive",
            seconds=0.25,
            date=datetime(2026, 5, number, 3, tzinfo=UTC),
        )
        for number in (1, 2)
    ]
    with App(Settings(data_dir=tmp_path / "kvasir-data")) as app:
        for answer in answers:
            app.services.answer_log.record(answer)
    return answers


def lines(text):
    return [from_json(LoggedAnswer, json.loads(line)) for line in text.split("\n") if line]


def test_the_answers_of_all_users_are_exported(kvasir, logged):
    assert lines(kvasir("answers", "export").out) == logged
    assert lines(kvasir("answers", "export", "--since", "2026-05-01T04:00:00").out) == logged[1:]


def test_an_export_goes_into_a_new_file(kvasir, logged, tmp_path):
    done = kvasir("answers", "export", "--to", "answers.jsonl")
    assert done.out == ""
    assert done.err == "2 answers written to 'answers.jsonl'\n"
    assert lines((tmp_path / "answers.jsonl").read_text("utf-8")) == logged
    assert "there is a file" in kvasir("answers", "export", "--to", "answers.jsonl", code=2).err
    assert "cannot write" in kvasir("answers", "export", "--to", "no/folder", code=2).err


def test_an_export_is_a_file_of_questions_for_evaluations(kvasir, logged, tmp_path):
    kvasir("answers", "export", "--to", "answers.jsonl")
    assert load_questions(tmp_path / "answers.jsonl") == ["Question 1?", "Question 2?"]


def test_an_empty_log_is_an_empty_export(kvasir):
    assert kvasir("answers", "export").out == ""
