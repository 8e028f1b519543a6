"""Measures the Lambda function under a constant arrival rate, with a Qdrant server behind it.

    python bench/load_lambda.py [--rate 58] [--seconds 60] [--chunks 20000] [--instances 3]
                                [--route search|answers] [--json FILE] [--python fn/bin/python]
    python bench/load_lambda.py --throughput 300 --instances 1,2,4     how many a second at most

Lambda's own runtime client runs the handler in so many processes, as many instances as Lambda would
have at this rate; an event waits for a free one, as Lambda's queue would not: the figures include
that wait. Requests begin when they are due, and latency counts from that time. The store is a
server that speaks Qdrant's REST interface over the embedded engine, asked by the official client.
What the processors do is told apart: instances, store, and this program with its runtime API.
Documents and questions are those of ``load.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from itertools import islice
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np

from corpus import Corpus
from kvasir.app import App
from kvasir.core.leases import Lazy
from kvasir.core.services.accounts import Role, Scope
from kvasir.core.types import Source
from kvasir.settings.loading import load_settings
from load import COLLECTION, LINES, WORK, Prose, SeededEmbedder
from rwkv import processor
from tables import keep, put, table

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from lambda_runtime import LambdaFunction, function_url  # noqa: E402
from qdrant_server import qdrant_server  # noqa: E402

_AT_ONCE = 1e6
_TICKS = os.sysconf("SC_CLK_TCK")


class Instances(LambdaFunction):
    """A function with several instances, whose results belong to their events."""

    def __init__(self, folder: Path, settings: dict[str, Any], number: int, python: str) -> None:
        super().__init__(folder, settings, python=python)
        self._number = number
        self.processes: list[subprocess.Popen[bytes]] = []
        self.finished: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Instances:
        super().__enter__()
        self.processes = [self.process, *(self.start() for _ in range(self._number - 1))]
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes[1:]:
            process.kill()
            process.wait(60)
        super().__exit__(*error)

    def receive(self, identity: str, kind: str, data: bytes) -> None:
        """Take the result of an event, and when it came."""
        now = time.perf_counter()
        status = json.loads(data)["statusCode"] if kind == "response" else 500
        self.finished[identity] = now, status

    def send(self, event: dict[str, Any]) -> str:
        """Send an event; return its id."""
        identity = str(uuid.uuid4())
        self.events.put((identity, event))
        return identity

    def wait_for(self, identities: set[str], seconds: float) -> None:
        """Wait until these events are done."""
        end = time.perf_counter() + seconds
        while not identities <= self.finished.keys():
            if time.perf_counter() > end:
                raise SystemExit(f"no result: {self.output[-2000:]}")
            time.sleep(0.05)


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / _TICKS


def memory_mb(pid: int) -> float:
    """Return the most memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def settings_of(home: Path, store: str) -> dict[str, Any]:
    """Return the settings of a function whose store is at an address."""
    key = home / "signing-key"
    if not key.exists():
        key.write_text(token_hex(32), "utf-8")
    return {
        "data_dir": str(home / "data"),
        "collection": COLLECTION,
        "rag": {
            "language": "en",
            "vectordb": {"type": "qdrant-server", "uri": store},
            "splitter": {"split_by": "line", "split_length": 1},
        },
        "answer": {"refuse": False},  # The words mean nothing.
        "server": {"signing_key": key.read_text("utf-8")},
        "accounts": {"rate_limits": {"questions": "", "login": "", "registration": ""}},
    }


