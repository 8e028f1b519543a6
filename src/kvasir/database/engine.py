"""Opens the SQL database and migrates its schema: SQLite, PostgreSQL, MariaDB or MySQL.

SQLite runs in WAL mode: readers and the one writer do not block each other. Writing transactions
begin with ``BEGIN IMMEDIATE``, because one that begins as a reader fails without waiting if another
process has written since. Transactions on servers are ``READ COMMITTED``. Errors do not show the
parameters of a statement, among which may be secrets.

Source: https://www.sqlite.org/wal.html, https://www.sqlite.org/lang_transaction.html; for
``BEGIN``, SQLAlchemy's page on the pysqlite dialect.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from kvasir.core.errors import (
    ComponentError,
    DamagedError,
    MissingExtraError,
    RejectedDataError,
    SettingsError,
    StorageError,
    describe_unexpected,
)
from kvasir.core.private_files import make_private_file, make_private_folder
from kvasir.database.migrating import ensure_current

BUSY_SECONDS = 15
"""How long a transaction waits for that of another process."""

_POOL_SECONDS = 30
"""How long a thread waits for a connection of the pool."""

_DAMAGED = ("not a database", "image is malformed", "malformed database schema")
"""What SQLite says of a file that is damaged or none of its own."""

_STRICT = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"

_WRITE_NUMBERS = count(1)
_LAST_WRITES: WeakKeyDictionary[Engine, int] = WeakKeyDictionary()

_DRIVERS = {
    "postgresql": ("postgresql+psycopg", "psycopg", "postgres"),
    "postgres": ("postgresql+psycopg", "psycopg", "postgres"),
    "mysql": ("mysql+pymysql", "pymysql", "mysql"),
    "mariadb": ("mariadb+pymysql", "pymysql", "mysql"),
}
"""By URL scheme: SQLAlchemy's driver name, its module, and its extra."""

_REMEDIES = {
    sqlite3.SQLITE_BUSY: "another program writes to it; do the same again when it has ended",
    sqlite3.SQLITE_FULL: "make room on its disk, then do the same again",
}
"""Advice by SQLite's primary error code."""


def open_database(url: str) -> Engine:
    """Open a database, make its file and folder if needed, and migrate it.

    Only this user may read an SQLite file that is made.

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
    except (DBAPIError, UnicodeError) as error:
        engine.dispose()
        raise _unopened(engine.url, error) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that only reads.

    Raises:
        RejectedDataError: A value that is looked up is none that the database can hold.
        ComponentError: The database failed.
        DamagedError: What it holds cannot be read.
    """
    try:
        with _translating_errors(engine, "reading"), engine.begin() as connection:
            yield connection
    except (RejectedDataError, ValueError, zlib.error) as error:
        if isinstance(error, RejectedDataError) and _is_of_parameter(error.__cause__):
            raise
        cause = error.cause if isinstance(error, RejectedDataError) else describe_unexpected(error)
        what = f"what it holds cannot be read ({cause}): bring {engine.url!r} back from a backup"
        raise DamagedError("catalog", "reading", what) from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that writes; commit at the end, roll back on an error.

    Raises:
        RejectedDataError: A value is not accepted, such as a number out of range.
        ComponentError: The database failed, its disk is full, or another process wrote for longer
            than ``BUSY_SECONDS``.
        IntegrityError: A constraint of the schema is violated.
    """
    with (
        _translating_errors(engine, "writing"),
        engine.connect().execution_options(kvasir_writes=True) as connection,
        connection.begin(),
    ):
        yield connection
    _LAST_WRITES[engine] = next(_WRITE_NUMBERS)


def last_write(engine: Engine) -> int:
    """Return a number that is another one after every writing transaction of this process."""
    return _LAST_WRITES.get(engine, 0)


@contextmanager
def _translating_errors(engine: Engine, operation: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except (DataError, OverflowError, UnicodeError) as error:
        cause = getattr(error, "orig", error)
        first_line = str(cause).partition("\n")[0]
        raise RejectedDataError("catalog", operation, first_line) from error
    except PoolTimeoutError as error:
        busy = f"every connection was in use for {_POOL_SECONDS} seconds ({engine.url!r})"
        remedy = "do less at the same time, or the same again later"
        raise ComponentError("catalog", operation, f"{busy}: {remedy}", kind="busy") from error
    except DBAPIError as error:
        # The low byte of an extended code, such as SQLITE_BUSY_SNAPSHOT, is the primary code.
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        remedy = _REMEDIES.get(code, "check that it is there, is sound and may be written")
        cause = str(error.orig).partition("\n")[0]
        raise ComponentError("catalog", operation, f"{cause} ({engine.url!r}): {remedy}") from error


def _is_of_parameter(error: BaseException | None) -> bool:
    """Return True if a statement's parameter was refused, not what the database holds."""
    if isinstance(error, OverflowError):
        # One of a stored date, for example, does not name the database.
        return str(error).endswith("SQLite INTEGER")
    return isinstance(error, (DataError, UnicodeEncodeError))


def _create(url: str) -> Engine:
    options: dict[str, Any] = {"pool_timeout": _POOL_SECONDS}
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return _create_on_server(parsed)
        if parsed.database and parsed.database != ":memory:":
            make_private_folder(Path(parsed.database).parent)
            # SQLite gives the files beside it the same mode.
            make_private_file(Path(parsed.database))
        else:
            # A database in memory exists in one connection, which all threads share.
            options |= {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}
            options["connect_args"] = {"check_same_thread": False}
        engine = create_engine(parsed, hide_parameters=True, **options)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise SettingsError(
            f"the database URL is unusable ({error}): write it like sqlite:///folder/catalog.db, "
            "and install the driver of any other database"
        ) from error
    except OSError as error:
        path = Path(parsed.database or "")
        if path.parent.is_dir():
            raise _unwritable(path, error.strerror or error) from error
        raise StorageError(
            f"the database '{path}' cannot be made ({error.strerror}): its folder must be one that "
            "may be written to; data_dir, or the database's URL, names another one"
        ) from error
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
        # Without strict mode, long values are cut off with only a warning.
        options["connect_args"] = {"init_command": f"SET SESSION sql_mode = '{_STRICT}'"}
    try:
        return create_engine(url, hide_parameters=True, **options)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise MissingExtraError(f"a database at {backend}://", extra) from error


def _unopened(url: URL, error: DBAPIError | UnicodeError) -> StorageError:
    # SQLite's message about a damaged file may itself be text that cannot be decoded.
    cause = error.orig if isinstance(error, DBAPIError) else error
    path = Path(url.database or "")
    if url.get_backend_name() == "sqlite" and path.parent.is_dir():
        places = (path.parent, path) if path.exists() else (path.parent,)
        if not all(os.access(place, os.W_OK) for place in places):
            return _unwritable(path, cause)
    advice = "check that it is there, is a database and may be written"
    if any(damage in str(cause) for damage in _DAMAGED):
        advice = "move this file away, and put that of a backup there or ingest again"
    return StorageError(f"the database {url!r} cannot be opened ({cause}): {advice}")


def _unwritable(database: Path, cause: object) -> StorageError:
    return StorageError(
        f"'{database.parent}' cannot be written to ({cause}), and the database '{database.name}' "
        "in it is opened for writing even to read it: give this user write permission, or copy "
        "the folder to a place that has it and name that in data_dir"
    )


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
