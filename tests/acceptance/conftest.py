"""The command line as a person or a program starts it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@dataclass(frozen=True)
class Run:
    """One finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Kvasir = Callable[..., Run]


def kvasir_in(folder: Path) -> Kvasir:
    """Returns a function that runs ``kvasir`` in a folder, without settings from outside."""

    def run(
        *arguments: str, code: int | None = 0, typed: str | None = None, **environment: str
    ) -> Run:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("KVASIR__")}
        done = subprocess.run(
            [sys.executable, "-m", "kvasir", *arguments],
            cwd=folder,
            env=inherited | environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, done.stdout + done.stderr
        return Run(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def kvasir(tmp_path: Path) -> Kvasir:
    """Runs ``kvasir`` in a folder of the test's own."""
    return kvasir_in(tmp_path)


def write_moon_and_tea(folder: Path) -> Path:
    """Writes two notes about very different things."""
    folder.mkdir()
    (folder / "moon.md").write_text(
        "# The Moon\n\nThe Moon orbits the Earth at a distance of 384,400 kilometres.\n\n"
        "Its surface is covered with craters.\n"
    )
    (folder / "tea.txt").write_text("Green tea is steeped for two minutes at 80 degrees.\n")
    return folder


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Two notes, not ingested."""
    return write_moon_and_tea(tmp_path / "notes")


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Kvasir:
    """Runs ``kvasir`` where two notes are ingested; for commands that change nothing."""
    folder = tmp_path_factory.mktemp("ingested")
    write_moon_and_tea(folder / "notes")
    run = kvasir_in(folder)
    run("ingest", "notes")
    return run


@pytest.fixture
def shared_data() -> Path:
    """The folder of real documents and data sets."""
    if not DATA.is_dir():
        pytest.skip(f"there are no data sets at {DATA}")
    return DATA
