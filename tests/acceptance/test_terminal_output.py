"""What documents and their names hold must not act on the terminal of who reads about them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Kvasir = Callable[..., Any]

RENAMING = "\x1b]0;yours\x07"
"""Gives a terminal's window another title."""
CLEARING = "\x9b2J"
"""Clears the screen."""
ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
QUESTION = "What is the Sun?"


@pytest.fixture(scope="module")
def sun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A document whose name, title, metadata, heading and text act on a terminal."""
    path = tmp_path_factory.mktemp("hostile") / f"sun{RENAMING}.md"
    path.write_text(
        f'---\ntitle: "The Sun\\e]0;yours\\a"\nauthor: "\\e]0;yours\\aAnn"\n---\n'
        f"# The {CLEARING}Sun\n\nThe Sun is a{CLEARING} star.\n"
    )
    return path


@pytest.fixture(scope="module")
def hostile(ingested_for_module: Kvasir, sun: Path) -> Kvasir:
    """Runs ``kvasir`` where that document is among others."""
    ingested_for_module("ingest", str(sun))
    return ingested_for_module


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["people", "programs"])
@pytest.mark.parametrize("command", ["list", "show", "search", "ask"])
def test_control_characters_of_documents_do_not_reach_the_terminal(
    hostile: Kvasir, sun: Path, command: str, form: tuple[str, ...]
) -> None:
    commands = {
        "list": ("documents", "list"),
        "show": ("documents", "show", "--text", str(sun)),
        "search": ("search", QUESTION),
        "ask": ("ask", QUESTION),
    }
    shown = hostile(*commands[command], *form).out
    assert "sun" in shown
    assert not ACTING.search(shown)


def test_an_unknown_documents_name_does_not_act_on_the_terminal(hostile: Kvasir) -> None:
    told = hostile("documents", "show", f"moon{RENAMING}{CLEARING}.md", code=2).err
    assert "there is no document 'moon" in told
    assert not ACTING.search(told)


def test_a_program_gets_names_and_texts_as_they_are(hostile: Kvasir, sun: Path) -> None:
    row = hostile("documents", "show", "--json", "--text", str(sun)).json
    assert row["source_uri"] == str(sun)
    assert f"a{CLEARING} star" in row["text"]


@pytest.mark.parametrize("command", [("ask",), ("chat", "-qq", "--rag")], ids=["ask", "chat"])
def test_a_documents_name_adds_no_source_under_an_answer(
    kvasir: Kvasir, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "sun\n[2] trusted.md").write_text("The Sun is a star.\n")
    kvasir("ingest", ".")
    lines = kvasir(*command, QUESTION).out.splitlines()
    assert any(line.startswith(r"[1] sun\n[2] trusted.md") for line in lines)
    assert not any(line.startswith("[2]") for line in lines)


def test_the_questions_of_a_data_set_do_not_act_on_the_terminal(
    kvasir: Kvasir, tmp_path: Path
) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    document = {"_id": "d", "title": "Sun", "text": "The Sun is a star."}
    question = {"_id": "q", "text": QUESTION + RENAMING, "answers": ["a star"]}
    for name, row in (("corpus", document), ("queries", question)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    shown = kvasir("evaluate", "answers", "--cases", ".").out
    assert QUESTION in shown
    assert not ACTING.search(shown)
