"""What the ZeroMQ services cost, without a model.

    python bench/wire.py [--quick] [--json]

- encoding and decoding a call with an array of 100 B to 8 MB;
- the round trip of an empty call and of these arrays, client to worker and back through a broker,
  over ipc and tcp, each of the three in a process of its own;
- small messages per second through our broker, and through ``zmq.proxy`` (ROUTER and DEALER, in C)
  in the same run, with the same sender and the same echoing receiver, taking turns;
- processor time of the broker for each message.

A message is one direction: a request or its answer.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from kvasir.remote.zeromq import envelopes as wire
from kvasir.remote.zeromq.broker import Broker
from kvasir.remote.zeromq.client import Client
from kvasir.remote.zeromq.packing import pack, unpack
from kvasir.remote.zeromq.worker import Arguments, Service, Worker
from tables import milliseconds, table

SIZES = (100, 10_000, 1_000_000, 8_000_000)
"""Bytes of an array."""
CREDIT = 500
"""Messages on their way in the measurement of throughput."""
SPAWN = multiprocessing.get_context("spawn")
ROUND_TRIP_MS = 0.5
MESSAGES_PER_SECOND = 20_000
WITHIN = 2.0


def echo(given: Arguments) -> Any:
    """Return the array, if there is one."""
    return given.array("array") if given.get("has", bool) else None


def serve_broker(front: str, back: str, ready: Any, stop: Any, seconds: Any) -> None:
    """Run a broker in this process."""
    with Broker(front, back) as broker:
        before = _processor_seconds()
        ready.put((broker.front_end[0], broker.back_end[0]))
        stop.wait()
        seconds.value = _processor_seconds() - before


def serve_proxy(front: str, back: str, ready: Any, stop: Any, seconds: Any) -> None:
    """Run ZeroMQ's own proxy in this process."""
    context = zmq.Context()
    ends = []
    for kind, address in ((zmq.ROUTER, front), (zmq.DEALER, back)):
        end = context.socket(kind)
        end.set(zmq.LINGER, 0)
        end.set(zmq.SNDHWM, 0)
        end.set(zmq.RCVHWM, 0)
        end.bind(address)
        ends.append(end)
    control = context.socket(zmq.PAIR)
    control.bind("inproc://control")
    threading.Thread(target=zmq.proxy_steerable, args=(*ends, None, control), daemon=True).start()
    steering = context.socket(zmq.PAIR)
    steering.connect("inproc://control")
    before = _processor_seconds()
    ready.put(tuple(end.get_string(zmq.LAST_ENDPOINT) for end in ends))
    stop.wait()
    seconds.value = _processor_seconds() - before
    steering.send(b"TERMINATE")
    os._exit(0)


def serve_worker(back: str, ready: Any, stop: Any) -> None:
    """Run a worker in this process."""
    with Worker(back, [Service("echo", {"echo": echo}, 1)]):
        ready.put(None)
        stop.wait()


def echo_raw(back: str, registers: bool, ready: Any, stop: Any) -> None:
    """Send every message back as it came, in the broker's protocol or in none."""
    context = zmq.Context()
    end = context.socket(zmq.DEALER)
    end.set(zmq.LINGER, 0)
    end.set(zmq.SNDHWM, 0)
    end.set(zmq.RCVHWM, 0)
    end.connect(back)
    session = b""
    if registers:
        greeting = pack({"services": {"echo": CREDIT}, "name": "raw"})
        end.send_multipart([wire.write(wire.HELLO, wire.NO_SESSION), *greeting])
        session = wire.read(end.recv_multipart()[0])[5]
    ready.put(None)
    while not stop.is_set():
        if not end.poll(200):
            continue
        try:
            while True:
                frames = end.recv_multipart(zmq.NOBLOCK)
                if registers:
                    kind, id_ = wire.read(frames[0])[2], wire.read(frames[0])[6]
                    if kind == wire.REQUEST:
                        end.send_multipart([wire.write(wire.REPLY, session, id_), *frames[1:]])
                    elif kind == wire.PING:
                        end.send(wire.write(wire.PONG, session))
                else:
                    end.send_multipart(frames)
        except zmq.Again:
            continue


