"""The questions of the benchmark fit the documents that stand beside them."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from kvasir.evaluation.question_sets import HALVES, half_of, load_question_set

FOLDER = Path(__file__).parents[2] / "bench" / "questions"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The script that builds the library."""
    spec = importlib.util.spec_from_file_location("build_questions", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_every_passage_of_our_own_documents_is_in_them(build: ModuleType, tmp_path: Path) -> None:
    build.build_own(tmp_path)
    problems = build.check(tmp_path)
    assert [problem for problem in problems if "own/" in problem] == []
    assert [problem for problem in problems if problem.startswith("only ")] == []


def test_half_of_the_questions_are_about_packages_and_both_halves_have_every_kind() -> None:
    asked = load_question_set(FOLDER / "questions.jsonl")
    first = [question.passages[0][0].document for question in asked if question.passages]
    assert sum(not name.startswith("own/") for name in first) >= len(first) / 2
    halves = half_of(asked)
    for half in HALVES:
        counted = Counter(question.kind for question in asked if halves[question.id] == half)
        assert len(counted) == 16
        assert min(counted.values()) >= 5
