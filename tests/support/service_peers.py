"""Brokers and workers for tests, in this process or as processes of their own.

    python service_peers.py broker FRONT_END BACK_END HEARTBEAT REQUESTS
    python service_peers.py worker BACK_END HEARTBEAT SLOTS [HANG_SECONDS]

The process prints its addresses in one line and ends when its standard input does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kvasir.core.deadline import check
from kvasir.core.run import StopToken
from kvasir.remote.zeromq.broker import Broker
from kvasir.remote.zeromq.dispatching_records import Limits
from kvasir.remote.zeromq.worker import Arguments, Service, Worker

HEARTBEAT = 0.4


def echo(given: Arguments) -> object:
    """Return the value after some seconds, with the process that served it."""
    time.sleep(given.get("seconds", float))
    return {"value": given.get("value", int), "pid": os.getpid()}


def wait(given: Arguments) -> object:
    """Wait until the caller has gone; return nothing before."""
    end = time.monotonic() + given.get("seconds", float)
    while time.monotonic() < end:
        check("waiting")
        time.sleep(0.01)
    return "waited"


def count(given: Arguments) -> Iterator[object]:
    """Yield numbers with arrays."""
    for number in range(given.get("most", int)):
        time.sleep(given.get("seconds", float))
        yield {"number": number, "array": np.full(4, number, dtype=np.float32)}


def double(given: Arguments) -> object:
    """Return an array times two, and the text."""
    return {"array": given.array("array") * 2, "text": given.get("text", str)}


OPERATIONS = {"echo": echo, "wait": wait, "count": count, "double": double}


def echo_services(slots: int) -> list[Service]:
    """Return the services of these tests: a fast one, and one for what takes long."""
    return [Service("echo", OPERATIONS, slots), Service("slow", OPERATIONS, 1)]


class Peer:
    """A process that serves until ``end``."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, __file__, *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.addresses = self.process.stdout.readline().split()
        assert self.addresses, "the process has ended"

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """End it in order; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        return self.process.returncode


@contextmanager
def peer(*arguments: object) -> Iterator[Peer]:
    """Start a process and end it with the block."""
    started = Peer(*arguments)
    try:
        yield started
    finally:
        started.end()


def worker_process(address: str, slots: int = 4, hang_seconds: float = 60.0) -> Peer:
    """Start a worker of ``echo_services``."""
    return Peer("worker", address, HEARTBEAT, slots, hang_seconds)


def wait_for(condition: object, seconds: float = 10.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def _main(kind: str, *arguments: str) -> int:
    stop = StopToken()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    if kind == "broker":
        front, back, heartbeat, requests = arguments
        with Broker(
            front, back, limits=Limits(requests=int(requests)), heartbeat=float(heartbeat)
        ) as broker:
            print(*broker.front_end, *broker.back_end, flush=True)
            stop.wait()
        return 0
    address, heartbeat, slots, hang_seconds = arguments
    with Worker(
        address,
        echo_services(int(slots)),
        heartbeat=float(heartbeat),
        hang_seconds=float(hang_seconds),
    ) as worker:
        print(worker.name, flush=True)
        return 0 if worker.run(stop) else 1


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(_main(*sys.argv[1:]))
