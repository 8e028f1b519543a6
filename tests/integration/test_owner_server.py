"""The server that shares an index: where its socket is, and when there is none."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from filelock import FileLock
from service_process import ServiceProcess

from kvasir.app import App
from kvasir.core.errors import StorageError, StoreLockedError
from kvasir.core.queue_workers import QueueWorker
from kvasir.core.run import StopToken
from kvasir.core.services.questions import NewQuestion
from kvasir.core.types import Source
from kvasir.frontends.api import owner as owner_module
from kvasir.frontends.api.application import make_application
from kvasir.frontends.api.owner import OwnerServer, check_no_owner
from kvasir.frontends.cli.questions import asking
from kvasir.frontends.cli.services import Services
from kvasir.remote.service import RemoteService, connect_to_owner
from kvasir.settings.schema import Settings
from kvasir.settings.service_schema import QuestionSettings
from kvasir.sharing import IndexSharing, owner_of
from kvasir.tasks import log_queued_answer

NOTE = Source("upload:tea", "text/plain"), b"Green tea is steeped for two minutes."


def settings_of(folder: Path, **server: object) -> Settings:
    embedder = {"type": "kvasir.testing.fakes:FakeEmbedder"}
    rag = {"embedding_model": embedder, "ingest": {"workers": 1}}
    return Settings(data_dir=folder, rag=rag, server=server)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(IndexSharing, "after_seconds", 0.05)
    yield


@contextmanager
def closing_server(app: App) -> Iterator[None]:
    server = OwnerServer(app)
    assert server.start()
    try:
        yield
    finally:
        server.stop()


def found_soon(settings: Settings, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while owner_of(settings) is None and time.monotonic() < end:
        time.sleep(0.02)
    return owner_of(settings) is not None


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A runtime folder with a short path, as those of systems are."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_a_long_path_has_its_socket_in_the_runtime_folder_of_the_user(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    settings = settings_of(tmp_path / ("long" * 30) / "data")
    with App(settings) as app:
        server = OwnerServer(app)
        assert server.start()
        try:
            record = owner_of(settings)
            path = Path(record.socket)
            assert path.parent.parent == runtime
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            with (
                RemoteService(lambda given: connect_to_owner(record, given), collection="a") as at,
                at.collection() as collection,
            ):
                assert collection.ingest(NOTE).added == ["upload:tea"]
            assert not OwnerServer(app).start()
        finally:
            server.stop()
        assert not path.exists()
        assert owner_of(settings) is None


def test_a_folder_that_others_may_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(owner_module, "_LONGEST_PATH", 1)
    monkeypatch.setattr(owner_module.os, "getuid", lambda: 4711)
    (tmp_path / "kvasir-4711").mkdir()
    with (
        pytest.raises(StorageError, match="of this user alone"),
        owner_module.owned(settings_of(tmp_path / "data")),
    ):
        pass


def test_a_worker_of_questions_answers_through_the_owner_which_does_not_log_it_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path / "data").model_copy(
        update={"questions": QuestionSettings(workers=0)}
    )

    def as_the_service(app: App, *, owner_token: str, on_demand: bool) -> FastAPI:
        return make_application(app, owner_token=owner_token)

    monkeypatch.setattr(owner_module, "make_application", as_the_service)
    with App(settings) as app, app.collection() as collection, closing_server(app):
        collection.ingest(NOTE)
        with App(settings) as own, Services(own, logs=False) as services:
            queue = own.services.questions
            asked = queue.ask(NewQuestion("How long is tea steeped?", 0, "", "default"))
            worker = own.services.make_answering_worker(
                asking(own, services),
                StopToken(),
                on_answered=lambda question, answer: log_queued_answer(own, question, answer),
            )
            assert isinstance(worker, QueueWorker) and worker.work_once()
            answered = queue.question(asked.id)
            assert "two minutes" in (answered.output or ""), answered.reason
            assert not own.holds_index
            assert [each.id for each in own.services.answer_log.export()] == [asked.id]


@pytest.mark.usefixtures("at_once")
def test_an_index_is_served_as_long_as_it_is_held_and_the_log_of_answers_stays_away(
    tmp_path: Path,
) -> None:
    settings = settings_of(tmp_path / "data")
    with App(settings) as app, app.collection() as collection:
        collection.ingest(NOTE)
        assert found_soon(settings, 20.0)
        record = owner_of(settings)
        with (
            RemoteService(
                lambda given: connect_to_owner(record, given), collection="default"
            ) as at,
            at.collection() as remote,
        ):
            assert remote.ask("How long is green tea steeped?").hits
        assert not (tmp_path / "data" / "service.db").exists()
        check_no_owner(settings)
    assert owner_of(settings) is None


@pytest.mark.usefixtures("at_once")
def test_no_index_is_served_where_the_settings_say_so(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data", share_index=False)
    with App(settings) as app, app.collection() as collection:
        collection.ingest(NOTE)
        assert not found_soon(settings, 0.3)


def test_a_server_does_not_start_beside_another_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path / "data")
    with owner_module.owned(settings):
        monkeypatch.setattr(owner_module.os, "getpid", lambda: 1)
        with pytest.raises(StoreLockedError, match="end it first"):
            check_no_owner(settings)


def test_an_index_in_a_database_server_is_served_by_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectordb = {"type": "qdrant-server", "uri": "http://127.0.0.1:6333"}
    settings = Settings(data_dir=tmp_path / "data", rag={"vectordb": vectordb})
    with owner_module.owned(settings) as (first, _):
        monkeypatch.setattr(owner_module.os, "getpid", lambda: first.pid + 1)
        check_no_owner(settings)
        with owner_module.owned(settings) as (second, listeners):
            assert not second.token and not listeners
        assert owner_of(settings) == first
    assert owner_of(settings) is None


def test_an_owner_does_not_leave_while_another_process_takes_its_place(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    opened = ExitStack()
    owner_module.take_over(settings, "", opened)
    leaving = threading.Thread(target=opened.close)
    with FileLock(settings.data_folder / "owner.lock"):
        leaving.start()
        leaving.join(0.2)
        assert leaving.is_alive() and owner_of(settings) is not None
    leaving.join(20)
    assert owner_of(settings) is None


@pytest.mark.usefixtures("at_once")
def test_an_open_index_is_served_when_the_owner_before_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path / "data")
    with ExitStack() as other:
        with monkeypatch.context() as patched:
            patched.setattr(owner_module.os, "getpid", lambda: 1)
            other.enter_context(owner_module.owned(settings))
        with App(settings) as app, app.collection() as collection:
            collection.ingest(NOTE)
            time.sleep(0.3)
            assert owner_of(settings).pid == 1
            other.close()
            assert found_soon(settings, 20.0)
            assert owner_of(settings).pid == os.getpid()


def test_a_server_takes_the_place_of_one_that_was_killed(tmp_path: Path) -> None:
    # Nothing is stored, so the database server need not be there.
    vectordb = {"type": "qdrant-server", "uri": "http://127.0.0.1:9"}
    model = {"type": "kvasir.testing.fakes:FakeEmbedder"}
    rag = {"vectordb": vectordb, "embedding_model": model}
    settings = Settings(data_dir=tmp_path / "kvasir-data", rag=rag)
    with ServiceProcess(tmp_path, rag=rag) as first, ServiceProcess(tmp_path, rag=rag) as second:
        first.start()
        second.start()
        assert owner_of(settings).pid == first.process.pid
        first.kill()
        assert found_soon(settings, 20.0)
        record = owner_of(settings)
        assert record.pid == second.process.pid
        client = connect_to_owner(record, {})
        try:
            assert client.get("/v1/collections", "listing") == []
        finally:
            client.close()
        second.signal(signal.SIGTERM)
        assert second.wait() == 0
    assert owner_of(settings) is None
    assert not Path(record.socket).exists()


def test_a_deletion_through_the_owner_deletes_the_uploaded_bytes(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "data")
    with App(settings) as app:
        server = OwnerServer(app)
        assert server.start()
        try:
            record = owner_of(settings)
            with (
                RemoteService(lambda given: connect_to_owner(record, given), collection="a") as at,
                at.collection() as collection,
            ):
                collection.ingest(NOTE)
                (kept,) = app.services.spool.digests()
                assert collection.delete("upload:tea") == 1
            end = time.monotonic() + 20.0
            while app.services.spool.has(kept) and time.monotonic() < end:
                time.sleep(0.02)
            assert not app.services.spool.has(kept)
        finally:
            server.stop()
