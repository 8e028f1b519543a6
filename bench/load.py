"""Measures the HTTP service under a constant arrival rate, on the loopback.

    python bench/load.py                             120 searches a second for 60 s, 100,000 chunks
    python bench/load.py --route answers --rate 40   extractive answers
    python bench/load.py --find                      the highest rate that holds
    python bench/load.py --ingest 1000 --rate 40     while 1,000 documents are being ingested
    python bench/load.py --chunks 5000 --seconds 5   a quick look

Requests begin when they are due, however slow the server is, and latency counts from that time: a
client that waits for answers before it asks again would hide the queue. The vectors of the chunks
are made from a seed; only the questions, and the sentences that an answer may quote, are embedded.
The texts are random words in sentences, as many tokens as English has, and a question has words of
one sentence. The cost of this program, which shares the processors with the server, is shown. The
index is kept under ``bench/work``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import httpx
import numpy as np
import yaml

from corpus import Corpus
from kvasir.app import App
from kvasir.core.leases import Lazy
from kvasir.core.services.accounts import CollectionAccess, Role, Visibility
from kvasir.core.types import Matrix, Source
from kvasir.models.local import find
from kvasir.settings.loading import load_settings

WORK = Path(__file__).parent / "work"
COLLECTION = "load"
LINES = 50
"""Chunks of a document, each a line."""
PASSWORD = "a password of the benchmark"
LINE_WORDS = 75
"""Words of a chunk, a token each: as many tokens as 60 words of English have."""
_METRIC = re.compile(r"^(\w+)(?:\{(.*?)\})? (\S+)$", re.MULTILINE)


class Prose:
    """Documents and questions made from seeds."""

    def __init__(self, model: str) -> None:
        """Take the whole words of a model's vocabulary, some much more frequent than others."""
        tokenizer = json.loads((find(model).path / "tokenizer.json").read_text("utf-8"))
        words = [word for word in tokenizer["model"]["vocab"] if re.fullmatch("[a-z]{3,}", word)]
        self._words = np.random.default_rng(0).permutation(words).tolist()
        weights = np.cumsum(1 / np.arange(1, len(words) + 1))
        self._ranks = weights / weights[-1]

    def document(self, number: int, lines: int = LINES) -> str:
        """Return a document of so many lines."""
        rng = np.random.default_rng((1, number))
        rows = np.searchsorted(self._ranks, rng.random((lines, LINE_WORDS))).tolist()
        return "\n".join(" ".join(_sentences(rng, [self._words[i] for i in row])) for row in rows)

    def questions(self, chunks: int) -> Iterator[str]:
        """Yield questions, each about another sentence of the documents of so many chunks."""
        rng = np.random.default_rng(2)
        while True:
            document = self.document(int(rng.integers(0, max(1, chunks // LINES))))
            for sentence in rng.choice(re.findall(r"\w[^.]+", document), 10, replace=False):
                words = str(sentence).lower().split()
                wanted = rng.choice(words, min(len(words), int(rng.integers(5, 12))), replace=False)
                yield f"What is the {' '.join(wanted)}?"


def _sentences(rng: np.random.Generator, words: list[str]) -> Iterator[str]:
    while words:
        length = int(rng.integers(8, 23))
        sentence, words = words[:length], words[length:]
        yield f"{' '.join(sentence).capitalize()}."


class SeededEmbedder:
    """The settings' embedder, whose vectors of documents come from a seed."""

    def __init__(self, inner: Any, corpus: Corpus) -> None:
        self._inner, self._corpus, self._made = inner, corpus, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return the next vectors of the corpus."""
        self._made += 1
        return self._corpus.vectors(self._made, len(texts))


def prepare(chunks: int) -> Path:
    """Return the folder of a server whose collection has so many chunks; make it if needed."""
    home = WORK / f"load-{chunks}"
    home.mkdir(parents=True, exist_ok=True)
    settings = {
        "data_dir": str(home / "data"),
        "collection": COLLECTION,
        "rag": {
            "language": "en",
            "splitter": {"split_by": "line", "split_length": 1},
        },
        # The words mean nothing: an honest answer would always be a refusal.
        "answer": {"refuse": False},
        "questions": {"workers": 0},
        "server": {"metrics": "open", "waiting_answers": 1000},
        "accounts": {"rate_limits": {"questions": "", "login": "", "registration": ""}},
        "answer_log": {"enabled": True},
    }
    file = home / "kvasir.yaml"
    file.write_text(yaml.safe_dump(settings), "utf-8")
    done = home / "complete"
    if not done.exists():
        started = time.perf_counter()
        with App(load_settings(file)) as app:
            _fill(app, chunks)
        done.touch()
        print(f"made an index of {chunks:,} chunks in {time.perf_counter() - started:.0f} s")
    return file


def _fill(app: App, chunks: int) -> None:
    prose = Prose(app.embedder.name)
    embedder = SeededEmbedder(app.embedder, Corpus(chunks))
    app._embedder = Lazy(lambda: embedder)
    with app.collection() as collection:
        for start in range(0, chunks, 100 * LINES):
            sources = [
                (
                    Source(f"bench:{first:07}", "text/plain"),
                    prose.document(first // LINES, min(LINES, chunks - first)).encode(),
                )
                for first in range(start, min(chunks, start + 100 * LINES), LINES)
            ]
            collection.ingest(*sources)
        collection.optimize(wait=True)


class Server:
    """``kvasir serve``, and a user's token."""

    def __init__(self, file: Path) -> None:
        command = [sys.executable, "-m", "kvasir", "--config", str(file), "serve", "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.address = self._wait_for(r"serves at (http://\S+?),")
        self.log = threading.Thread(target=self._discard, daemon=True)
        self.log.start()
        with httpx.Client(base_url=self.address, timeout=60) as client:
            form = {"username": "bench", "password": PASSWORD}
            self.token = client.post("/login", data=form).raise_for_status().json()["access_token"]

    def _wait_for(self, pattern: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(pattern, line):
                return found[1]
        raise SystemExit("the server did not start")

    def _discard(self) -> None:
        assert self.process.stderr is not None
        for _ in self.process.stderr:
            pass

    def metrics(self) -> dict[str, float]:
        """Return the server's metrics; the labels are part of the name."""
        text = httpx.get(f"{self.address}/metrics", timeout=30).text
        return {f"{n} {labels}".strip(): float(v) for n, labels, v in _METRIC.findall(text)}

    def stop(self) -> None:
        """Stop it as an operator does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@contextmanager
def serving(file: Path) -> Iterator[Server]:
    """Serve; the collection is readable by everyone who is signed in."""
    with App(load_settings(file)) as app:
        accounts = app.services.accounts
        if not accounts.users(limit=1):
            accounts.register("b@example.org", "bench", PASSWORD, role=Role.USER)
        user = accounts.user("bench")
        access = CollectionAccess(COLLECTION, 0, Visibility.PUBLIC, writers=(user.id,))
        accounts.set_access(access)
    server = Server(file)
    try:
        yield server
    finally:
        server.stop()


class Connections:
    """Connections that are kept, and a client of HTTP that costs little."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname, parts.port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Return status and body of an answer."""
        kept = self._kept()
        if kept is not None:
            try:
                return await self._exchange(*kept, request)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                if getattr(error, "partial", b""):
                    raise
                # The server closed the idle connection when the request was on its way.
        return await self._exchange(*await asyncio.open_connection(self._host, self._port), request)

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> tuple[int, bytes]:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
        body = await reader.readexactly(length)
        if b"connection: close" in head.lower():
            writer.close()
        else:
            self._free.append((reader, writer))
        return int(head[9:12]), body

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Return a connection that the server has not closed, as it does with idle ones."""
        while self._free:
            reader, writer = self._free.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None


def requests(server: Server, route: str, questions: Iterable[str]) -> list[bytes]:
    """Return a request for each question."""
    key = "query" if route == "search" else "question"
    made = []
    for text in questions:
        body = json.dumps({key: text}).encode()
        made.append(
            f"POST /v1/collections/{COLLECTION}/{route} HTTP/1.1\r\nHost: bench\r\n"
            f"Authorization: Bearer {server.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
    return made


async def run(server: Server, sent: list[bytes], rate: float) -> list[tuple[float, float, int]]:
    """Send requests at a constant rate; return latency, delay of the start, and status of each."""
    connections = Connections(server.address)
    results: list[tuple[float, float, int]] = []

    async def one(request: bytes, due: float) -> None:
        late = time.perf_counter() - due
        try:
            status, _ = await connections.send(request)
        except (OSError, asyncio.IncompleteReadError):
            status = 0
        results.append((time.perf_counter() - due, late, status))

    start = time.perf_counter() + 0.05
    tasks = []
    for number, request in enumerate(sent):
        due = start + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(request, due)))
    await asyncio.gather(*tasks)
    return results


def measure(
    server: Server, route: str, questions: Iterator[str], rate: float, seconds: float
) -> dict:
    """Return the figures of one constant rate."""
    sent = requests(server, route, islice(questions, int(rate * seconds)))
    memory: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(seconds / 20):
            memory.append(server.metrics()["process_resident_memory_bytes"] / 2**20)

    before, own = server.metrics(), resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    watcher = threading.Thread(target=watch)
    watcher.start()
    results = asyncio.run(run(server, sent, rate))
    took = time.perf_counter() - began
    stop.set()
    watcher.join()
    after, own_after = server.metrics(), resource.getrusage(resource.RUSAGE_SELF)
    latency = np.array([each[0] for each in results]) * 1000
    late = np.array([each[1] for each in results]) * 1000
    errors = sum(each[2] != 200 for each in results)
    spent = own_after.ru_utime + own_after.ru_stime - own.ru_utime - own.ru_stime
    server_spent = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    stages = {}
    for name in after:
        if name.startswith("kvasir_stage_seconds_sum"):
            count = name.replace("_sum", "_count")
            if times := after[count] - before.get(count, 0):
                spent_there = after[name] - before.get(name, 0)
                stages[name.split('"')[1]] = 1000 * spent_there / times
    half = memory[len(memory) // 2] if memory else 0.0
    return {
        "route": route,
        "rate": rate,
        "seconds": round(took, 1),
        "requests": len(results),
        "errors": errors,
        "statuses": {
            str(key): count for key, count in Counter(each[2] for each in results).items()
        },
        "p50_ms": round(float(np.percentile(latency, 50)), 1),
        "p99_ms": round(float(np.percentile(latency, 99)), 1),
        "max_ms": round(float(latency.max()), 1),
        "late_p99_ms": round(float(np.percentile(late, 99)), 1),
        "generator_cpu": round(spent / took, 3),
        "server_cpu": round(server_spent / took, 3),
        "server_ms_a_request": round(1000 * server_spent / max(1, len(results)), 2),
        "stages_ms": {name: round(value, 2) for name, value in stages.items()},
        "memory_middle_mb": round(half, 1),
        "memory_end_mb": round(memory[-1], 1) if memory else 0.0,
    }


def holds(found: dict, limit_ms: float) -> bool:
    """Return True if a rate holds: no error, and p99 under the limit."""
    return not found["errors"] and found["p99_ms"] < limit_ms


def find_rate(
    server: Server, route: str, questions: Iterator[str], start: float, limit_ms: float
) -> dict:
    """Return the figures of the highest rate that holds for 15 seconds."""
    rate, best, step = start, {}, 2.0
    while step > 1.03:
        found = measure(server, route, questions, rate, 15.0)
        show(found)
        if holds(found, limit_ms):
            best = found
            rate *= step
        else:
            rate /= step
            step = step**0.5
            rate *= step
    return best


def upload(server: Server, count: int, prose: Prose) -> dict:
    """Upload documents; return how long it took until all were indexed."""
    headers = {"Authorization": f"Bearer {server.token}"}
    began = time.perf_counter()
    with httpx.Client(base_url=server.address, headers=headers, timeout=60) as client:
        run_name = f"{time.time():.0f}"
        for number in range(count):
            text = prose.document(10**6 + number, 4)
            files = {"file": (f"{run_name}-{number}.txt", text.encode())}
            client.post(f"/v1/collections/{COLLECTION}/documents", files=files).raise_for_status()
        accepted = time.perf_counter() - began
        while client.get("/v1/jobs", params={"state": ["waiting", "running"], "limit": 1}).json():
            time.sleep(0.5)
    return {"accepted_s": round(accepted, 1), "indexed_s": round(time.perf_counter() - began, 1)}


def show(found: dict) -> None:
    """Print the figures of a measurement."""
    print(json.dumps(found))


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--route", choices=["search", "answers"], default="search")
    parser.add_argument("--rate", type=float, default=120.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--find", action="store_true", help="find the highest rate that holds")
    parser.add_argument("--limit-ms", type=float, default=150.0, help="p99 that must hold")
    parser.add_argument("--ingest", type=int, default=0, help="documents to upload meanwhile")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    file = prepare(given.chunks)
    prose = Prose(load_settings(file).rag.embedding_model.name)
    questions = prose.questions(given.chunks)
    with serving(file) as server:
        measure(server, given.route, questions, min(20.0, given.rate), 3.0)
        ingested: dict = {}
        thread = threading.Thread(
            target=lambda: ingested.update(upload(server, given.ingest, prose))
        )
        if given.ingest:
            thread.start()
        if given.find:
            found = find_rate(server, given.route, questions, given.rate, given.limit_ms)
        else:
            found = measure(server, given.route, questions, given.rate, given.seconds)
        if given.ingest:
            thread.join()
            found["ingest"] = ingested
    show(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main()
