"""Every database engine is opened, migrated up and down, and shared by several processes."""

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from database_tables import metadata
from databases import DIALECTS, database
from sqlalchemy import inspect, make_url, text
from sqlalchemy.exc import IntegrityError

from kvasir.core.errors import MissingExtraError, RejectedDataError, StorageError
from kvasir.database import open_database, reading, writing
from kvasir.database.migrating import REVISIONS, migrate


@pytest.fixture(params=DIALECTS)
def url(request, tmp_path):
    with database(request.param, tmp_path) as url:
        yield url


def test_an_empty_database_is_migrated_to_exactly_the_tables_of_the_models(url):
    engine = open_database(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_every_migration_goes_down_and_up_again(url):
    engine = open_database(url)
    for revision in [*REVISIONS[-2::-1], "base"]:
        with writing(engine) as connection:
            migrate(connection, revision)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    for revision in REVISIONS:
        with writing(engine) as connection:
            migrate(connection, revision)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_several_processes_may_create_the_tables_at_the_same_time(url):
    code = f"from kvasir.database import open_database; open_database({url!r})"
    children = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)
    ]
    assert [child.communicate()[1].decode() for child in children] == ["", "", ""]


def test_a_failed_transaction_leaves_nothing_behind(url):
    engine = open_database(url)

    def write_and_fail():
        with writing(engine) as connection:
            connection.execute(text("DELETE FROM alembic_version"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1
    engine.dispose()


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_value_that_no_database_holds_is_no_damage(url, value):
    engine = open_database(url)
    query = text("SELECT 1 FROM alembic_version WHERE version_num = :value")
    for opened in (reading, writing):
        try:
            with opened(engine) as connection:
                assert connection.execute(query, {"value": value}).first() is None
        except RejectedDataError as error:
            assert (error.component, "backup" in str(error)) == ("catalog", False)
    engine.dispose()


def test_an_error_shows_no_value_of_a_statement(url):
    engine = open_database(url)
    statement = text("INSERT INTO alembic_version (version_num) VALUES (:value)")
    with pytest.raises(IntegrityError) as refused, writing(engine) as connection:
        for _ in range(2):
            connection.execute(statement, {"value": "hush"})
    assert "hush" not in str(refused.value).partition("[SQL")[2]
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        ("postgresql://me@localhost/db", "postgres"),
        ("postgres://me@localhost/db", "postgres"),
        ("mysql://me@localhost/db", "mysql"),
        ("mariadb://me@localhost/db", "mysql"),
    ],
)
def test_a_missing_driver_is_one_sentence_that_names_the_extra(monkeypatch, url, extra):
    for module in ("psycopg", "pymysql"):
        monkeypatch.setitem(sys.modules, module, None)
    backend = url.partition("://")[0]
    with pytest.raises(MissingExtraError, match=rf"{backend}:// needs .*extra '{extra}'"):
        open_database(url)


@pytest.mark.parametrize(
    "url", ["postgresql://me:s3cret@127.0.0.1:1/db", "mariadb://me:s3cret@127.0.0.1:1/db"]
)
def test_a_server_that_does_not_answer_is_one_sentence_without_the_password(url):
    with pytest.raises(StorageError, match="cannot be opened") as told:
        open_database(url)
    assert "s3cret" not in str(told.value)
    assert make_url(url).host in str(told.value)
