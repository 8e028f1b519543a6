"""The main job runs without what only Linux has: ``resource``, ``fcntl``, ``prctl``, ``/proc``."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent.parent / "support" / "other_system"
SOURCES = Path(__file__).parent.parent.parent / "src" / "kvasir"
BEHIND_ONE_MODULE = ("import resource", "import fcntl", ".prctl(", '"/proc')


@pytest.fixture
def run(tmp_path):
    def run(*arguments):
        path = os.pathsep.join([str(SUPPORT), *filter(None, sys.path)])
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "KVASIR__DATA_DIR": str(tmp_path / "data")},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_the_modules_are_gone(run):
    for program in (
        "import resource",
        "import fcntl",
        "import ctypes; ctypes.CDLL(None).prctl",
        "from pathlib import Path; Path('/proc/self/stat').read_text()",
        "import os; os.killpg",
    ):
        assert run("-c", program).returncode == 1, program


def test_documents_are_ingested_searched_answered_and_deleted(run, tmp_path):
    (tmp_path / "tea.md").write_text("# Tea\n\nGreen tea is brewed at 80 degrees Celsius.\n")
    (tmp_path / "coffee.html").write_text("<h1>Coffee</h1><p>Coffee is brewed at 95 degrees.</p>")
    kvasir = ("-m", "kvasir")
    ingested = run(*kvasir, "ingest", "tea.md", "coffee.html")
    assert ingested.returncode == 0, ingested.stderr
    assert "2 added" in ingested.stdout + ingested.stderr
    found = run(*kvasir, "search", "How hot is green tea?")
    assert "80 degrees" in found.stdout, found.stderr
    answer = run(*kvasir, "ask", "How hot is green tea?")
    assert "80 degrees Celsius. [1]" in answer.stdout, answer.stderr
    again = run(*kvasir, "ingest", "tea.md", "coffee.html")
    assert "2 unchanged" in again.stdout + again.stderr
    assert run(*kvasir, "doctor").returncode == 0


def test_what_only_linux_has_is_used_by_one_module_alone():
    users = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if any(each in path.read_text("utf-8") for each in BEHIND_ONE_MODULE)
    }
    assert users == {"core/operating_system.py"}
