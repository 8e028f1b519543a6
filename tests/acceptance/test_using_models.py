"""``kvasir models use``: typed, in real processes, killed in the middle, and the hint to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Kvasir = Callable[..., Any]

FILES, LINES = 20, 10
CHUNKS = FILES * LINES
CALL = 64
"""Passages in the first call of a model."""
NAMED = ("--set", "rag.embedding_model.type=slow_models:SlowEmbedder")
OLD = (*NAMED, "--set", "rag.embedding_model.name=old")
BY_LINE = ("--split-by", "line", "--split-length", "1")
SLOW = '''"""A fake model that embeds once, if told to, and then is busy."""
import os, time
from kvasir.testing.fakes import NamedEmbedder

class SlowEmbedder(NamedEmbedder):
    def embed_documents(self, texts):
        if self.name == "new-32" and "BUSY" in os.environ:
            # Progress is a line a second: after the first call one is due.
            time.sleep(900 if self.embedded else 1.1)
        return super().embed_documents(texts)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of notes, with a plug-in of a slow model beside it."""
    (tmp_path / "slow_models.py").write_text(SLOW)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "notes").mkdir()
    for file in range(FILES):
        lines = [f"Note {file} says subject{file}x{line}.\n" for line in range(LINES)]
        (tmp_path / f"notes/{file}.txt").write_text("".join(lines))
    return tmp_path


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command as a process."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("KVASIR__")}
    own = {"KVASIR__DATA_DIR": "kvasir-data", "PYTHONPATH": str(folder), "BUSY": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "kvasir", *arguments],
        cwd=folder,
        env=inherited | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_embedded(process: subprocess.Popen[str], chunks: int) -> None:
    """Read the progress of a process until so many chunks are embedded."""
    assert process.stderr is not None
    for line in process.stderr:
        event = json.loads(line)["progress"]
        if event["stage"] == "embedding again" and event["done"] >= chunks:
            return
    raise AssertionError(process.communicate())


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


def best(run: Any) -> str:
    return Path(run.json[0]["chunk"]["metadata"]["source_uri"]).name


def test_a_kill_in_the_middle_loses_nothing_and_the_former_model_answers_until_the_end(
    kvasir: Kvasir, folder: Path
) -> None:
    kvasir("ingest", "notes", *BY_LINE, *OLD)
    for reached, end in ((CALL, signal.SIGKILL), (2 * CALL, signal.SIGINT)):
        with start(folder, "models", "use", "new-32", *NAMED, "--json") as process:
            try:
                wait_until_embedded(process, reached)
                wait_for(folder / "kvasir-data/owner.json")
                # Through the process that changes the model, which holds the index.
                assert best(kvasir("search", "subject7x7", "--json", *OLD)) == "7.txt"
                process.send_signal(end)
                out, err = process.communicate(timeout=60)
            finally:
                process.kill()
        if end == signal.SIGINT:
            assert process.returncode == 130, (out, err)
            assert "the former model answers; run the same command again" in err
        assert best(kvasir("search", "subject8x8", "--json", *OLD)) == "8.txt"
        assert "is sound" in kvasir("doctor", *OLD).out
        (listed,) = kvasir("collections", "list", "--json").json
        assert (listed["embedder"], listed["dimension"]) == ("old", 64)
    said = kvasir("models", "use", "new-32", *OLD)
    assert "has the model 'new-32' now, 32 dimensions" in said.out
    assert f"{CHUNKS - 2 * CALL} chunks embedded, {2 * CALL} were embedded before" in said.out
    assert "new collections have 'old'; to change that" in said.err
    assert "      name: new-32\n" in said.err
    assert best(kvasir("search", "subject9x9", "--json", *OLD)) == "9.txt"
    assert "is sound" in kvasir("doctor", *OLD).out
    assert "already" in kvasir("models", "use", "new-32", *OLD).out
    (listed,) = kvasir("collections", "list", "--json").json
    assert (listed["embedder"], listed["dimension"]) == ("new-32", 32)
    assert listed["chunk_count"] == CHUNKS


def test_all_collections_or_one_are_embedded_again(kvasir: Kvasir, folder: Path) -> None:
    for name in ("one", "two"):
        kvasir("ingest", "notes/1.txt", "--collection", name, *OLD)
    (report,) = kvasir("models", "use", "a", "--collection", "two", "--json", *OLD).json
    assert (report["collection"], report["changed"], report["former"]) == ("two", True, "old")
    reports = kvasir("models", "use", "a", "--json", *OLD).json
    assert [(each["collection"], each["changed"]) for each in reports] == [
        ("one", True),
        ("two", False),
    ]
    missing = kvasir("models", "use", "a", "--collection", "three", *OLD, code=2)
    assert "there is no collection 'three'" in missing.err


def test_another_model_in_the_settings_is_one_sentence_with_the_remedy(
    kvasir: Kvasir, folder: Path
) -> None:
    kvasir("ingest", "notes/1.txt", *OLD)
    error = kvasir("search", "x", *NAMED, "--set", "rag.embedding_model.name=b", code=3).err
    assert error.count("\n") == 1
    assert "made with the embedding model 'old'" in error
    assert "or embed the collection again with 'kvasir models use NAME'" in error


def test_a_model_that_is_nowhere_is_refused_with_what_to_do(kvasir: Kvasir, notes: Path) -> None:
    kvasir("ingest", "notes")
    error = kvasir("models", "use", "multilingual", HF_HUB_OFFLINE="1", code=3).err
    assert "model 'intfloat/multilingual-e5-small' was not found" in error
    assert "run 'kvasir models pull intfloat/multilingual-e5-small' where there is a net" in error
    assert "moon.md" in kvasir("search", "craters of the Moon").out


@pytest.mark.parametrize("mixed", [False, True], ids=["alone", "mixed"])
def test_a_question_in_another_language_gets_a_hint_that_names_the_remedy(
    kvasir: Kvasir, tmp_path: Path, mixed: bool
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/te.txt").write_text(
        "El té verde se deja reposar durante dos minutos en agua a ochenta grados. "
        "El té negro necesita cuatro minutos y agua hirviendo para dar todo su sabor.\n"
    )
    if mixed:
        (tmp_path / "notes/moon.txt").write_text(
            "The Moon orbits the Earth at a distance of 384,400 kilometres, and its surface is "
            "covered with craters that were made by falling rocks.\n"
        )
    kvasir("ingest", "notes")
    question = "How long should the green leaves be steeped before drinking?"
    hint = "'kvasir models use multilingual' embeds the collection again with one"
    assert hint in kvasir("ask", question, code=None).err
    assert any(hint in note for note in kvasir("ask", question, "--json", code=None).json["notes"])


def test_a_model_that_is_nowhere_is_refused_without_a_collection_too(
    kvasir: Kvasir, tmp_path: Path
) -> None:
    run = kvasir("models", "use", "no-such-model", HF_HUB_OFFLINE="1", code=3)
    assert run.err.count("\n") == 1
    assert "model 'no-such-model' was not found" in run.err
    assert run.out == ""


def test_a_model_may_be_chosen_before_there_is_a_collection(kvasir: Kvasir, folder: Path) -> None:
    said = kvasir("models", "use", "new-32", *NAMED).err
    assert "no collections yet" in said
    assert "      name: new-32\n" in said