@contextmanager
def running(target: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """Run a function in a process of its own; give what it puts when it is ready."""
    ready, stop, seconds = SPAWN.Queue(), SPAWN.Event(), SPAWN.Value("d", 0.0)
    more = (seconds,) if target in (serve_broker, serve_proxy) else ()
    child = SPAWN.Process(target=target, args=(*arguments, ready, stop, *more), daemon=True)
    child.start()
    try:
        yield ready.get(timeout=180), stop, seconds
    finally:
        stop.set()
        child.join(10)
        if child.is_alive():
            child.kill()


def measure_packing(rounds: int) -> list[dict[str, Any]]:
    """Return the microseconds to encode and to decode arrays."""
    found = []
    for size in SIZES:
        value = ["embed", {"array": np.zeros(size // 4, np.float32)}]
        frames = pack(value)
        found.append(
            {
                "bytes": size,
                "encode_us": _microseconds(lambda value=value: pack(value), rounds),
                "decode_us": _microseconds(lambda frames=frames: unpack(frames), rounds),
            }
        )
    return found


def measure_round_trips(protocol: str, rounds: int) -> dict[str, Any]:
    """Return the milliseconds of calls over one protocol."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(serve_broker, *_ends(protocol, folder)) as ((front, back), _, _),
        running(serve_worker, back),
        Client(front) as client,
    ):
        found: dict[str, Any] = {"protocol": protocol}
        for size in (0, *SIZES):
            asked: dict[str, Any] = {"has": bool(size)}
            if size:
                asked["array"] = np.zeros(size // 4, np.float32)
            times = []
            for number in range(rounds if size < 1_000_000 else max(10, rounds // 20)):
                began = time.perf_counter()
                client.call("echo", "echo", asked)
                if number >= 5:
                    times.append((time.perf_counter() - began) * 1000)
            found[str(size)] = {
                "p50": statistics.median(times),
                "p99": sorted(times)[int(len(times) * 0.99)],
            }
        return found


def measure_throughput(kind: str, count: int) -> dict[str, float]:
    """Return messages per second through the broker or the proxy, and its processor time."""
    registers = kind == "broker"
    target = serve_broker if registers else serve_proxy
    with (
        tempfile.TemporaryDirectory() as folder,
        running(target, *_ends("ipc", folder)) as ((front, back), stop, seconds),
        running(echo_raw, back, registers),
    ):
        context = zmq.Context()
        end = context.socket(zmq.DEALER)
        end.set(zmq.LINGER, 0)
        end.connect(front)
        session = wire.NO_SESSION
        if registers:
            end.send(wire.write(wire.HELLO, session))
            session = wire.read(end.recv())[5]
        body = pack(["echo", {"has": False}])
        _exchange(end, session, body, 1, count // 10)
        began = time.perf_counter()
        _exchange(end, session, body, count // 10 + 1, count)
        took = time.perf_counter() - began
        end.close()
        context.term()
        stop.set()
        for _ in range(100):
            if seconds.value:
                break
            time.sleep(0.05)
        return {
            "messages_per_second": 2 * count / took,
            "processor_us": seconds.value / (2.2 * count) * 1e6,
        }


def _exchange(end: Any, session: bytes, body: list[bytes], first: int, count: int) -> None:
    """Send requests and read their answers, ``CREDIT`` at a time."""
    sent = received = 0
    while received < count:
        while sent < count and sent - received < CREDIT:
            envelope = wire.write(
                wire.REQUEST, session, first + sent, 60_000, wire.IDEMPOTENT, b"echo"
            )
            end.send_multipart([envelope, *body])
            sent += 1
        end.recv_multipart()
        received += 1
        try:
            while True:
                end.recv_multipart(zmq.NOBLOCK)
                received += 1
        except zmq.Again:
            continue


def _ends(protocol: str, folder: str) -> tuple[str, str]:
    if protocol == "tcp":
        return "tcp://127.0.0.1:0", "tcp://127.0.0.1:0"
    return f"ipc://{folder}/front", f"ipc://{folder}/back"


def _microseconds(act: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(max(10, rounds // 10)):
        began = time.perf_counter()
        act()
        times.append((time.perf_counter() - began) * 1e6)
    return statistics.median(times)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def render(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    sizes = ["empty", *(f"{size:,} B" for size in SIZES)]
    trips = [
        [each["protocol"], *(milliseconds(each[str(size)]) for size in (0, *SIZES))]
        for each in figures["round_trips"]
    ]
    packing = [
        [f"{each['bytes']:,} B", f"{each['encode_us']:.0f}", f"{each['decode_us']:.0f}"]
        for each in figures["packing"]
    ]
    through = [
        [name, f"{each['messages_per_second']:,.0f}", f"{each['processor_us']:.1f}"]
        for name, each in figures["throughput"].items()
    ]
    return "\n\n".join(
        [
            "A call from client to worker and back, with an array both ways; p50 / p99 in ms.",
            table(["", *sizes], trips),
            "Encoding and decoding, in microseconds.",
            table(["array", "encode", "decode"], packing),
            "Small messages through one broker over ipc (a request and its answer are two).",
            table(["", "messages/s", "processor us a message"], through),
        ]
    )


def main() -> int:
    """Measure; return 1 if a figure is below what it must reach."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only see that everything works")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    rounds, count, turns = (50, 2_000, 1) if given.quick else (2_000, 40_000, 3)
    throughput: dict[str, dict[str, float]] = {}
    for _ in range(turns):
        for kind in ("broker", "proxy"):
            found = measure_throughput(kind, count)
            best = throughput.get(kind)
            if best is None or found["messages_per_second"] > best["messages_per_second"]:
                throughput[kind] = found
    figures = {
        "packing": measure_packing(rounds),
        "round_trips": [measure_round_trips(each, rounds) for each in ("ipc", "tcp")],
        "throughput": throughput,
    }
    print(json.dumps(figures, indent=1) if given.json else render(figures))
    wanted = min(MESSAGES_PER_SECOND, throughput["proxy"]["messages_per_second"]) / WITHIN
    reached = (
        throughput["broker"]["messages_per_second"] >= wanted
        and figures["round_trips"][0]["0"]["p50"] <= ROUND_TRIP_MS
    )
    return 0 if reached or given.quick else 1


if __name__ == "__main__":
    # The processes that are started import this script by its folder.
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
