"""Keeps the database's schema at the revision that this version of Kvasir needs.

A database that is current costs two queries; Alembic is only imported when something is to be
done. The migrations are the files in ``migrations/versions``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from kvasir.core.errors import IncompatibleVersionError, StoreLockedError
from kvasir.database import migrations

REVISIONS = ("0001", "0002")
"""Every revision there is, oldest first; the last one is what this version needs."""

_LOCK = 5_317_008
"""The number that a migrating process locks, arbitrary but always the same."""

_LOCK_SECONDS = 120


def ensure_current(engine: Engine) -> None:
    """Migrates a database to the last revision, in one transaction.

    Raises:
        IncompatibleVersionError: A newer version of Kvasir made the database.
    """
    with engine.connect() as connection:
        if _revision(connection) == REVISIONS[-1]:
            return
    # One transaction that writes from its start: a second process that comes meanwhile waits
    # here, and then finds that nothing is left to do.
    with (
        engine.connect().execution_options(kvasir_writes=True) as connection,
        connection.begin(),
        _one_at_a_time(connection),
    ):
        migrate(connection, "head")


def migrate(connection: Connection, revision: str) -> None:
    """Migrates a database up or down to a revision.

    Args:
        connection: Within a writing transaction.
        revision: One of ``REVISIONS``, ``head``, or ``base``, which is an empty database.

    Raises:
        IncompatibleVersionError: A newer version of Kvasir made the database.
    """
    command = importlib.import_module("alembic.command")
    config_class = importlib.import_module("alembic.config").Config
    current = _revision(connection)
    if current is not None and current not in REVISIONS:
        raise IncompatibleVersionError(
            f"the database is at schema revision {current}, which this version of Kvasir does "
            "not know: a newer one made it; upgrade Kvasir, or use another data folder"
        )
    config = config_class()
    folder = str(Path(migrations.__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    order = ("base", *REVISIONS, "head")
    downwards = order.index(revision) < order.index(current or "base")
    (command.downgrade if downwards else command.upgrade)(config, revision)


def _revision(connection: Connection) -> str | None:
    # Asked first: on PostgreSQL a failed query would end the transaction.
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def _one_at_a_time(connection: Connection) -> Iterator[None]:
    """Keep other processes from migrating the same database; SQLite's transaction does so."""
    backend = connection.dialect.name
    if backend == "postgresql":
        # Released at the end of the transaction.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    if backend not in ("mysql", "mariadb"):
        yield
        return
    # Locks have names that all databases of a server share.
    name = {"name": f"{_LOCK}", "seconds": _LOCK_SECONDS}
    taken = text("SELECT GET_LOCK(CONCAT(:name, '.', MD5(DATABASE())), :seconds)")
    if connection.execute(taken, name).scalar() != 1:
        raise StoreLockedError(
            f"another process has been migrating the database for {_LOCK_SECONDS} seconds: "
            "try again when it has ended"
        )
    try:
        yield
    finally:
        released = text("SELECT RELEASE_LOCK(CONCAT(:name, '.', MD5(DATABASE())))")
        connection.execute(released, {"name": f"{_LOCK}"})
