"""A backup that is taken under load restores to a working service with nothing missing."""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from databases import database

from kvasir.app import App
from kvasir.backups import back_up, open_backup, restore
from kvasir.core.errors import ConflictError, KvasirError, RequestError, StoppedError
from kvasir.core.ledger import SourceState, VersionDraft
from kvasir.core.run import Run, StopToken
from kvasir.core.services.accounts import CollectionAccess, Role, Visibility
from kvasir.core.services.jobs import JobState, NewJob
from kvasir.core.services.questions import NewQuestion
from kvasir.core.types import Document, Source, document_id
from kvasir.settings.loading import load_settings
from kvasir.tasks import perform

pytestmark = pytest.mark.usefixtures("share_components")

PASSWORD = "correct horse battery"


def open_app(folder: Path, **more: Any) -> App:
    given = {key: value for key, value in more.items() if value is not None}
    return App(load_settings({}, {"data_dir": str(folder)} | given, {}))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(tmp_path / "data") as app:
        yield app


def upload(app: App, number: int, text: str | None = None) -> str:
    """Accept an upload, as the server does; return the id of its job."""
    content = (text or f"Document {number} tells of comet {number * 7919}.").encode()
    digest, _ = app.services.spool.put(io.BytesIO(content), max_bytes=1 << 20)
    arguments = {"uri": f"upload:ann/{number}.txt", "digest": digest, "media_type": "text/plain"}
    return app.services.jobs.add(NewJob("ingest_upload", arguments, 1, "papers")).id


def ingest(app: App, *numbers: int, collection: str = "papers") -> None:
    given = [
        (
            Source(f"upload:ann/{number}.txt", "text/plain"),
            f"Document {number} tells of comet {number * 7919}.".encode(),
        )
        for number in numbers
    ]
    with app.collection(collection) as lease:
        lease.ingest(*given)


def work_off(app: App) -> None:
    stop = StopToken()
    worker = app.services.make_job_worker(lambda job, run: perform(app, job, run), stop)
    while worker.work_once():
        pass


def save(app: App, path: Path) -> Path:
    with path.open("wb") as file:
        back_up(app, file)
    return path


def restored(tmp_path: Path, backup: Path, **more: Any) -> App:
    app = open_app(tmp_path / "restored", **more)
    restore(app, open_backup(backup))
    return app


def test_everything_comes_back(app: App, tmp_path: Path) -> None:
    accounts = app.services.accounts
    ann = accounts.register("ann@example.org", "ann", PASSWORD, language="es", role=Role.ADMIN)
    token = accounts.login("ann", PASSWORD).access_token
    _, key = accounts.create_api_key(ann.id, "k", ["read"])
    accounts.set_access(CollectionAccess("papers", ann.id, Visibility.PUBLIC))
    asked = app.services.questions.ask(NewQuestion("¿Qué?", ann.id, ann.email, "papers", "es"))
    ingest(app, 1, 2, 3)
    job = upload(app, 4)
    with app.collection("papers") as papers:
        papers.set_metadata("upload:ann/2.txt", {"year": 1999})
        hits = papers.search("comet 15838")
    backup = save(app, tmp_path / "b.tar")

    with restored(tmp_path, backup) as other:
        accounts = other.services.accounts
        assert accounts.authenticate(token).user == ann
        assert accounts.authenticate(key).user == ann
        assert accounts.access("papers").visibility is Visibility.PUBLIC
        assert other.services.questions.question(asked.id) == asked
        with other.collection("papers") as papers:
            assert papers.search("comet 15838") == hits
            assert papers.inspect().clean
            assert papers.document("upload:ann/2.txt").metadata["year"] == 1999
        work_off(other)
        assert other.services.jobs.job(job).state is JobState.DONE
        with other.collection("papers") as papers:
            assert papers.search("comet 31676", top_k=1)[0].chunk.text.startswith("Document 4")
            assert len(papers.documents()) == 4


def test_nothing_is_embedded_again(app: App, tmp_path: Path) -> None:
    ingest(app, *range(5))
    backup = save(app, tmp_path / "b.tar")
    model = {"rag.embedding_model.name": "a/model-that-is-not-there"}
    other = open_app(tmp_path / "restored", **model)
    with other:
        report = restore(other, open_backup(backup))
    assert (report.chunks, report.embedded) == ({"papers": 5}, 0)


@contextmanager
def in_threads(*loops: Callable[[int], None]) -> Iterator[list[Exception]]:
    """Call functions again and again, with growing numbers, until the block ends."""
    stop, errors = threading.Event(), list[Exception]()

    def run(loop: Callable[[int], None]) -> None:
        for number in itertools.count(100):
            if stop.is_set():
                return
            try:
                loop(number)
            except Exception as error:  # noqa: BLE001 - the test's thread reports it
                errors.append(error)
                return
            stop.wait(0.05)

    threads = [threading.Thread(target=run, args=(loop,)) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield errors
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    ("engine", "keeps"), [("sqlite", False), ("mariadb", True), ("postgresql", True)]
)
def test_a_backup_under_load_has_all_that_was_committed_before(
    engine: str, keeps: bool, tmp_path: Path
) -> None:
    with database(engine, tmp_path) as url, database(engine, tmp_path / "other") as target:
        more = {"database.url": None if engine == "sqlite" else url}
        if engine != "sqlite":
            more["catalog.url"] = url
        more |= {"server.keep_originals": keeps}
        with open_app(tmp_path / "data", **more) as app:
            committed = run_under_load(app, tmp_path / "b.tar")
        if engine != "sqlite":
            more |= {"database.url": target, "catalog.url": target}
        with open_app(tmp_path / "restored", **more) as other:
            restore(other, open_backup(tmp_path / "b.tar"))
            check(other, *committed)


