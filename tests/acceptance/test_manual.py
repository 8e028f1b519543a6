"""The manual is true: its examples run, its help texts are today's, its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kvasir.settings import keys

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#|mailto:)([^)#\s]+)")


def test_the_help_texts_in_the_manual_are_those_of_the_command_line() -> None:
    spec = importlib.util.spec_from_file_location("embed_help", ROOT / "scripts/embed_help.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text("utf-8") == script.render(), "run 'make docs'"


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
