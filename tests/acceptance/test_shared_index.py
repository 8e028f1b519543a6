"""Several processes at one embedded index: whoever has it open serves it to the others."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest
import uvicorn
from pty_process import PtyProcess

from kvasir.app import App
from kvasir.core import registry
from kvasir.core.services.accounts import Role
from kvasir.frontends.api.application import make_application
from kvasir.remote.owner import OwnerRecord, read_owner, write_owner
from kvasir.settings.schema import Settings
from kvasir.sharing import index_of
from kvasir.testing.documents import write_notes

Kvasir = Callable[..., Any]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no Unix sockets")

AT_ONCE = "from kvasir.sharing import IndexSharing; IndexSharing.after_seconds = 0.2\n"
HOLDER = (
    "import kvasir, sys\n"
    "with kvasir.open() as kb:\n"
    "    kb.search('tea'); print('ready', flush=True); sys.stdin.read()\n"
)


@contextmanager
def holding(folder: Path, program: str = AT_ONCE + HOLDER) -> Iterator[subprocess.Popen[str]]:
    """Run a script that has the index of a folder open until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.communicate("", timeout=60)


def until(is_so: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def record_in(folder: Path) -> OwnerRecord | None:
    """Return the record of the owner of a folder's index."""
    settings = Settings(data_dir=folder / "kvasir-data")
    return read_owner(settings.data_folder, index_of(settings))


def test_a_second_process_works_through_the_one_that_has_the_index_open(
    kvasir: Kvasir, notes: Path
) -> None:
    folder = notes.parent
    kvasir("ingest", "notes")
    with holding(folder) as holder:
        until(lambda: record_in(folder))
        assert record_in(folder).pid == holder.pid
        for private in ("owner.json", "owner.sock"):
            assert (folder / "kvasir-data" / private).stat().st_mode & 0o777 == 0o600
        assert "tea.txt" in kvasir("search", "tea").out
        assert "384,400" in kvasir("ask", "How far away is the Moon?").out
        (notes / "mead.txt").write_text("Mead is made of honey.\n")
        assert "1 added, 2 unchanged" in kvasir("ingest", "notes").out
        assert "1 deleted" in kvasir("documents", "delete", "notes/mead.txt").out
        assert len(kvasir("documents", "list", "--json").json) == 2
        chat = kvasir("chat", "-qq", "--rag", "How far away is the Moon?")
        assert "384,400" in chat.out
        assert "is sound" in kvasir("doctor").out
    assert record_in(folder) is None
    assert not (folder / "kvasir-data" / "owner.sock").exists()
    assert "tea.txt" in kvasir("search", "tea").out


def test_a_holder_that_does_not_answer_is_named(
    kvasir: Kvasir, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kvasir.frontends.cli.services.PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr("kvasir.frontends.cli.services.ANSWER_SECONDS", 0.3)
    kvasir("ingest", "notes")
    with holding(notes.parent) as holder:
        until(lambda: record_in(notes.parent))
        holder.send_signal(signal.SIGSTOP)
        error = kvasir("search", "tea", code=3).err
        assert f"in use by process {holder.pid}" in error
        assert error.count("\n") == 1
        assert "tea.txt" in kvasir("documents", "list").out


def test_records_that_nobody_stands_behind_are_ignored_and_replaced(
    kvasir: Kvasir, notes: Path
) -> None:
    folder = notes.parent
    settings = Settings(data_dir=folder / "kvasir-data")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    deaf = str(folder / "deaf.sock")
    for pid in (ended.pid, os.getpid()):
        record = OwnerRecord(pid, "gone", index_of(settings), deaf, "", "secret")
        write_owner(settings.data_folder, record)
        assert "added" in kvasir("ingest", "notes").out or pid == os.getpid()
        assert "tea.txt" in kvasir("search", "tea").out
    write_owner(settings.data_folder, OwnerRecord(ended.pid, "gone", index_of(settings), deaf))
    with holding(folder) as holder:
        until(lambda: record_in(folder))
        assert record_in(folder).pid == holder.pid


def test_an_ingest_goes_on_alone_when_the_owner_ends_in_the_middle_of_it(
    kvasir: Kvasir, notes: Path, tmp_path: Path
) -> None:
    kvasir("ingest", "notes")
    write_notes(tmp_path / "many", 200)
    with holding(notes.parent) as holder:
        until(lambda: record_in(notes.parent))
        ingest = subprocess.Popen(
            [sys.executable, "-m", "kvasir", "ingest", "--json", "many"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: (tmp_path / "kvasir-data" / "service.db").exists())
        until(lambda: list((tmp_path / "kvasir-data" / "spool").glob("??/*")))
        holder.send_signal(signal.SIGKILL)
        out, err = ingest.communicate(timeout=120)
    assert ingest.returncode == 0, out + err
    report = json.loads(out)
    assert len(report["added"]) + len(report["unchanged"]) == 200
    assert kvasir("doctor", "--json").json["clean"]
    assert len(kvasir("documents", "list", "--json").json) == 202


# If the other one ends just before a request, httpcore leaves the refused socket to be collected.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)
def test_while_one_ingests_another_searches_asks_lists_and_deletes(
    kvasir: Kvasir, notes: Path, tmp_path: Path
) -> None:
    kvasir("ingest", "notes")
    write_notes(tmp_path / "many", 400)
    program = AT_ONCE + "from kvasir.frontends.cli.main import main; main()"
    report = tmp_path / "report.json"
    with report.open("wb") as out:
        arguments = ["ingest", "--json", "many"]
        ingest = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], cwd=tmp_path, stdout=out
        )
    until(lambda: record_in(tmp_path) or ingest.poll() is not None)
    beside = 0
    while ingest.poll() is None:
        assert "tea.txt" in kvasir("search", "green tea steeped").out
        assert "384,400" in kvasir("ask", "How far away is the Moon?").out
        assert "moon.md" in kvasir("documents", "list", "notes").out
        (notes / "mead.txt").write_text("Mead is made of honey.\n")
        done = kvasir("ingest", "notes/mead.txt").out
        # If the other one ends in the middle, the command does it again by itself.
        assert "1 added" in done or ("1 unchanged" in done and ingest.wait(20) == 0)
        assert "1 deleted" in kvasir("documents", "delete", "notes/mead.txt").out
        beside += 1
    assert ingest.returncode == 0
    assert beside
    assert len(json.loads(report.read_text())["added"]) == 400
    assert kvasir("doctor", "--json").json["clean"]


def test_settings_of_the_owner_hold_and_others_of_the_file_are_named_in_one_line(
    kvasir: Kvasir, notes: Path
) -> None:
    kvasir("ingest", "notes")
    with holding(notes.parent):
        until(lambda: record_in(notes.parent))
        (notes.parent / "kvasir.yaml").write_text("chat: {rag: {retriever: {top_k: 1}}}\n")
        found = kvasir("search", "--json", "tea")
        assert len(found.json) == 2
        assert found.err.count("\n") == 1
        assert "chat.rag.retriever.top_k is 10 there, 1 here" in found.err
        typed = kvasir("search", "--json", "--top-k", "1", "tea")
        assert (len(typed.json), typed.err) == (1, "")
        lines = ("--re-split", "--split-by", "line", "--split-length", "1")
        pages = kvasir("ingest", "--json", *lines, "notes")
        assert len(pages.json["replaced"]) == 2


@pytest.fixture
def served(
    tmp_path_factory: pytest.TempPathFactory, check_shared: Any
) -> Iterator[tuple[str, App]]:
    """A server with a user and an administrator: its address, and what it serves."""
    folder = tmp_path_factory.mktemp("server")
    settings = Settings(data_dir=folder / "kvasir-data", answer={"cache": {"enabled": True}})
    with (
        pytest.MonkeyPatch.context() as patch,
        App(settings) as app,
        closing(socket.create_server(("127.0.0.1", 0))) as listener,
    ):
        patch.setattr(registry, "check", check_shared)
        for name, role in (("ada", Role.ADMIN), ("bob", Role.USER)):
            app.services.accounts.register(f"{name}@example.org", name, "a long secret", role=role)
        server = uvicorn.Server(uvicorn.Config(make_application(app), log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", app
        server.should_exit = True
        thread.join()


@pytest.fixture
def server(served: tuple[str, App]) -> str:
    """The address of the server."""
    return served[0]


def test_a_login_by_a_temporary_password_asks_for_a_new_one(
    kvasir: Kvasir, tmp_path: Path, served: tuple[str, App]
) -> None:
    server, app = served
    here = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}

    def temporary() -> str:
        app.services.accounts.recover("bob", "en")
        claimed = app.services.outbox.claim(lease_seconds=60)
        assert claimed is not None
        return claimed.mail.content["password"]

    login = ("login", server, "--username", "bob")
    refused = kvasir(*login, KVASIR_PASSWORD=temporary(), code=2, **here)
    assert "at a terminal" in refused.err
    assert refused.out == "" and not list(tmp_path.rglob("logins.json"))
    terminal = PtyProcess(
        [sys.executable, "-m", "kvasir", *login],
        cwd=tmp_path,
        env=os.environ | here | {"KVASIR_PASSWORD": temporary()},
        timeout=60,
    )
    for typed in ("short", "another horse"):
        for prompt in ("New password:", "Repeat"):
            terminal.expect(prompt)
            terminal.sendline(typed)
    terminal.expect("logged in to")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert kvasir("collections", "list", "--json", KVASIR_SERVER=server, **here).json == []
    kvasir(*login, KVASIR_PASSWORD="another horse", **here)


def test_fresh_makes_a_new_answer_where_the_server_kept_one(
    kvasir: Kvasir, notes: Path, tmp_path: Path, server: str
) -> None:
    here = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    kvasir("login", server, "--username", "ada", KVASIR_PASSWORD="a long secret", **here)
    at_server = here | {"KVASIR_SERVER": server}
    kvasir("ingest", "notes", **at_server)
    hint = "before, to the same question: 'kvasir ask --fresh' makes a new answer"
    hints = [
        hint in kvasir("ask", *options, "How far is the Moon?", **at_server).err
        for options in ((), (), ("--fresh",), ())
    ]
    assert hints == [False, True, False, True]


def test_after_a_login_commands_work_at_a_server(
    kvasir: Kvasir, notes: Path, tmp_path: Path, server: str
) -> None:
    here = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "HOME": str(tmp_path)}
    at_server = here | {"KVASIR_SERVER": server}
    said = kvasir("search", "tea", code=2, **at_server).err
    assert "'kvasir login URL' logs in" in said
    wrong = kvasir("login", server, "--username", "ada", "--password", "no", code=2, **here)
    assert wrong.err.count("\n") == 1
    for name in ("bob", "ada"):
        kvasir("login", server, "--username", name, KVASIR_PASSWORD="a long secret", **here)
        (kept,) = (tmp_path / "config").rglob("logins.json")
        assert kept.stat().st_mode & 0o777 == 0o600
        assert "a long secret" not in kept.read_text()
        collection = ("--collection", f"of-{name}")
        assert "2 added" in kvasir("--server", server, "ingest", *collection, "notes", **here).out
        assert "tea.txt" in kvasir("search", *collection, "tea", **at_server).out
        assert "384,400" in kvasir("ask", *collection, "How far is the Moon?", **at_server).out
        assert (
            "1 deleted"
            in kvasir("documents", "delete", *collection, "notes/tea.txt", **at_server).out
        )
        exported = kvasir("answers", "export", "--since", "2026-01-01", **at_server).out
        # Bob gets his own, and Ada, who is an administrator, those of both.
        users = {json.loads(line)["collection"] for line in exported.splitlines()}
        assert users == {"of-bob"} | {f"of-{name}"}
        kvasir("answers", "export", "--to", f"{name}.jsonl", **at_server)
        assert (tmp_path / f"{name}.jsonl").read_text("utf-8") == exported
    names = [row["name"] for row in kvasir("collections", "list", "--json", **at_server).json]
    assert names == ["of-ada", "of-bob"]
    # A folder of this machine is no model of the server's, and the server opens none for others.
    (tmp_path / "english").mkdir()
    of_ada = ("models", "use", "--collection", "of-ada")
    assert "already" in kvasir(*of_ada, "english", **at_server).out
    refused = kvasir(*of_ada, "./english", code=None, **at_server)
    assert "a server opens no folder" in refused.err
    assert not (tmp_path / "kvasir-data").exists()
    assert "logged out" in kvasir("logout", **here).out
    assert "logs in" in kvasir("search", "tea", code=2, **at_server).err
