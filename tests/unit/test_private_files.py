"""Whatever Kvasir keeps is for its user only from the moment it exists."""

import os
import stat
import threading

import pytest

from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.core.private_files import create_private_file, make_private_folder
from kvasir.database import open_database, writing
from kvasir.frontends.cli.chat.session import Journal, Session, SessionTemplate
from kvasir.jobs.spool import FolderSpool
from kvasir.testing.fakes import FakeAnalyzer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")


@pytest.fixture(autouse=True)
def _open_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder):
    """Return the modes of everything below a folder."""
    return {path: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def is_private(folder):
    """Return True if others reach nothing: a private folder hides what is in it."""
    return all(not stat.S_IMODE(path.stat().st_mode) & 0o077 for path in folder.iterdir())


def test_a_private_folder_is_made_with_the_missing_ones_above_it(tmp_path):
    make_private_folder(tmp_path / "a" / "b" / "c")
    make_private_folder(tmp_path / "a" / "b" / "c")
    assert set(modes(tmp_path).values()) == {0o700}


def test_a_folder_that_is_there_keeps_its_mode(tmp_path):
    (tmp_path / "shared").mkdir(mode=0o755)
    make_private_folder(tmp_path / "shared" / "own")
    assert [mode for _, mode in sorted(modes(tmp_path).items())] == [0o755, 0o700]


def test_a_private_file_is_never_one_that_another_made(tmp_path):
    with create_private_file(tmp_path / "new") as file:
        file.write(b"x")
    assert set(modes(tmp_path).values()) == {0o600}
    with pytest.raises(FileExistsError):
        create_private_file(tmp_path / "new")


def test_databases_are_private_also_if_two_make_one_at_once(tmp_path):
    path = tmp_path / "data" / "catalog.db"
    barrier = threading.Barrier(2)

    def make():
        barrier.wait()
        engine = open_database(f"sqlite:///{path}")
        with writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS t (x)")
            seen.append(set(modes(path.parent).values()))
        engine.dispose()

    seen = []
    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [{0o600}, {0o600}]  # The files beside the database, too.
    assert is_private(tmp_path)


def test_the_index_is_private_also_in_a_folder_that_others_may_open(tmp_path):
    QdrantStore(str(tmp_path / "new" / "store"), "one", 8, FakeAnalyzer()).close()
    assert is_private(tmp_path)
    shared = tmp_path / "shared" / "one"
    shared.mkdir(parents=True, mode=0o755)
    QdrantStore(str(shared.parent), "one", 8, FakeAnalyzer()).close()
    lock = shared / "lock"  # It is empty.
    assert {path.name for path in shared.iterdir() if path.stat().st_mode & 0o077} == {lock.name}


def test_uploads_and_chats_are_private(tmp_path):
    with (tmp_path / "given").open("wb+") as given:
        FolderSpool(tmp_path / "new" / "spool").put(given, max_bytes=9)
    (tmp_path / "given").unlink()
    Journal(tmp_path / "logs" / "chats").write({"role": "user", "content": "q"}, "")
    Session(SessionTemplate("s", "")).save(tmp_path / "chat.json")
    assert is_private(tmp_path)
