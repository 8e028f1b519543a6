"""Migrates the database's schema to the revision that this version of Kvasir needs.

The check takes two queries; Alembic is imported only if a migration is needed. The migrations are
the files in ``migrations/versions``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from kvasir.core.errors import IncompatibleVersionError, StoreLockedError
from kvasir.database import migrations

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
"""All revisions, oldest first; this version needs the last one."""

_LOCK = 5_317_008
"""The key of the lock of a migrating process; arbitrary."""

_LOCK_SECONDS = 120


def ensure_current(engine: Engine) -> None:
    """Migrate a database to the last revision, in one transaction.

    Raises:
        IncompatibleVersionError: A newer version of Kvasir made the database.
    """
    with engine.connect() as connection:
        if _revision(connection) == REVISIONS[-1]:
            return
    # A transaction that writes from its start: a second process waits here, and then finds the
    # database migrated.
    with (
        engine.connect().execution_options(kvasir_writes=True) as connection,
        connection.begin(),
        _one_at_a_time(connection),
    ):
        migrate(connection, "head")


def migrate(connection: Connection, revision: str) -> None:
    """Migrate a database, within a writing transaction, up or down to a revision.

    Besides ``REVISIONS`` there are ``head``, the last, and ``base``, an empty database.

    Raises:
        IncompatibleVersionError: A newer version of Kvasir made the database.
    """
    command = importlib.import_module("alembic.command")
    current = _revision(connection)
    if current is not None and current not in REVISIONS:
        raise IncompatibleVersionError(
            f"the database is at schema revision {current}, which this version of Kvasir does "
            "not know: a newer one made it; upgrade Kvasir, or use another data folder"
        )
    config = importlib.import_module("alembic.config").Config()
    folder = str(Path(migrations.__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    order = ("base", *REVISIONS, "head")
    downwards = order.index(revision) < order.index(current or "base")
    (command.downgrade if downwards else command.upgrade)(config, revision)


def _revision(connection: Connection) -> str | None:
    # Check first, because a failed query would end the transaction on PostgreSQL.
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def _one_at_a_time(connection: Connection) -> Iterator[None]:
    """Lock out other migrating processes; on SQLite the transaction does this."""
    backend = connection.dialect.name
    if backend == "postgresql":
        # Released at the end of the transaction.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    if backend not in ("mysql", "mariadb"):
        yield
        return
    # All databases of a server share the names of locks.
    name = f"CONCAT('{_LOCK}.', MD5(DATABASE()))"
    if connection.execute(text(f"SELECT GET_LOCK({name}, {_LOCK_SECONDS})")).scalar() != 1:
        raise StoreLockedError(
            f"another process has been migrating the database for {_LOCK_SECONDS} seconds: "
            "try again when it has ended"
        )
    try:
        yield
    finally:
        connection.execute(text(f"SELECT RELEASE_LOCK({name})"))
