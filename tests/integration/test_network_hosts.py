"""Workers on two other hosts serve one broker, and one host is cut off in the middle.

The hosts are network namespaces, which only root may make, joined to that of the broker by a
pair of virtual interfaces each.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvasir.core.errors import KvasirError
from kvasir.frontends.cli.main import cli
from kvasir.remote.zeromq.client import Client
from kvasir.remote.zeromq.curve_keys import load_keys
from kvasir.remote.zeromq.embedding import RemoteEmbedder

SUPPORT = Path(__file__).parents[1] / "support"
SLOW = ["--set=rag.embedding_model.type=served_components:SlowEmbedder"]
PATIENCE = 120
CALLERS = 4


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Hosts:
    """The broker's namespace and two others, each joined to it by a network of its own."""

    def __init__(self, opened):
        self._opened = opened
        self.tag = f"kv{os.getpid() % 100_000}"
        try:
            self.broker = self._add("b")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces cannot be made here (root makes them): {error}")
        self.others = [self._join(number) for number in (1, 2)]

    def _add(self, suffix):
        name = f"{self.tag}{suffix}"
        ip("netns", "add", name)
        self._opened.callback(ip, "netns", "delete", name)
        ip("-n", name, "link", "set", "lo", "up")
        return name

    def _join(self, number):
        name, ends = self._add(str(number)), [f"{self.tag}{side}{number}" for side in "xy"]
        ip("-n", self.broker, "link", "add", ends[0], "type", "veth", "peer", "name", ends[1],
           "netns", name)  # fmt: skip
        for namespace, end, last in ((self.broker, ends[0], 1), (name, ends[1], 2)):
            ip("-n", namespace, "address", "add", f"10.77.{number}.{last}/24", "dev", end)
            ip("-n", namespace, "link", "set", end, "up")
        return name

    def cut(self, number, state="down"):
        """Cut a host off, or join it again."""
        ip("-n", self.broker, "link", "set", f"{self.tag}x{number}", state)

    def start(self, host, *arguments):
        """Run ``kvasir services`` on a host until the end."""
        command = ["ip", "netns", "exec", host, sys.executable, "-m", "kvasir", "services"]
        environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
        process = subprocess.Popen([*command, *arguments], env=environment)
        self._opened.callback(self._end, process)

    def _end(self, process):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Callers:
    """Some threads that call one after the other until the end."""

    def __init__(self, embedder):
        self._embedder, self._stop = embedder, threading.Event()
        self.answered, self.errors, self._lock = 0, [], threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(CALLERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self):
        while not self._stop.is_set():
            try:
                vectors = self._embedder.embed_documents(["one", "two"])
            except KvasirError as error:
                self.errors.append(error)
                return
            assert len(vectors) == 2
            with self._lock:
                self.answered += 1

    def wait_for_more(self, count):
        end, wanted = time.monotonic() + PATIENCE, self.answered + count
        while self.answered < wanted:
            assert time.monotonic() < end and not self.errors, self.errors
            time.sleep(0.02)


def wait_for_workers(client, count):
    end = time.monotonic() + PATIENCE
    while len(found := client.statistics()["workers"]) != count:
        assert time.monotonic() < end, found
        time.sleep(0.1)


def test_a_host_that_is_cut_off_loses_no_call_and_comes_back(tmp_path):
    if shutil.which("ip") is None:
        pytest.skip("the program ip is not here (package iproute2)")
    with ExitStack() as opened:
        hosts = Hosts(opened)
        keys = tmp_path / "keys"
        names = ["--client", "api", "--worker", "one", "--worker", "two"]
        made = CliRunner().invoke(cli, ["services", "keys", str(keys), *names], obj={})
        assert made.exit_code == 0, made.output
        # A socket in a folder is reached from every namespace.
        front = f"ipc://{tmp_path}/s/front"
        ends = ["--front-end", front, "--back-end", "tcp://0.0.0.0:7782", "--keys", str(keys)]
        hosts.start(hosts.broker, "broker", *ends)
        for number, key in ((1, "one"), (2, "two")):
            back = ["--back-end", f"tcp://10.77.{number}.1:7782", "--keys", str(keys), "--key", key]
            place = ["--data-dir", str(tmp_path / key)]
            hosts.start(hosts.others[number - 1], "run", "embedder", *back, *place, *SLOW)
        client = opened.enter_context(Client(front, keys=load_keys(keys, "api"), patience=PATIENCE))
        wait_for_workers(client, 2)
        embedder = RemoteEmbedder(front, keys=str(keys), key="api")
        opened.callback(embedder.close)
        with Callers(embedder) as callers:
            callers.wait_for_more(20)
            hosts.cut(1)
            wait_for_workers(client, 1)
            callers.wait_for_more(20)
            hosts.cut(1, "up")
            wait_for_workers(client, 2)
            callers.wait_for_more(20)
        assert callers.errors == []
