"""Keeps the database's schema at the revision that this version of Kvasir needs.

A database that is current costs one query; Alembic is only imported when something is to be
done. The migrations are the files in ``migrations/versions``.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DatabaseError

from kvasir.core.errors import UserError
from kvasir.database import migrations

REVISIONS = ("0001",)
"""Every revision there is, oldest first; the last one is what this version needs."""


def ensure_current(engine: Engine) -> None:
    """Migrates a database to the last revision, in one transaction.

    Raises:
        UserError: A newer version of Kvasir made the database.
    """
    if _revision(engine) == REVISIONS[-1]:
        return
    # One transaction that writes from its start: a second process that comes meanwhile waits
    # here, and then finds that nothing is left to do.
    with (
        engine.connect().execution_options(kvasir_writes=True) as connection,
        connection.begin(),
    ):
        _upgrade(connection)


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        try:
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except DatabaseError:
            if engine.dialect.has_table(connection, "alembic_version"):
                raise
            return None


def _upgrade(connection: Connection) -> None:
    command = importlib.import_module("alembic.command")
    config_class = importlib.import_module("alembic.config").Config
    runtime = importlib.import_module("alembic.runtime.migration")
    current = runtime.MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in REVISIONS:
        raise UserError(
            f"the database is at schema revision {current}, which this version of Kvasir does "
            "not know: a newer one made it; upgrade Kvasir, or use another data folder"
        )
    config = config_class()
    folder = str(Path(migrations.__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
