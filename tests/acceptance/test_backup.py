"""``kvasir backup`` and ``kvasir restore``, alone and beside a running server."""

from __future__ import annotations

import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_process import ServiceProcess

from kvasir.app import App
from kvasir.core.services.accounts import Role, Scope
from kvasir.settings.loading import load_settings

Kvasir = Callable[..., Any]


@pytest.fixture
def run(start_here: Callable[..., Any]) -> Callable[..., Any]:
    """Run ``kvasir`` in a folder."""

    def run(folder: Path, *arguments: str, code: int = 0) -> Any:
        done = start_here(folder, (*arguments,), None, {})
        assert done.code == code, done.out + done.err
        return done

    return run


def names(run: Callable[..., Any], folder: Path, *options: str) -> list[str]:
    found = run(folder, "documents", "list", "--json", *options).json
    return sorted(Path(each["source_uri"]).name for each in found)


@pytest.fixture
def school(tmp_path: Path) -> Path:
    """A folder with a settings file and two notes."""
    folder = tmp_path / "school"
    (folder / "notes").mkdir(parents=True)
    for name in ("moon", "tea"):
        (folder / "notes" / f"{name}.txt").write_text(f"This note is about the {name}.")
    settings = "rag:\n  embedding_model:\n    type: kvasir.testing.fakes:FakeEmbedder\n"
    (folder / "kvasir.yaml").write_text(settings)
    return folder


def test_a_backup_is_restored_in_an_empty_folder(
    run: Callable[..., Any], school: Path, tmp_path: Path
) -> None:
    run(school, "ingest", "notes")
    written = run(school, "backup", str(tmp_path))
    (backup,) = tmp_path.glob("kvasir-*.tar")
    assert f"wrote {backup}" in written.out
    assert "2 documents in 1 collections, 2 vectors" in written.out
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600

    other = tmp_path / "other"
    other.mkdir()
    restored = run(other, "restore", str(backup))
    assert "2 documents, 2 chunks in 1 collections (0 embedded)" in restored.out
    assert "wrote kvasir.yaml" in restored.out
    assert (other / "kvasir.yaml").read_text() == (school / "kvasir.yaml").read_text()
    assert names(run, other) == ["moon.txt", "tea.txt"]
    assert stat.S_IMODE((other / "kvasir-data" / "service.db").stat().st_mode) == 0o600
    assert run(other, "doctor").code == 0

    refused = run(other, "restore", str(backup), code=2)
    assert "already" in refused.err
    (school / "notes" / "sun.txt").write_text("This note is about the sun.")
    run(other, "ingest", str(school / "notes" / "sun.txt"))
    run(other, "restore", "--force", str(backup))
    assert names(run, other) == ["moon.txt", "tea.txt"]


def test_what_cannot_be_used_is_one_line(
    run: Callable[..., Any], school: Path, tmp_path: Path
) -> None:
    assert "there is nothing to back up" in run(school, "backup", code=2).err
    assert not list(school.glob("*.tar"))
    run(school, "ingest", "notes")
    run(school, "backup", "b.tar")
    assert "exists already" in run(school, "backup", "b.tar", code=2).err
    content = (school / "b.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(content[: content.index(b"manifest.json") + 600])
    cut = run(tmp_path, "restore", "cut.tar", code=3)
    assert "take another backup" in cut.err
    assert not (tmp_path / "kvasir-data").exists()
    assert "there is no file 'none.tar'" in run(tmp_path, "restore", "none.tar", code=2).err


@pytest.fixture
def serving(school: Path) -> Iterator[tuple[ServiceProcess, str, str]]:
    """A server in the folder, its address, and the key of its administrator."""
    with ServiceProcess(school) as server:
        address = server.start()
        with App(load_settings(school / "kvasir.yaml", {}, {})) as app:
            accounts = app.services.accounts
            ann = accounts.register("ann@example.org", "ann", "correct horse", role=Role.ADMIN)
            _, key = accounts.create_api_key(ann.id, "backups", [Scope.ADMIN])
        yield server, address, key
        server.signal(signal.SIGTERM)
        server.wait()


def test_a_backup_beside_a_running_server(
    run: Callable[..., Any],
    school: Path,
    tmp_path: Path,
    serving: tuple[ServiceProcess, str, str],
) -> None:
    _, address, key = serving
    run(school, "ingest", "notes")
    report = run(school, "backup", "--json", "beside.tar").json
    assert report["rows"]["sources"] == 2
    assert report["rows"]["users"] == 1

    downloaded = tmp_path / "downloaded.tar"
    with httpx.stream(
        "GET", f"{address}/v1/backup", headers={"x-api-key": key}, timeout=60
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].endswith('.tar"')
        downloaded.write_bytes(answer.read())
    assert httpx.get(f"{address}/v1/backup", timeout=60).status_code == 401

    assert "stop it first" in run(school, "restore", "beside.tar", code=2).err
    for backup in (school / "beside.tar", downloaded):
        other = tmp_path / backup.stem
        other.mkdir()
        settings = "--set", f"data_dir={other / 'kvasir-data'}"
        assert "1 users" in run(other, "restore", *settings, str(backup)).out
        assert names(run, other, *settings) == ["moon.txt", "tea.txt"]
