"""The manual is true: its examples run, its help texts are today's, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvasir.settings.loading import keys

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
_CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_VARYING = re.compile(r"in \d+\.\d s|\[\d+\]|line \d+, characters \d+-\d+|(?<=' in )[~/]\S+")
"""What a faster machine or another sentence in the manual changes: times, markers, places."""
_NEEDS_A_MODEL = re.compile("--generator (ollama|llama)")
_ANYTHING = "..."
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#|mailto:)([^)#\s]+)")


def test_the_help_texts_in_the_manual_are_those_of_the_command_line() -> None:
    # In a process of its own: a command keeps the names of its help option from its first use.
    command = [sys.executable, ROOT / "scripts/embed_help.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_setting_stands_in_the_manual() -> None:
    page = (ROOT / "docs/settings.md").read_text("utf-8")
    named = [key for key in keys() if not key.endswith(".options")]
    missing = [
        key
        for key in named
        if f"`{key}`" not in page and f"`.{key.rpartition('.')[2]}`" not in page
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_pages_that_are_there(page: Path) -> None:
    for target in _LINK.findall(page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["docs/python.md", "README.md"])
def test_the_python_examples_run_one_after_another(page: str, tmp_path: Path) -> None:
    blocks = _PYTHON.findall((ROOT / page).read_text("utf-8"))
    assert blocks, "the page has lost its examples"
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "documents.md").write_text((ROOT / "docs/documents.md").read_text())
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.xdist_group("documents")
def test_the_readmes_tour_shows_what_the_commands_print(
    kvasir: Callable[..., Any],
    kvasir_process: Callable[..., Any],
    tmp_path: Path,
    shared_data: Path,
) -> None:
    folders = {"papers": shared_data / "documents", "scans": shared_data / "hostile"}
    for name, folder in {**folders, "docs": ROOT / "docs"}.items():
        shutil.copytree(folder, tmp_path / name)
    tour = list(_commands((ROOT / "README.md").read_text("utf-8")))
    assert sum(1 for _, shown in tour if shown) >= 5, "the tour has lost its output"
    for command, shown in tour:
        if not _NEEDS_A_MODEL.search(command):
            # The documents have been embedded in this process.
            start = kvasir if "ingest" in command else kvasir_process
            run = start(*shlex.split(command)[1:], code=None)
            assert run.code in (0, 4, 5), run.err
            printed = _lines(run.out + run.err)
            assert not shown or _fits(shown, printed), f"{command}\n{printed}"


def _commands(page: str) -> Iterator[tuple[str, str]]:
    """Yields the commands of a page's consoles, and what is shown as their output."""
    for block in _CONSOLE.findall(page):
        for step in block.split("$ ")[1:]:
            command, _, shown = step.partition("\n")
            yield command, _lines(shown)


def _lines(output: str) -> str:
    """Returns output without empty lines, and with varying numbers as ``#``."""
    return "".join(f"{_VARYING.sub('#', line)}\n" for line in output.splitlines() if line.strip())


def _fits(shown: str, printed: str) -> bool:
    pattern = re.escape(shown).replace(re.escape(f"{_ANYTHING}\n"), "(?:.*\n)*?")
    return re.fullmatch(pattern, printed) is not None
