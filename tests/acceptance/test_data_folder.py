"""An index is found again from every folder below it, with its ledger and its settings."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

PRESETS = Path(__file__).parents[2] / "presets"

CHROMA = """\
rag:
  vectordb: {type: chroma, uri: ./chroma}
"""


@pytest.fixture
def project(tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with notes and a folder below it; the user's own data folder is beside it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    (tmp_path / "project" / "sub" / "deep").mkdir(parents=True)
    notes.rename(tmp_path / "project" / "notes")
    return tmp_path / "project"


def first_source(run: Any) -> str:
    source: str = run.json[0]["chunk"]["metadata"]["source_uri"]
    return source


def test_what_is_ingested_in_no_project_is_the_users_and_found_from_everywhere(
    kvasir_at: Callable[..., Any], project: Path, tmp_path: Path
) -> None:
    kvasir_at(project, "ingest", "notes")
    assert not (project / "kvasir-data").exists()
    assert (tmp_path / "xdg" / "kvasir" / "catalog.db").is_file()
    moon = str(project / "notes" / "moon.md")
    for folder in (project / "sub", tmp_path):
        assert first_source(kvasir_at(folder, "search", "--json", "craters")) == moon


@pytest.mark.parametrize("kind", ["default", "instructlab", "chroma"])
def test_from_a_folder_below_the_same_index_is_found(
    kind: str, kvasir_at: Callable[..., Any], project: Path, tmp_path: Path
) -> None:
    library = {"instructlab": "milvus_lite", "chroma": "chromadb"}.get(kind, "kvasir")
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}")
    if kind == "chroma":
        (project / "kvasir.yaml").write_text(CHROMA)
    else:
        kvasir_at(project, "config", "init", "--preset", kind)
    kvasir_at(project, "ingest", "notes")
    place = {"default": "kvasir-data/store", "instructlab": "rag-output.db", "chroma": "chroma"}
    assert (project / place[kind]).exists()
    assert (project / "kvasir-data" / "catalog.db").is_file()
    below = project / "sub" / "deep"
    found = kvasir_at(below, "search", "--json", "craters on the Moon")
    assert first_source(found) == str(project / "notes" / "moon.md")
    assert kvasir_at(below, "ingest", "--json", "../../notes").json["unchanged"]
    assert list(below.iterdir()) == []
    assert not (tmp_path / "xdg").exists()


def test_a_preset_that_is_named_keeps_its_store_and_its_ledger_together(
    kvasir_at: Callable[..., Any], project: Path
) -> None:
    pytest.importorskip("milvus_lite")
    preset = "--config", str(PRESETS / "instructlab.yaml")
    kvasir_at(project, *preset, "ingest", "notes")
    assert (project / "rag-output.db").exists()
    assert (project / "kvasir-data" / "catalog.db").is_file()
    found = kvasir_at(project / "sub", *preset, "search", "--json", "craters on the Moon")
    assert first_source(found) == str(project / "notes" / "moon.md")
    assert list((project / "sub").iterdir()) == [project / "sub" / "deep"]


@pytest.mark.parametrize("before", [True, False])
def test_an_option_names_the_data_folder(
    before: bool, kvasir_at: Callable[..., Any], project: Path, tmp_path: Path
) -> None:
    def at(folder: Path, command: str, *arguments: str, data: str) -> Any:
        option = "--data-dir", data
        line = (*option, command) if before else (command, *option)
        return kvasir_at(folder, *line, *arguments)

    at(project, "ingest", "notes", data="../library")
    assert (tmp_path / "library" / "catalog.db").is_file()
    found = at(tmp_path, "search", "--json", "craters", data="library")
    assert first_source(found) == str(project / "notes" / "moon.md")


def test_config_show_says_where_the_data_folder_is_and_why(
    kvasir_at: Callable[..., Any], project: Path, tmp_path: Path
) -> None:
    shown = kvasir_at(project, "config", "show").out
    assert "# settings file: none\n" in shown
    assert f"# data folder: {tmp_path}/xdg/kvasir, the user's, because none is in" in shown
    assert yaml.safe_load(shown)["data_dir"] == f"{tmp_path}/xdg/kvasir"
    kvasir_at(project, "config", "init")
    shown = kvasir_at(project / "sub", "config", "show").out
    assert f"# settings file: {project}/kvasir.yaml\n" in shown
    assert f"# data folder: {project}/kvasir-data, beside the settings file" in shown
    run = kvasir_at(project, "config", "show", "--json", KVASIR__DATA_DIR="own")
    assert json.loads(run.out)["data_dir"] == f"{project}/own"
    assert "own, named by KVASIR__DATA_DIR" in run.err
    assert "all settings are known" in kvasir_at(project / "sub", "config", "check").out


def test_a_backup_is_restored_into_a_project_and_found_from_below(
    kvasir_at: Callable[..., Any], project: Path, tmp_path: Path
) -> None:
    kvasir_at(project, "config", "init")
    kvasir_at(project, "ingest", "notes")
    kvasir_at(project / "sub", "backup", str(tmp_path / "all.tar"))
    other = tmp_path / "other"
    (other / "sub").mkdir(parents=True)
    run = kvasir_at(other, "restore", str(tmp_path / "all.tar"))
    assert "wrote kvasir.yaml, the settings of the backup" in run.out
    found = kvasir_at(other / "sub", "search", "--json", "craters")
    assert first_source(found) == str(project / "notes" / "moon.md")
    assert (other / "kvasir-data" / "catalog.db").is_file()


def test_the_first_ingest_says_in_which_library_the_collection_was_made(kvasir, tmp_path):
    (tmp_path / "tea.txt").write_text("Green tea is brewed at 80 degrees.\n")
    first, *_ = kvasir("ingest", "tea.txt").out.splitlines()
    assert first == f"new collection 'default' in {tmp_path / 'kvasir-data'}"
    assert "new collection" not in kvasir("ingest", "tea.txt").out
    assert f"collection 'default' in {tmp_path}" in kvasir("ingest", "-v", "tea.txt").out
