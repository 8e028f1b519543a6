"""Older databases gain the tables of the service, and lose them, without losing documents."""

import json
from datetime import datetime

import pytest
from databases import ENGINES, database
from sqlalchemy import JSON, MetaData, Table, insert, inspect, select

from kvasir.accounts.sql import AccountOptions, SqlAccounts
from kvasir.core.services.accounts import CollectionAccess, Role, Visibility
from kvasir.core.types import Certainty
from kvasir.database import open_database, reading, writing
from kvasir.database.migrating import ensure_current, migrate
from kvasir.questions.answer_log import SqlAnswerLog

OF_THE_SERVICE = {
    "users",
    "api_keys",
    "recoveries",
    "invitations",
    "collection_access",
    "collection_members",
    "jobs",
    "questions",
    "mails",
    "answer_log",
}
DAY = datetime(2026, 5, 4, 3, 2, 1)
ROWS = {
    "collections": {
        "id": 1,
        "name": "té",
        "embedder": "fake",
        "dimension": 4,
        "fingerprint": "fake-4",
        "languages": ["en", "es"],
        "calibration": None,
        "created": DAY,
    },
    "sources": {"id": 1, "collection_id": 1, "document_id": "d" * 36, "uri": "upload:té verde.pdf"},
    "versions": {
        "id": 1,
        "source_id": 1,
        "status": "live",
        "media_type": "application/pdf",
        "content_hash": "c" * 64,
        "size": 12345,
        "modified": 1.5,
        "recipe": "r" * 64,
        "title": "Té verde 绿茶",
        "language": "es",
        "chunk_count": 0,
        "own": {},
        "given": {"año": 2026},
        "metadata": {"año": 2026},
        "stamped": True,
        "error_reason": None,
        "error_message": None,
        "recorded": DAY,
    },
    "texts": {"version_id": 1, "compressed": b"\x00\xff text"},
}


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, tmp_path_factory):
    """A database of the last revision, which the tests share: creating tables takes seconds."""
    with database(request.param, tmp_path_factory.mktemp("migrated")) as url:
        engine = open_database(url)
        yield engine
        engine.dispose()


def bring_to(engine, revision):
    with writing(engine) as connection:
        migrate(connection, revision)


def tables(engine):
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def stored_form(table, row):
    """Return a row for a table whose types were read from the database; MariaDB's JSON is text."""
    return {
        name: json.dumps(value)
        if isinstance(value, dict | list) and not isinstance(table.c[name].type, JSON)
        else value
        for name, value in row.items()
    }


def rows(engine):
    """Return the first row of each table, in the columns that every revision has."""
    found = {}
    with reading(engine) as connection:
        for name, row in ROWS.items():
            table = Table(name, MetaData(), autoload_with=connection)
            stored = connection.execute(select(*(table.c[column] for column in row))).one()
            found[name] = dict(stored._mapping)
    return found


def columns(engine):
    with engine.connect() as connection:
        found = inspect(connection)
        return {
            table: {each["name"] for each in found.get_columns(table)}
            for table in OF_THE_SERVICE & set(found.get_table_names())
        }


def test_an_interrupted_migration_is_finished_by_the_next_start(engine):
    """MariaDB keeps the tables that were made before the process died."""
    with_service = columns(engine)
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP TABLE answer_log")
        connection.exec_driver_sql("DROP TABLE mails")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    ensure_current(engine)
    assert columns(engine) == with_service


def test_of_answers_logged_before_only_the_refused_ones_are_known_to_be_unsure(engine):
    bring_to(engine, "0006")
    with writing(engine) as connection:
        table = Table("answer_log", MetaData(), autoload_with=connection)
        for number, refused in enumerate((False, True)):
            row = {"id": str(number), "user_id": 1, "collection": "c", "question": "q"}
            row |= {"answer": "a", "refused": refused, "sources": [], "model": "m", "seconds": 0.5}
            row |= {"date": 0.0, "request_id": "", "comment": ""}
            connection.execute(insert(table).values(**stored_form(table, row)))
    ensure_current(engine)
    log = SqlAnswerLog(engine)
    assert [each.certainty for each in log.export()] == [None, Certainty.NO]
    log.delete_before(datetime(2100, 1, 1))


def test_documents_of_the_first_revision_are_kept_up_down_to_the_second_and_up_again(engine):
    with_service = columns(engine)
    assert set(with_service) == OF_THE_SERVICE
    bring_to(engine, "0001")
    assert not tables(engine) & OF_THE_SERVICE
    with writing(engine) as connection:
        for name, row in ROWS.items():
            table = Table(name, MetaData(), autoload_with=connection)
            connection.execute(insert(table).values(**stored_form(table, row)))
    before = rows(engine)

    ensure_current(engine)
    assert columns(engine) == with_service
    assert rows(engine) == before

    # The tables of the service are used: going down takes what they hold, and nothing else.
    accounts = SqlAccounts(engine, AccountOptions("k" * 32), send_recovery=lambda *_: None)
    user = accounts.register("ana@example.org", "ana", "correct horse", role=Role.USER)
    accounts.create_api_key(user.id, "key", ["read"])
    accounts.recover("ana", "es")
    accounts.set_access(CollectionAccess("té", user.id, Visibility.SHARED, readers=(user.id,)))
    bring_to(engine, "0002")
    assert not tables(engine) & OF_THE_SERVICE
    assert rows(engine) == before

    ensure_current(engine)
    assert columns(engine) == with_service
    assert rows(engine) == before
    assert accounts.users() == []
