import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from database_tables import metadata
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from kvasir.core.errors import (
    ComponentError,
    DamagedError,
    IncompatibleVersionError,
    RejectedDataError,
    SettingsError,
    StorageError,
)
from kvasir.database import changes as changes_module
from kvasir.database import engine as engine_module
from kvasir.database import migrations, open_database, reading, writing
from kvasir.database.changes import ChangeCounter
from kvasir.database.migrating import REVISIONS


def test_migrating_an_empty_database_gives_exactly_the_tables_of_the_models(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/new/catalog.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_listed_revisions_are_those_of_the_migration_files():
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert [r.revision for r in script.walk_revisions()][::-1] == list(REVISIONS)


def test_a_current_database_is_opened_without_alembic(tmp_path):
    url = f"sqlite:///{tmp_path}/catalog.db"
    open_database(url).dispose()
    code = (
        "import sys; from kvasir.catalog.sql import SqlCatalog;"
        f"SqlCatalog({url!r}).close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_several_processes_may_create_the_database_at_the_same_time(tmp_path):
    code = f"from kvasir.database import open_database; open_database('sqlite:///{tmp_path}/c.db')"
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [child.wait() for child in children] == [0, 0, 0, 0]


def test_a_database_of_a_newer_version_is_refused_with_what_to_do(tmp_path):
    url = f"sqlite:///{tmp_path}/catalog.db"
    engine = open_database(url)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(IncompatibleVersionError, match=r"9999.*upgrade Kvasir"):
        open_database(url)


def test_a_file_that_is_no_database_is_refused_in_one_sentence(tmp_path):
    file = tmp_path / "catalog.db"
    file.write_bytes(b"this is not a database, it only has its name" * 100)
    with pytest.raises(StorageError, match="cannot be opened"):
        open_database(f"sqlite:///{file}")


def test_a_damaged_schema_is_one_sentence(tmp_path):
    file = tmp_path / "catalog.db"
    open_database(f"sqlite:///{file}").dispose()
    content = bytearray(file.read_bytes())
    at = content.index(b"CREATE TABLE sources")
    content[at : at + 60] = b"\xff" * 60
    file.write_bytes(content)
    with pytest.raises(StorageError, match="cannot be opened"):
        open_database(f"sqlite:///{file}")


def test_a_database_that_was_cut_off_says_to_take_a_backup(tmp_path):
    file = tmp_path / "catalog.db"
    open_database(f"sqlite:///{file}").dispose()
    file.write_bytes(file.read_bytes()[:50_000])
    with pytest.raises(StorageError, match=r"malformed.*: move this file away, and put that of a"):
        open_database(f"sqlite:///{file}")


def test_damaged_rows_are_one_sentence(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/catalog.db")
    for damage in ("CAST(x'ff' AS TEXT)", "'{no json'"):
        row = {"name": "a", "embedder": "b", "dimension": 1, "fingerprint": "c"}
        with writing(engine) as connection:
            connection.execute(insert(metadata.tables["collections"]), row)
            connection.exec_driver_sql(f"UPDATE collections SET languages = {damage}")
        with (
            pytest.raises(ComponentError, match=r"reading failed: .*catalog\.db") as found,
            reading(engine) as connection,
        ):
            connection.execute(select(metadata.tables["collections"])).all()
        assert len(str(found.value).splitlines()) == 1
        assert isinstance(found.value, DamagedError) or "is sound" in str(found.value)
        with writing(engine) as connection:
            connection.exec_driver_sql("DELETE FROM collections")
    engine.dispose()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    mounting = ["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("only root may mount a disk that cannot be written")
    try:
        for there in (False, True):
            subprocess.run(["mount", "-o", "remount,ro", str(tmp_path)], check=True)
            with pytest.raises(StorageError, match=r"cannot be written to .*write permission"):
                open_database(f"sqlite:///{tmp_path}/catalog.db")
            if not there:
                subprocess.run(["mount", "-o", "remount,rw", str(tmp_path)], check=True)
                open_database(f"sqlite:///{tmp_path}/catalog.db").dispose()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("url", ["nonsense", "nosuchdb://host/name"])
def test_an_unusable_url_is_refused_with_an_example(url):
    with pytest.raises(SettingsError, match="sqlite:///"):
        open_database(url)


def test_sqlite_runs_in_wal_mode_with_foreign_keys_and_waits_when_busy(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/catalog.db")
    with reading(engine) as connection:
        pragma = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    assert pragma == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 15000}
    engine.dispose()


def test_a_failed_transaction_leaves_nothing_behind(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/catalog.db")

    def write_and_fail():
        with writing(engine) as connection:
            connection.execute(text("DELETE FROM alembic_version"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1
    engine.dispose()


def test_a_full_disk_is_one_sentence_that_says_what_to_do(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/catalog.db")

    def write_more_than_there_is_room_for():
        with writing(engine) as connection:
            connection.execute(text("PRAGMA max_page_count = 1"))
            connection.execute(text("CREATE TABLE large AS SELECT zeroblob(1000000)"))

    with pytest.raises(ComponentError, match=r"writing failed: .*full.*make room") as told:
        write_more_than_there_is_room_for()
    assert "CREATE TABLE" not in str(told.value)
    engine.dispose()


def test_another_writer_is_one_sentence_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_module, "BUSY_SECONDS", 0)
    engine = open_database(f"sqlite:///{tmp_path}/catalog.db")
    other = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ComponentError, match=r"writing failed: .*locked.*when it has ended"):  # noqa: SIM117
        with writing(engine):
            pass
    other.close()
    with writing(engine):
        pass
    engine.dispose()


def test_what_cannot_be_read_is_one_sentence_that_names_the_database(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/catalog.db")
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE collections"))
    with pytest.raises(ComponentError, match=r"reading failed: no such table.*catalog\.db.*check"):  # noqa: SIM117
        with reading(engine) as connection:
            connection.execute(text("SELECT * FROM collections"))
    engine.dispose()


def test_a_broken_rule_of_the_schema_stays_what_it_is(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/catalog.db")
    with pytest.raises(IntegrityError):  # noqa: SIM117
        with writing(engine) as connection:
            connection.execute(text("INSERT INTO collections (name) VALUES (NULL)"))
    engine.dispose()


def test_a_number_that_the_database_cannot_hold_is_told_from_a_broken_database(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/catalog.db")
    for opened in (writing, reading):
        with pytest.raises(RejectedDataError, match="too large"), opened(engine) as connection:
            connection.execute(text("SELECT :n"), {"n": 10**30})
    engine.dispose()


def test_a_commit_of_this_process_changes_the_version_at_once(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/service.db")
    changes = ChangeCounter(engine)
    before = changes.version()
    with reading(engine) as connection:
        connection.execute(text("SELECT 1"))
    assert changes.version() == changes.recent() == before
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE notes (id INTEGER)"))
    assert changes.recent() != before
    assert changes.version() != before
    engine.dispose()
    assert changes.recent() is None


def test_a_commit_of_another_process_changes_the_version(tmp_path, monkeypatch):
    engine, other = (open_database(f"sqlite:///{tmp_path}/service.db") for _ in range(2))
    changes = ChangeCounter(engine)
    before = changes.version()
    with writing(other) as connection:
        connection.execute(text("CREATE TABLE notes (id INTEGER)"))
    monkeypatch.setattr(changes_module, "SECONDS", 0.0)
    assert changes.recent() is None
    assert changes.version() != before
    engine.dispose()
    other.dispose()


def test_a_database_in_memory_has_no_version():
    engine = open_database("sqlite://")
    assert ChangeCounter(engine).version() is None
    engine.dispose()


@pytest.mark.parametrize("below", ["", "/kvasir"])
def test_a_folder_that_cannot_be_one_is_named_with_what_to_do(tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file.*cannot be made.*data_dir.*names another one"):
        open_database(f"sqlite:///{tmp_path}/file{below}/catalog.db")


def test_a_file_that_is_no_database_is_named_with_what_to_do(tmp_path):
    (tmp_path / "catalog.db").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(StorageError, match=r"catalog\.db.*move this file away"):
        open_database(f"sqlite:///{tmp_path}/catalog.db")
