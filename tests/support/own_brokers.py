"""Brokers of a test's own, which it may stop, kill and start again: Redis and RabbitMQ."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from free_ports import free_port
from kombu import Connection

BROKERS = ("redis", "rabbitmq")
_SECONDS = 120.0
_RABBITMQ = Path("/usr/lib/rabbitmq")


class OwnBroker:
    """A broker process on loopback; ``url`` stays the same when it is started again."""

    def __init__(self, url, port, command, environment=None):
        self.url, self.port = url, port
        self._command, self._environment = command, environment
        self._process = None

    def start(self):
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | (self._environment or {}),
            start_new_session=True,
        )
        end = time.monotonic() + _SECONDS
        while not self._answers():
            assert self._process.poll() is None, f"the broker ended: {self._command}"
            assert time.monotonic() < end, "the broker does not answer"
            time.sleep(0.1)

    def _answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
                if self.url.startswith("redis"):
                    link.sendall(b"PING\r\n")
                    return link.recv(16).startswith(b"+PONG")
                link.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(link.recv(8))
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        """End it; RabbitMQ's queues and a Redis with ``save`` keep what they have."""
        if self._process is not None:
            os.killpg(self._process.pid, how)
            self._process.wait(_SECONDS)
            self._process = None

    def restart(self):
        self.stop()
        self.start()


@contextmanager
def shared_broker(kind: str) -> Iterator[OwnBroker]:
    """Give a broker that a test does not stop: RabbitMQ's at its usual port, if one answers.

    Starting it takes more processor time than the tests that use it.
    """
    running = OwnBroker("amqp://guest:guest@127.0.0.1:5672//", 5672, [])
    if kind == "rabbitmq" and running._answers():
        yield running
        return
    with own_broker(kind) as started:
        yield started


def delete_queues(url: str, prefix: str) -> None:
    """Delete the queues and the exchange of a test from a broker that others use."""
    if not url.startswith("amqp"):
        return
    with Connection(url) as connection, connection.channel() as channel:
        for name in ("ingest", "embed", "answers", "mail", "gpu", "dead"):
            channel.queue_delete(f"{prefix}.{name}")
        channel.exchange_delete(prefix)


@contextmanager
def own_broker(kind: str) -> Iterator[OwnBroker]:
    """Give an empty broker that nobody else uses; skip where there is none."""
    folder = Path(tempfile.mkdtemp(prefix=f"kvasir-{kind}-"))
    broker = (_redis if kind == "redis" else _rabbitmq)(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _redis(folder: Path) -> OwnBroker:
    program = shutil.which("redis-server") or pytest.skip("redis-server is not installed")
    port = free_port()
    # Without a copy on disk: a restart loses everything, which is the worst case.
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    return OwnBroker(f"redis://127.0.0.1:{port}/0", port, [program, *options])


def _rabbitmq(folder: Path) -> OwnBroker:
    program = next(iter(sorted(_RABBITMQ.glob("lib/rabbitmq_server-*/sbin/rabbitmq-server"))), None)
    if program is None:
        pytest.skip("rabbitmq-server is not installed")
    port, distribution = free_port(), free_port()
    settings = folder / "rabbitmq.conf"
    settings.write_text(
        f"listeners.tcp.default = 127.0.0.1:{port}\n"
        "loopback_users.guest = false\n"
        "disk_free_limit.absolute = 50MB\n",
        "utf-8",
    )
    (folder / "plugins").write_text("[].\n", "utf-8")
    environment = {
        "HOME": str(folder),
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
        "RABBITMQ_NODENAME": f"kvasir{port}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        # Not the scheduler threads of all cores, for a broker of a test.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    url = f"amqp://guest:guest@127.0.0.1:{port}//"
    return OwnBroker(url, port, [str(program)], environment)