def prepare(home: Path, settings: dict[str, Any], chunks: int) -> str:
    """Index so many chunks, if that is not done; return an API key."""
    key = home / "api-key"
    if key.exists():
        return key.read_text("utf-8")
    began = time.perf_counter()
    with App(load_settings(settings, {}, {})) as app:
        prose, inner = Prose(app.embedder.name), app.embedder
        seeded = SeededEmbedder(inner, Corpus(chunks))
        app._embedder = Lazy(lambda: seeded)
        with app.collection() as collection:
            for start in range(0, chunks, 20 * LINES):
                collection.ingest(
                    *(
                        (
                            Source(f"bench:{first:07}", "text/plain"),
                            prose.document(first // LINES, min(LINES, chunks - first)).encode(),
                        )
                        for first in range(start, min(chunks, start + 20 * LINES), LINES)
                    )
                )
        accounts = app.services.accounts
        user = accounts.register("b@example.org", "bench", "correct horse", role=Role.ADMIN)
        _, made = accounts.create_api_key(user.id, "bench", set(Scope))
    key.write_text(made, "utf-8")
    print(f"made an index of {chunks:,} chunks in {time.perf_counter() - began:.0f} s")
    return made


def measure(
    function: Instances, store: int, events: list[dict[str, Any]], rate: float
) -> dict[str, Any]:
    """Send events at a constant rate; return the figures."""
    own = time.process_time()
    before = [processor_seconds(each.pid) for each in function.processes]
    store_before = processor_seconds(store)
    began = time.perf_counter()
    due: dict[str, float] = {}
    late = []
    for number, event in enumerate(events):
        at = began + number / rate
        if (left := at - time.perf_counter()) > 0:
            time.sleep(left)
        late.append(time.perf_counter() - at)
        due[function.send(event)] = at
    function.wait_for(set(due), 60)
    took = time.perf_counter() - began
    results = [
        (function.finished[each][0] - at, function.finished[each][1]) for each, at in due.items()
    ]
    latency = 1000 * np.array([each for each, _ in results])
    spent = [
        processor_seconds(each.pid) - was
        for each, was in zip(function.processes, before, strict=True)
    ]
    return {
        "rate": rate,
        "seconds": round(took, 1),
        "requests": len(events),
        "errors": sum(status != 200 for _, status in results),
        "statuses": {str(key): n for key, n in Counter(each for _, each in results).items()},
        **{
            f"p{each:g}_ms": round(float(np.percentile(latency, each)), 1)
            for each in (50, 90, 95, 99, 99.9)
        },
        "max_ms": round(float(latency.max()), 1),
        "late_p99_ms": round(1000 * float(np.percentile(late, 99)), 1),
        "late_max_ms": round(1000 * max(late), 1),
        "instance_ms_a_request": round(1000 * sum(spent) / len(events), 2),
        "store_ms_a_request": round(
            1000 * (processor_seconds(store) - store_before) / len(events), 2
        ),
        "bench_ms_a_request": round(1000 * (time.process_time() - own) / len(events), 2),
        "instance_memory_mb": round(max(memory_mb(each.pid) for each in function.processes)),
        "store_memory_mb": round(memory_mb(store)),
        "load_average": os.getloadavg()[0],
        "processor": processor(),
    }


def events_of(route: str, key: str, texts: list[str]) -> list[dict[str, Any]]:
    """Return an event of a function URL for each question."""
    path = f"/v1/collections/{COLLECTION}/{route}"
    name = "query" if route == "search" else "question"
    headers = {"x-api-key": key}
    return [function_url("POST", path, headers, {name: text}) for text in texts]


def shown(found: dict[str, Any]) -> str:
    """Return the figures as a table."""
    rows = [
        [
            "requests",
            f"{found['requests']:,} in {found['seconds']:.0f} s, {found['errors']} errors",
        ],
        [
            "p50 / p95 / p99 / longest",
            " / ".join(f"{found[each]:.0f}" for each in ("p50_ms", "p95_ms", "p99_ms", "max_ms"))
            + " ms",
        ],
        ["processor time a request: function", f"{found['instance_ms_a_request']:.1f} ms"],
        ["... the store", f"{found['store_ms_a_request']:.1f} ms"],
        ["... this program and its runtime API", f"{found['bench_ms_a_request']:.1f} ms"],
        ["most memory of an instance", f"{found['instance_memory_mb']} MB"],
    ]
    return table([f"{found['rate']:g} requests a second", ""], rows)


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=str, default="58", help="or several, with commas")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--instances", default="3", help="or several, with --throughput")
    parser.add_argument("--throughput", type=int, default=0, help="requests that come at once")
    parser.add_argument("--route", choices=["search", "answers"], default="search")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="put the last figures there as a table")
    parser.add_argument("--keep", type=Path, help="put the last figures there, under the route")
    given = parser.parse_args()
    home = WORK / f"load-lambda-{given.chunks}"
    (home / "store").mkdir(parents=True, exist_ok=True)
    results = []
    with qdrant_server(home / "store") as (address, store):
        settings = settings_of(home, address)
        key = prepare(home, settings, given.chunks)
        questions = Prose(load_settings(settings, {}, {}).rag.embedding_model.name).questions(
            given.chunks
        )
        for number in map(int, given.instances.split(",")):
            with Instances(home, settings, number, given.python) as function:
                warm = events_of(given.route, key, list(islice(questions, 20 * number)))
                measure(function, store, warm, 10)
                for rate in map(float, given.rate.split(",")):
                    count = given.throughput or int(rate * given.seconds)
                    events = events_of(given.route, key, list(islice(questions, count)))
                    rate = _AT_ONCE if given.throughput else rate
                    found = measure(function, store, events, rate)
                    found |= {"route": given.route, "chunks": given.chunks, "instances": number}
                    found["a_second"] = round(found["requests"] / found["seconds"], 1)
                    results.append(found)
                    print(json.dumps(found), flush=True)
                    if given.json:
                        given.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
                    if given.throughput:
                        break
    text = shown(results[-1])
    print(text)
    if given.page:
        put(given.page, f"lambda-{given.route}", text)
    if given.keep:
        keep(given.keep, given.route, results[-1])


if __name__ == "__main__":
    main()