def run_under_load(app: App, path: Path) -> tuple[set[str], set[str], set[str], set[str]]:
    """Take a backup while uploads, indexing, replacing, deleting and questions go on."""
    services = app.services
    ann = services.accounts.register("ann@example.org", "ann", PASSWORD, role=Role.USER)
    services.accounts.set_access(CollectionAccess("papers", ann.id))
    ingest(app, *range(20))
    accepted: set[str] = {upload(app, number) for number in range(20, 24)}
    asked: set[str] = set()
    users: set[str] = {"ann"}
    stop = StopToken()
    worker = services.make_job_worker(lambda job, run: perform(app, job, run), stop)

    def uploads(number: int) -> None:
        accepted.add(upload(app, number))

    def questions(number: int) -> None:
        new = NewQuestion(f"What is {number}?", 1, "ann@example.org", "papers")
        asked.add(services.questions.ask(new).id)
        if number % 5 == 0:
            claimed = services.questions.claim(lease_seconds=30)
            assert claimed is not None
            services.questions.release(claimed.question.id, claimed.token)

    def replacing(number: int) -> None:
        upload(app, number % 3, f"Document {number % 3} now tells of the moon {number}.")
        if number % 10 == 0:
            with app.collection("gone") as gone:
                gone.ingest((Source(f"x{number}", "text/plain"), b"It will be deleted."))
                gone.delete(f"x{number}")

    def searching(number: int) -> None:
        with app.collection("papers") as papers:
            papers.search(f"comet {number}")

    def indexing(_: int) -> None:
        worker.work_once()

    with in_threads(uploads, questions, replacing, searching, indexing) as errors:
        while len(accepted) < 7 or len(asked) < 7:
            assert not errors, errors
        before = set(accepted), set(asked), set(users), {f"upload:ann/{n}.txt" for n in range(20)}
        with path.open("wb") as file:
            back_up(app, file)
        count = len(accepted)
        while len(accepted) == count:
            assert not errors, errors
    assert not errors, errors
    return before


def check(
    app: App, accepted: set[str], asked: set[str], users: set[str], documents: set[str]
) -> None:
    services = app.services
    for name in users:
        assert services.accounts.login(name, PASSWORD)
    for question in asked:
        assert services.questions.question(question).input
    with app.collection("papers") as papers:
        found = {record.source_uri for record in papers.documents()}
        assert documents <= found
        assert papers.inspect().clean
    work_off(app)
    for job in accepted:
        state = services.jobs.job(job)
        assert state.state is JobState.DONE, state
    with app.collection("papers") as papers:
        found = {record.source_uri for record in papers.documents()}
        assert {services.jobs.job(job).arguments["uri"] for job in accepted} <= found
        assert papers.inspect().clean
        assert papers.search("comet 126704", top_k=1)[0].chunk.text.startswith("Document 16 ")


def test_what_is_there_is_replaced_only_by_force(app: App, tmp_path: Path) -> None:
    ingest(app, 1, 2)
    backup = save(app, tmp_path / "b.tar")
    with open_app(tmp_path / "restored") as other:
        other.services.accounts.register("eve@example.org", "eve", PASSWORD, role=Role.USER)
        ingest(other, 7)
        ingest(other, 8, collection="own")
        with pytest.raises(ConflictError, match="already"):
            restore(other, open_backup(backup))
        with other.collection("papers") as papers:
            assert [each.source_uri for each in papers.documents()] == ["upload:ann/7.txt"]
        restore(other, open_backup(backup), force=True)
        assert [each.name for each in other.collections()] == ["papers"]
        assert other.services.accounts.users() == []
        with other.collection("papers") as papers:
            assert len(papers.documents()) == 2
            assert papers.inspect().clean


def test_a_stopped_backup_is_no_backup(app: App, tmp_path: Path) -> None:
    ingest(app, 1)
    stop = StopToken()
    path = tmp_path / "b.tar"

    def at_once(_: object) -> None:
        stop.set()

    with path.open("wb") as file, pytest.raises(StoppedError):
        back_up(app, file, run=Run(stop, at_once))
    with pytest.raises(KvasirError, match="take another backup"):
        open_backup(path)


def test_a_half_written_document_is_not_restored(app: App, tmp_path: Path) -> None:
    ingest(app, 1)
    catalog = app.catalog
    with app.collection("papers") as papers:
        pipeline = papers.index.make_pipeline()
        writer = catalog.start_writer("papers", lease_seconds=600, exclusive=False)
        (draft,) = _drafts(pipeline)
        catalog.begin("papers", [draft], writer)
        backup = save(app, tmp_path / "b.tar")
        catalog.end_writer(writer)
    with restored(tmp_path, backup) as other, other.collection("papers") as papers:
        assert [each.source_uri for each in papers.documents()] == ["upload:ann/1.txt"]
        assert papers.inspect().clean


def _drafts(pipeline: Any) -> list[Any]:
    uri = "upload:ann/half.txt"
    document = Document(document_id(uri), uri, "half", "Half of it.", (), {})
    chunks = tuple(pipeline.splitter.split(document))
    state = SourceState(uri, "text/plain", "h", 11, None, "s")
    return [VersionDraft(state, document, "en", {}, chunks)]


def test_an_empty_folder_has_nothing_to_back_up(app: App) -> None:
    with pytest.raises(RequestError, match="nothing to back up"):
        back_up(app, io.BytesIO())
