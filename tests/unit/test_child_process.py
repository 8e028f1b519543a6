"""What a child process inherits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kvasir.core.environment import environment, module_command

SECRETS = {
    "HF_TOKEN": "hf_1",
    "OPENAI_API_KEY": "sk-1",
    "AWS_SECRET_ACCESS_KEY": "a",
    "PGPASSWORD": "b",
    "MAIL_PASSWORD": "c",
    "CLIENT_SECRET": "d",
    "KVASIR__RAG__VECTORDB__URI": "http://inside",
    "KVASIR__CATALOG__URL": "sqlite:///x",
    "https_proxy": "http://user:word@proxy:3128",
}


def test_a_child_inherits_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LANG", "C.UTF-8")
    inherited = environment({"OMP_NUM_THREADS": "1"})
    assert not SECRETS.keys() & inherited.keys()
    assert inherited["LANG"] == "C.UTF-8"
    assert inherited["OMP_NUM_THREADS"] == "1"


def test_a_child_finds_the_parents_modules_but_not_those_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "shown.py").write_text("import there; print(there.__file__)")
    (library / "there.py").write_text("")
    here = tmp_path / "here"
    here.mkdir()
    (here / "there.py").write_text("raise SystemExit('taken over')")
    monkeypatch.setattr(sys, "path", ["", *sys.path, str(library)])
    monkeypatch.chdir(here)
    done = subprocess.run(
        module_command("shown"), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(library / "there.py"), done.stderr
