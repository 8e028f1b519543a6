"""Opens the SQL database and brings its schema up to date: SQLite, PostgreSQL, MariaDB or MySQL.

An SQLite database runs in WAL mode: readers and the one writer do not block each other.
Transactions that write begin with ``BEGIN IMMEDIATE``: one that begins as a reader and writes
later fails at once, whatever the busy timeout, when another process wrote in between.

A transaction on a server is ``READ COMMITTED``: each statement sees what was committed before it.

Source: https://www.sqlite.org/wal.html, https://www.sqlite.org/lang_transaction.html; and, for
taking over BEGIN from the driver, SQLAlchemy's page on the pysqlite dialect.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from kvasir.core.errors import (
    ComponentError,
    MissingExtraError,
    RejectedDataError,
    SettingsError,
    StorageError,
)
from kvasir.database.migrating import ensure_current

BUSY_SECONDS = 15
"""How long a transaction waits for another process's before it gives up."""

_POOL_SECONDS = 30
"""How long a thread waits for one of the connections of its process."""

_STRICT = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"

_DRIVERS = {
    "postgresql": ("postgresql+psycopg", "psycopg", "postgres"),
    "postgres": ("postgresql+psycopg", "psycopg", "postgres"),
    "mysql": ("mysql+pymysql", "pymysql", "mysql"),
    "mariadb": ("mariadb+pymysql", "pymysql", "mysql"),
}
"""By the scheme of a URL: SQLAlchemy's name of the driver, its module, and the extra for it."""

_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another program writes to it; do the same again when it has ended",
    sqlite3.SQLITE_FULL: "make room on its disk, then do the same again",
}
"""What to do about an error of SQLite, by its primary code."""


def open_database(url: str) -> Engine:
    """Open a database, make its file and folder where needed, and migrates it.

    Args:
        url: An SQLAlchemy URL, such as ``sqlite:///kvasir-data/catalog.db``.

    Raises:
        SettingsError: The URL is unusable.
        MissingExtraError: The database's driver is not installed.
        StorageError: The database cannot be opened.
        IncompatibleVersionError: A newer Kvasir made it.
    """
    engine = _create(url)
    try:
        ensure_current(engine)
    except DBAPIError as error:
        engine.dispose()
        shown = engine.url.render_as_string(hide_password=True)
        raise StorageError(
            f"the database {shown} cannot be opened ({error.orig}): "
            "check that it is there, is a database and may be written"
        ) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that only reads: one snapshot.

    Raises:
        ComponentError: The database failed.
    """
    with _failing_in_words(engine, "reading"), engine.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that writes; commits at the end, rolls back on an error.

    Raises:
        RejectedDataError: A value does not fit, such as a number out of range.
        ComponentError: The database failed, its disk is full, or another process wrote for longer
            than ``BUSY_SECONDS``.
        IntegrityError: What was written breaks a rule of the schema.
    """
    with (
        _failing_in_words(engine, "writing"),
        engine.connect().execution_options(kvasir_writes=True) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def _failing_in_words(engine: Engine, operation: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (DataError, OverflowError, UnicodeError) as error:
        cause = getattr(error, "orig", error)
        first_line = str(cause).partition("\n")[0]
        raise RejectedDataError("catalog", operation, first_line) from error
    except PoolTimeoutError as error:
        shown = engine.url.render_as_string(hide_password=True)
        busy = f"every connection was in use for {_POOL_SECONDS} seconds ({shown})"
        remedy = "do less at the same time, or the same again later"
        raise ComponentError("catalog", operation, f"{busy}: {remedy}", kind="busy") from error
    except DBAPIError as error:
        # Of an extended code, such as SQLITE_BUSY_SNAPSHOT, the low byte is the primary one.
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        remedy = _REMEDIES.get(code, "check that it is there, is sound and may be written")
        shown = engine.url.render_as_string(hide_password=True)
        first_line = str(error.orig).partition("\n")[0]
        raise ComponentError("catalog", operation, f"{first_line} ({shown}): {remedy}") from error


def _create(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return _create_on_server(parsed)
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(parsed, pool_timeout=_POOL_SECONDS)
        else:
            # A database in memory lives in its one connection, for which threads wait.
            engine = create_engine(
                parsed,
                poolclass=QueuePool,
                pool_size=1,
                max_overflow=0,
                pool_timeout=_POOL_SECONDS,
                connect_args={"check_same_thread": False},
            )
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise SettingsError(
            f"the database URL is unusable ({error}): write it like sqlite:///folder/catalog.db, "
            "and install the driver of any other database"
        ) from error
    except OSError as error:
        raise StorageError(f"the database's folder cannot be made: {error}") from error
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _create_on_server(url: URL) -> Engine:
    backend = url.get_backend_name()
    driver, module, extra = _DRIVERS.get(backend, ("", "", ""))
    if driver and "+" not in url.drivername:
        url = url.set(drivername=driver)
    options: dict[str, Any] = {"pool_pre_ping": True, "isolation_level": "READ COMMITTED"}
    options["pool_timeout"] = _POOL_SECONDS
    if extra == "mysql":
        # Without the strict mode, values that are too long are cut off with a warning.
        options["connect_args"] = {"init_command": f"SET SESSION sql_mode = '{_STRICT}'"}
    try:
        return create_engine(url, **options)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise MissingExtraError(f"a database at {backend}://", extra) from error


def _prepare_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("kvasir_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
