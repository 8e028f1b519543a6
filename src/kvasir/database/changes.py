"""Tells cheaply whether an SQLite database was changed, by this process or by another one.

A query for each request would cost more than it saves: SQLite lets other threads run meanwhile,
and each time the request has to wait for its turn in the interpreter again.

Source: https://www.sqlite.org/pragma.html#pragma_data_version
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress

from sqlalchemy import Engine, event

from kvasir.database.engine import last_write

SECONDS = 0.05
"""A change of another process is noticed after this time; one of this process at once."""

Version = tuple[int, int]


class ChangeCounter:
    """Watches an SQLite database through a connection of its own, which writes nothing."""

    def __init__(self, engine: Engine) -> None:
        """Watch the database of an engine until that is disposed of."""
        database = engine.url.database
        is_file = engine.dialect.name == "sqlite" and database and database != ":memory:"
        self._path = database if is_file else None
        self._engine = engine
        self._connection: sqlite3.Connection | None = None
        self._reading = threading.Lock()
        self._read: tuple[float, int] | None = None
        """When the number was read, and the number."""
        event.listen(engine, "engine_disposed", lambda _: self.close())

    def recent(self) -> Version | None:
        """Return the version if it is known without reading the file; see ``version``."""
        read = self._read
        if read is None or time.monotonic() - read[0] > SECONDS:
            return None
        return read[1], last_write(self._engine)

    def version(self) -> Version | None:
        """Return a version that is another one after every commit; None where nothing tells it.

        That is so for databases on servers, in memory, and while the file cannot be read.
        """
        if self._path is None:
            return None
        # Read before the file: a write in between gives another version later.
        written = last_write(self._engine)
        if self.recent() is None and self._reading.acquire(blocking=self._read is None):
            # Others go on with the last version meanwhile.
            try:
                self._read = self._read_number(self._path)
            finally:
                self._reading.release()
        read = self._read
        return None if read is None else (read[1], written)

    def close(self) -> None:
        """Close the connection; the next ``version`` opens another one."""
        with self._reading:
            self._read = None
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _read_number(self, path: str) -> tuple[float, int] | None:
        started = time.monotonic()
        # Whoever then asks the database gets the error, with its reason.
        with suppress(sqlite3.Error):
            if self._connection is None:
                self._connection = sqlite3.connect(path, timeout=0.0, check_same_thread=False)
            row = self._connection.execute("PRAGMA data_version").fetchone()
            return started, int(row[0])
        return None
