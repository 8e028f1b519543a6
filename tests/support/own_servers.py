"""Database servers of a test's own, which it may stop and start again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from free_ports import free_port
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

_SECONDS = 60.0


class OwnDatabase:
    """A database; ``url`` stays the same when it is started again."""

    def __init__(self, url: str) -> None:
        self.url = url

    def restart(self) -> None:
        """Stop the server as its operator does, and start it again; SQLite has none."""


class OwnServer(OwnDatabase):
    """A server process on loopback."""

    def __init__(self, url: str, command: list[str], user: str | None, how: signal.Signals) -> None:
        super().__init__(url)
        self._command, self._user, self._how = command, user, how
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            self._command, stdout=quiet, stderr=quiet, **_as_user(self._user)
        )
        engine = create_engine(self.url)
        end = time.monotonic() + _SECONDS
        try:
            while True:
                try:
                    with engine.connect():
                        return
                except DBAPIError:
                    assert self._process.poll() is None, "the server ended at its start"
                    assert time.monotonic() < end, "the server does not answer"
                    time.sleep(0.05)
        finally:
            engine.dispose()

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(self._how)
            self._process.wait(_SECONDS)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()


@contextmanager
def own_database(engine: str, folder: Path) -> Iterator[OwnDatabase]:
    """Give an empty database of a server that nobody else uses; skip where there is none."""
    if engine == "sqlite":
        yield OwnDatabase(f"sqlite:///{folder}/service.db")
        return
    # Not the test's folder, which a server's user may not enter.
    place = Path(tempfile.mkdtemp(prefix=f"kvasir-{engine}-"))
    server = None
    try:
        server = (_postgresql if engine == "postgresql" else _mariadb)(place)
        server.start()
        _create_database(server)
        yield server
    finally:
        if server is not None:
            with suppress(subprocess.TimeoutExpired):
                server.stop()
        shutil.rmtree(place, ignore_errors=True)


def _create_database(server: OwnServer) -> None:
    base, _, name = server.url.rpartition("/")
    server.url = f"{base}/kvasir"
    admin = create_engine(f"{base}/{name}", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE kvasir"))
    admin.dispose()


def _postgresql(place: Path) -> OwnServer:
    initdb, postgres = _program("initdb"), _program("postgres")
    user = "postgres" if os.geteuid() == 0 else None
    data, port = place / "data", free_port()
    if user:
        shutil.chown(place, user)
    options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
    _run([initdb, "-D", str(data), *options], user)
    command = [postgres, "-D", str(data), "-p", str(port), "-h", "127.0.0.1"]
    command += ["-c", "unix_socket_directories=", "-c", "shared_buffers=32MB"]
    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    return OwnServer(url, command, user, signal.SIGINT)


def _mariadb(place: Path) -> OwnServer:
    install, mariadbd = _program("mariadb-install-db"), _program("mariadbd")
    data, port = place / "data", free_port()
    as_root = ["--user=root"] if os.geteuid() == 0 else []
    own = ["--no-defaults", f"--datadir={data}", *as_root]
    _run([install, *own, "--auth-root-authentication-method=normal", "--skip-test-db"], None)
    command = [mariadbd, *own, f"--port={port}", "--bind-address=127.0.0.1"]
    command += [f"--socket={place}/socket", f"--pid-file={place}/pid", "--skip-grant-tables"]
    command += ["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M"]
    return OwnServer(f"mariadb+pymysql://root@127.0.0.1:{port}/mysql", command, None, _TERM)


_TERM = signal.SIGTERM


def _program(name: str) -> str:
    found = shutil.which(name) or next(
        map(str, Path("/usr/lib").glob(f"postgresql/*/bin/{name}")), None
    )
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def _run(command: list[str], user: str | None) -> None:
    done = subprocess.run(command, capture_output=True, check=False, **_as_user(user))
    assert done.returncode == 0, done.stdout + done.stderr


def _as_user(user: str | None) -> dict[str, object]:
    if user is None:
        return {}
    return {"user": user, "group": user, "extra_groups": [], "cwd": "/"}
