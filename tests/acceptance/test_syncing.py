"""``kvasir sync --watch``: the index follows the files."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kvasir.catalog.sql import SqlCatalog
from kvasir.core.run import StopToken
from kvasir.frontends.cli.watching import changes

Kvasir = Callable[..., Any]

LIMIT = 20.0
"""Seconds until the index follows a change: ten times what a quiet machine is allowed."""


def test_the_index_follows_a_file_that_is_made_changed_renamed_and_deleted(
    kvasir: Kvasir, notes: Path
) -> None:
    kvasir("ingest", "notes")
    catalog = SqlCatalog(f"sqlite:///{notes.parent / 'kvasir-data' / 'catalog.db'}")
    failures: list[str] = []
    seconds: list[float] = []
    ended = threading.Event()

    def texts() -> dict[str, str]:
        records = list(catalog.documents("default"))
        return {Path(r.source_uri).name: catalog.text("default", r.id) or "" for r in records}

    def follow(change: Callable[[], object], name: str, text: str | None) -> None:
        change()
        changed = time.monotonic()
        while (texts().get(name) or "").strip() != (text or ""):
            if time.monotonic() > changed + LIMIT:
                failures.append(f"{name} is not {text}")
                return
            time.sleep(0.02)
        seconds.append(round(time.monotonic() - changed, 2))

    def work() -> None:
        new, renamed = notes / "new.md", notes / "renamed.md"
        try:
            follow(lambda: new.write_text("It is made.\n"), "new.md", "It is made.")
            follow(lambda: new.write_text("It is changed.\n"), "new.md", "It is changed.")
            follow(lambda: new.rename(renamed), "renamed.md", "It is changed.")
            follow(renamed.unlink, "renamed.md", None)
        finally:
            # Without the command there is nobody else to take the signal than the tests.
            if not ended.is_set():
                os.kill(os.getpid(), signal.SIGINT)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        run = kvasir("sync", "--watch", "--verbose", code=130)
    finally:
        ended.set()
        worker.join()
    catalog.close()
    print("seconds until the index followed:", seconds)
    assert failures == []
    lines = [line.rpartition(";")[0] for line in run.out.splitlines() if "embedded" in line]
    assert lines[-4:] == [
        "1 added, 2 unchanged; 1 chunks embedded",
        "1 replaced, 2 unchanged; 1 chunks embedded",
        "2 unchanged, 1 moved; 0 chunks embedded, 1 known",
        "2 unchanged, 1 removed; 0 chunks embedded",
    ]
    assert "removed: notes/renamed.md" in run.out
    assert "renamed.md" in run.out


def test_changes_of_kvasirs_own_files_do_not_count(tmp_path: Path) -> None:
    folder, single = tmp_path / "notes", tmp_path / "single.md"
    own = folder / "kvasir-data"
    own.mkdir(parents=True)
    single.write_text("one")
    stop = StopToken()
    watcher = changes(lambda: [str(folder), str(single)], [str(own)], stop)
    next(watcher)
    (own / "catalog.db").write_text("x")
    (folder / "kvasir-data.lock").write_text("x")
    timer = threading.Timer(1.0, single.write_text, ["two words"])
    started = time.monotonic()
    timer.start()
    next(watcher)
    assert time.monotonic() - started > 0.9
    (folder / "a.md").write_text("x")
    next(watcher)
    stop.set()
    assert list(watcher) == []
    timer.join()


def test_a_folder_that_is_made_again_or_given_later_is_followed(tmp_path: Path) -> None:
    folder, later = tmp_path / "notes", tmp_path / "later"
    folder.mkdir()
    paths, stop = [str(folder)], StopToken()
    watcher = changes(lambda: paths, [], stop)
    next(watcher)
    folder.rmdir()
    next(watcher)
    for followed in (folder, later):
        followed.mkdir()
        paths.append(str(followed))
        next(watcher)
        (followed / "a.md").write_text("x")
        timer = threading.Timer(10.0, stop.set)
        timer.start()
        next(watcher)
        timer.cancel()
    stop.set()
    assert list(watcher) == []


def test_a_damaged_memory_of_sources_is_refused_before_the_work(
    kvasir: Kvasir, tmp_path: Path
) -> None:
    (tmp_path / "tea.md").write_text("Tea is brewed at 80 degrees.")
    kvasir("ingest", "tea.md")
    memory = tmp_path / "kvasir-data" / "sources.json"
    memory.write_text("{bad")
    (tmp_path / "moon.md").write_text("The moon has no air.")
    said = kvasir("ingest", "moon.md", code=3).err
    assert "sources.json' cannot be read" in said
    assert "delete it, and ingest the sources by name once" in said
    assert "moon.md" not in kvasir("documents", "list").out
