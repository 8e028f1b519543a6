"""The examples run as a reader runs them: a script in a process, a notebook in a clean kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "rag_ingest_and_chat.ipynb"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "moon.md").write_text("# Moon\n\nThe Moon is 384,400 kilometres from the Earth.\n")
    (folder / "tea.txt").write_text("Green tea is steeped for two minutes at 80 degrees.\n")
    return folder


def ingest(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / "ingest.py"), *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_script_ingests_with_the_defaults_of_the_proposal(notes: Path) -> None:
    pytest.importorskip("pymilvus")
    done = ingest(notes.parent, "notes", "--ask", "How far away is the Moon?")
    assert done.returncode == 0, done.stderr
    assert "window splitter, sentence-transformers/all-minilm-l6-v2, milvuslite" in done.stdout
    assert "2 added" in done.stdout
    assert "384,400" in done.stdout
    assert "moon.md" in done.stdout
    assert (notes.parent / "rag-output.db").exists()


def test_the_script_takes_other_choices(notes: Path) -> None:
    (notes / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    line = ["notes", "--preset", "default", "--split-by", "word", "--split-length", "4"]
    done = ingest(notes.parent, *line, "--set", "data_dir=elsewhere", "--vectordb-uri", "index")
    assert done.returncode == 4, done.stderr
    assert "window splitter" in done.stdout
    assert "qdrant at index" in done.stdout
    assert "broken.pdf" in done.stderr
    assert (notes.parent / "index").is_dir()
    assert (notes.parent / "elsewhere" / "catalog.db").is_file()


def test_a_mistake_is_one_line(notes: Path) -> None:
    done = ingest(notes.parent, "notes", "--preset", "default", "--split-by", "chapter")
    assert done.returncode == 1
    assert done.stderr.startswith("error: setting 'rag.splitter.split_by'")
    assert done.stderr.count("\n") == 1


def test_a_missing_extra_is_named_with_how_to_install_it(notes: Path) -> None:
    (notes.parent / "pymilvus.py").write_text("raise ModuleNotFoundError(name='pymilvus')\n")
    done = ingest(notes.parent, "notes", PYTHONPATH=str(notes.parent))
    assert done.returncode == 1
    assert "pip install" in done.stderr
    assert "[milvus]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_script_has_the_options_of_the_proposal_and_shows_their_defaults(
    tmp_path: Path,
) -> None:
    done = ingest(tmp_path, "--help", COLUMNS="200", KVASIR__RAG__VECTORDB__TOKEN="token-s3cret")
    shown = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stderr
    for name in ("vectordb-token", "vectordb-username", "vectordb-password", "model-token"):
        assert f"--{name}" in shown
    for value in ("word", "200", "milvuslite", "./rag-output.db"):
        assert f"; default: {value})" in shown
    assert "s3cret" not in shown


def test_a_token_given_to_the_script_is_shown_nowhere(notes: Path) -> None:
    pytest.importorskip("pymilvus")
    line = ["notes", "--vectordb-type", "milvus", "--vectordb-uri", "http://127.0.0.1:9"]
    done = ingest(notes.parent, *line, "--vectordb-token", "token-s3cret")
    assert done.returncode == 1
    assert "milvus" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.filterwarnings("default")  # of the kernel's client, not of ours
def test_the_notebook_runs_from_a_clean_kernel_and_draws_its_plots(monkeypatch) -> None:
    # Whatever the reader's environment says, the plots are in the notebook.
    monkeypatch.setenv("MPLBACKEND", "Agg")
    nbformat = pytest.importorskip("nbformat", reason="the extra examples is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the extra examples is not installed")
    pytest.importorskip("ipykernel", reason="the extra examples is not installed")
    pytest.importorskip("matplotlib", reason="the extra examples is not installed")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        # Without these, outputs that come late on a busy machine are left out without a word.
        iopub_timeout=120,
        raise_on_iopub_timeout=True,
        resources={"metadata": {"path": str(EXAMPLES)}},
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    plots = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(plots) == 3
    printed = "".join(output.get("text", "") for output in outputs)
    assert "documents.md" in printed
    assert "True 0.0" in printed, "the question about football must be refused"
    assert "0 chunks embedded" in printed
    if find_spec("milvus_lite"):
        assert "documents in ./rag-output.db" in printed
        assert "'rag-output.db'" in printed
    assert not (EXAMPLES / "rag-output.db").exists()


def test_the_notebook_is_kept_without_outputs() -> None:
    nbformat = pytest.importorskip("nbformat", reason="the extra examples is not installed")
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
