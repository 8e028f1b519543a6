"""Databases of a test's own: an SQLite file, or a database made on a server and dropped after."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

ENGINES = ("sqlite", "postgresql", "mariadb")
DIALECTS = (*ENGINES, "mysql")
"""``mysql`` is MySQL's dialect; where no MySQL is at hand, MariaDB answers it."""

_SERVERS = {
    "postgresql": os.environ.get("KVASIR_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432"),
    "mariadb": os.environ.get("KVASIR_TEST_MARIADB", "mariadb://root@127.0.0.1:3306"),
    "mysql": os.environ.get("KVASIR_TEST_MYSQL", "mysql://root@127.0.0.1:3306"),
}
_DRIVERS = {"postgresql": "psycopg", "mariadb": "pymysql", "mysql": "pymysql"}


@contextmanager
def database(engine: str, folder: Path) -> Iterator[str]:
    """Gives the URL of an empty database, which is gone afterwards.

    Skips the test where the server is not running; fails it in CI.
    """
    if engine == "sqlite":
        yield f"sqlite:///{folder}/catalog.db"
        return
    server = _SERVERS[engine]
    name = f"kvasir_test_{uuid4().hex[:12]}"
    driver = server.replace("://", f"+{_DRIVERS[engine]}://", 1)
    maintenance = "/postgres" if engine == "postgresql" else ""
    admin = create_engine(f"{driver}{maintenance}", isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    except OperationalError as error:
        admin.dispose()
        message = f"no {engine} server answers at {server}: {error.orig}"
        if os.environ.get("CI") or os.environ.get("KVASIR_TEST_EVERYTHING"):
            pytest.fail(message)
        pytest.skip(message)
    try:
        yield f"{server}/{name}"
    finally:
        forced = " WITH (FORCE)" if engine == "postgresql" else ""
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name}{forced}"))
        admin.dispose()
