"""The folder of a course is indexed when the service starts, and whenever it changes."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvasir import course_folder
from kvasir.app import App
from kvasir.core.errors import RequestError
from kvasir.core.run import Run, StopToken
from kvasir.core.services.accounts import CollectionAccess, Role, Visibility
from kvasir.core.services.jobs import Job, JobState, NewJob
from kvasir.core.types import Source
from kvasir.course_folder import FolderWatch, wait_for_folder
from kvasir.ingesting.folder_state import folder_state
from kvasir.settings.loading import load_settings
from kvasir.tasks import perform

pytestmark = pytest.mark.usefixtures("share_components")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    (made / "moon.txt").write_text("The Moon orbits the Earth in 27 days.")
    (made / "tea.md").write_text("# Tea\n\nGreen tea is steeped at 80 degrees.")
    return made


@pytest.fixture
def app(tmp_path: Path, folder: Path) -> Iterator[App]:
    given = {
        "data_dir": str(tmp_path / "data"),
        "server.folder": str(folder),
        "questions.collection": "course",
    }
    with App(load_settings({}, given, {})) as app:
        yield app


def watch(app: App) -> FolderWatch:
    return FolderWatch(app, StopToken(), lambda: None)


def work_off(app: App) -> list[Job]:
    """Do all jobs; return them, newest first."""
    worker = app.services.make_job_worker(lambda job, run: perform(app, job, run), StopToken())
    while worker.work_once():
        pass
    return app.services.jobs.jobs()


def names(app: App) -> list[str]:
    with app.collection("course") as course:
        return [Path(record.source_uri).name for record in course.documents()]


def test_the_folder_is_indexed_at_the_start_and_only_changes_afterwards(
    app: App, folder: Path
) -> None:
    watched = watch(app)
    assert watched.look() is not None
    assert watched.look() is None
    (job,) = work_off(app)
    assert job.state is JobState.DONE
    assert job.result["chunks_embedded"] == 2
    assert names(app) == ["moon.txt", "tea.md"]
    assert watched.look() is None

    (folder / "tea.md").unlink()
    (folder / "sun.txt").write_text("The Sun is a star.")
    (folder / "moon.txt").write_text("The Moon orbits the Earth in 27.3 days.")
    assert watched.look() is not None
    job, _ = work_off(app)
    assert [len(job.result[kind]) for kind in ("added", "replaced", "removed")] == [1, 1, 1]
    assert names(app) == ["moon.txt", "sun.txt"]


def test_a_restart_embeds_nothing_again(app: App) -> None:
    watch(app).look()
    work_off(app)
    assert watch(app).look() is not None
    job, _ = work_off(app)
    assert job.result["chunks_embedded"] == 0
    assert len(job.result["unchanged"]) == 2


def test_several_servers_add_one_job_for_a_change(app: App, folder: Path) -> None:
    watch(app).look()
    work_off(app)
    watches = [watch(app) for _ in range(4)]
    (folder / "sun.txt").write_text("The Sun is a star.")
    threads = [threading.Thread(target=each.look) for each in watches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(app.services.jobs.jobs()) == 2


def test_a_folder_that_is_gone_deletes_nothing(
    app: App, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched = watch(app)
    watched.look()
    work_off(app)
    folder.rename(folder.with_name("elsewhere"))
    with caplog.at_level(logging.WARNING):
        assert watched.look() is None
        assert watched.look() is None
    assert len([each for each in caplog.messages if "there is no folder" in each]) == 1
    assert len(names(app)) == 2
    folder.with_name("elsewhere").rename(folder)
    assert watched.look() is None


def test_the_job_of_a_folder_that_went_away_meanwhile_deletes_nothing(
    app: App, folder: Path
) -> None:
    watched = watch(app)
    watched.look()
    work_off(app)
    (folder / "sun.txt").write_text("The Sun is a star.")
    watched.look()
    folder.rename(folder.with_name("elsewhere"))
    work_off(app)
    assert len(names(app)) == 2


def test_another_folder_takes_the_place_of_the_former_one(
    app: App, folder: Path, tmp_path: Path
) -> None:
    watch(app).look()
    work_off(app)
    with app.collection("course") as course:
        course.ingest((Source("upload:ann/own.txt", "text/plain"), b"An upload of a teacher."))
    moved = folder.rename(tmp_path / "elsewhere")
    settings = load_settings(
        {},
        {
            "data_dir": str(tmp_path / "data"),
            "server.folder": str(moved),
            "questions.collection": "course",
        },
        {},
    )
    app.close()
    with App(settings) as later:
        watch(later).look()
        job = work_off(later)[0]
        assert (job.state, job.result["chunks_embedded"]) == (JobState.DONE, 0)
        assert (len(job.result["moved"]), job.result["removed"]) == (2, [])
        with later.collection("course") as course:
            assert sorted(record.source_uri for record in course.documents()) == [
                str(moved / "moon.txt"),
                str(moved / "tea.md"),
                "upload:ann/own.txt",
            ]


def test_answers_do_not_wait_where_the_jobs_are_in_another_database(
    app: App, tmp_path: Path
) -> None:
    watch(app).look()
    work_off(app)
    other = {"database.url": f"sqlite:///{tmp_path}/other.db", "data_dir": str(tmp_path / "data")}
    given = other | {"server.folder": str(tmp_path / "files"), "questions.collection": "course"}
    with App(load_settings({}, given, {})) as worker:
        assert wait_for_folder(worker, StopToken())


def test_a_failed_job_is_tried_again_at_the_next_look(app: App) -> None:
    watched = watch(app)
    watched.look()
    claimed = app.services.jobs.claim(lease_seconds=30)
    assert claimed is not None
    app.services.jobs.fail(claimed, "component_failed", "the store failed", retry_after=None)
    assert watched.look() is not None
    assert work_off(app)[0].state is JobState.DONE


def test_an_unreadable_file_does_not_keep_the_others_out(
    app: App, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    watch(app).look()
    with caplog.at_level(logging.WARNING):
        (job,) = work_off(app)
    assert job.state is JobState.DONE
    assert [Path(each["source_uri"]).name for each in job.result["failed"]] == ["broken.pdf"]
    assert any("broken.pdf" in each for each in caplog.messages)


def test_every_user_may_ask_it_unless_rights_were_recorded_before(app: App) -> None:
    accounts = app.services.accounts
    watch(app).look()
    assert accounts.access("course") == CollectionAccess("course", 0, Visibility.PUBLIC)
    ann = accounts.register("ann@example.org", "ann", "correct horse", role=Role.USER)
    accounts.set_access(CollectionAccess("course", ann.id, Visibility.PRIVATE))
    watch(app).look()
    assert accounts.access("course").owner_id == ann.id


def test_a_job_opens_no_folder_that_the_settings_do_not_name(app: App, tmp_path: Path) -> None:
    arguments = {"folder": str(tmp_path), "state": "x"}
    job = app.services.jobs.add(NewJob("ingest_folder", arguments, collection="course"))
    with pytest.raises(RequestError, match="not"):
        perform(app, job, Run())


def test_answers_wait_until_the_folder_was_indexed_once(app: App) -> None:
    stop = StopToken()
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(wait_for_folder(app, stop)))
    watch(app).look()
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    work_off(app)
    thread.join(60)
    assert results == [True]


def test_an_unforeseen_error_ends_no_waiting(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def was_indexed(_: App) -> bool:
        calls.append("look")
        if len(calls) == 1:
            raise OSError("the disk does not answer")
        return True

    monkeypatch.setattr(course_folder, "_was_indexed", was_indexed)
    monkeypatch.setattr(course_folder, "_PAUSE", 0.0)
    assert wait_for_folder(app, StopToken())


def test_a_stop_ends_the_waiting(app: App) -> None:
    stop = StopToken()
    stop.set()
    assert not wait_for_folder(app, stop)


@pytest.mark.parametrize("change", ["new", "gone", "size", "time", "name"])
def test_each_change_of_a_folder_changes_its_state(folder: Path, change: str) -> None:
    before = folder_state(str(folder))
    assert folder_state(str(folder)) == before
    file = folder / "moon.txt"
    if change == "new":
        (folder / "new.txt").write_text("")
    elif change == "gone":
        file.unlink()
    elif change == "size":
        stat = file.stat()
        file.write_text("longer " * 20)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "time":
        os.utime(file, (1, 1))
    else:
        file.rename(folder / "luna.txt")
    assert folder_state(str(folder)) != before


def test_hidden_and_lock_files_do_not_change_the_state(folder: Path) -> None:
    before = folder_state(str(folder))
    (folder / ".hidden").write_text("x")
    (folder / "~$moon.docx").write_text("x")
    assert folder_state(str(folder)) == before
