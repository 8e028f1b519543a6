import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from database_tables import metadata
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from kvasir.core.errors import (
    ComponentError,
    IncompatibleVersionError,
    RejectedDataError,
    SettingsError,
    StorageError,
)
from kvasir.database import engine as engine_module
from kvasir.database import migrations, open_database, reading, writing
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
    with pytest.raises(RejectedDataError, match="too large"), writing(engine) as connection:
        connection.execute(text("SELECT :n"), {"n": 10**30})
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
