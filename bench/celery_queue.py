"""Measures Celery as the carrier of jobs, on brokers of its own.

    python bench/celery_queue.py queue [redis|rabbitmq] [--tasks 20000]
    python bench/celery_queue.py workers [redis|rabbitmq] [--documents 300]
    python bench/celery_queue.py question [redis|rabbitmq] [--documents 300]

queue: small tasks that do nothing, through one worker: what a task costs beside its work, how
it compares with embedding 256 chunks, and how many tasks the worker ever held without working on
them. workers: documents uploaded to a server and indexed by one and by two workers of one core
each, into a Chroma server, and the processor time of every process. question: how long questions
wait while one worker indexes documents.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from celery_stack import CeleryStack, WorkerProcess, wait_for
from chroma_server import chroma_server
from own_brokers import BROKERS, own_broker
from sqlalchemy import func, insert, select

from kvasir.app import App
from kvasir.celery_jobs import make_celery_worker, make_sender, options_of
from kvasir.core.run import StopToken
from kvasir.core.services.jobs import JobState
from kvasir.database import reading, writing
from kvasir.jobs.celery_app import make_celery
from kvasir.jobs.tables import jobs
from kvasir.settings.loading import load_settings
from kvasir.settings.schema import Settings

ROOT = Path(__file__).parent.parent
_CHUNKS = 256
_WORDS = 180
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """What small tasks through one worker have cost.

    Attributes:
        done: Their number.
        seconds: From the first one to the last.
        processor_seconds: Of the worker in this time.
        held: The most tasks that the worker held without working on them.
        attempts: The most that one task took.
    """

    done: int
    seconds: float
    processor_seconds: float
    held: int
    attempts: int


def run_tasks(broker: str, tasks: int, folder: Path) -> QueueFigures:
    """Send tasks that do nothing through one worker; the folder's name is that of the queues."""
    with App(_settings(broker, folder)) as app, ExitStack() as opened:
        options, queue = options_of(app.settings), app.services.jobs
        _add(app, tasks)
        stop = StopToken()
        celery = make_celery(options)
        sender = make_sender(app, {"ingest_upload": None}, stop, celery=celery)
        threading.Thread(target=sender.run, daemon=True).start()
        opened.callback(stop.set)
        name = options.full_name("ingest")
        wait_for(lambda: _depth(celery, name) == tasks, 3600, 0.2)
        worker = subprocess.Popen([sys.executable, __file__, "work", broker, str(folder)])
        opened.callback(worker.kill)
        wait_for(lambda: queue.counts()[JobState.DONE] or worker.poll() is not None)
        begun, held, before = time.perf_counter(), 0, _processor_seconds(worker.pid)
        while (done := queue.counts()[JobState.DONE]) < tasks:
            # Those that wait in the table and not in the broker are held by the worker.
            depth = _depth(celery, name)
            held = max(held, queue.counts()[JobState.WAITING] - depth)
            time.sleep(0.1)
            assert worker.poll() is None, "the worker ended"
        wall = time.perf_counter() - begun
        spent = _processor_seconds(worker.pid) - before
        worker.terminate()
        worker.wait(60)
        with reading(app.services._engine.get()) as connection:
            attempts = connection.execute(select(func.max(jobs.c.attempts))).scalar_one()
    return QueueFigures(done, wall, spent, held, attempts)


def _settings(broker: str, folder: Path) -> Settings:
    given = {
        "data_dir": str(folder),
        "jobs.backend": "celery",
        "jobs.broker": broker,
        "jobs.queue_prefix": folder.name,
        "rag.vectordb.type": "chroma",
        "rag.vectordb.uri": "http://127.0.0.1:9",
    }
    return load_settings({}, given, {})


def _add(app: App, tasks: int) -> None:
    """Add jobs in one transaction, as many as a queue that is filled for hours has."""
    now = time.time()
    rows = [
        {
            "id": str(uuid4()),
            "task": "ingest_upload",
            "arguments": {"number": number},
            "user_id": 0,
            "collection": "",
            "state": JobState.WAITING,
            "created": now,
            "due": now,
            "attempts": 0,
        }
        for number in range(tasks)
    ]
    with writing(app.services._engine.get()) as connection:
        connection.execute(insert(jobs), rows)


def measure_queue(broker: str, tasks: int, folder: Path) -> None:
    """Compare small tasks with embedding."""
    found = run_tasks(broker, tasks, folder)
    embedding = _embedding_seconds()
    each = found.processor_seconds / tasks
    print(
        f"{found.done} tasks in {found.seconds:.0f} s: {1000 * found.seconds / tasks:.1f} ms a "
        f"task, of which {1000 * each:.1f} ms of the worker's processor time; held without work: "
        f"at most {found.held}; most attempts: {found.attempts}; {_CHUNKS} chunks embed in "
        f"{embedding:.2f} s of processor time, so the queue costs {100 * each / embedding:.2f} % "
        "of that",
        flush=True,
    )


def _depth(celery: Any, queue: str) -> int:
    """Return how many messages a queue has that no worker has."""
    with celery.connection_for_read() as connection, connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except connection.channel_errors:
            return 0  # Redis has no empty queues.


def work(broker: str, folder: Path) -> None:
    """Be a worker whose tasks do nothing."""
    with App(_settings(broker, folder)) as app:
        celery = make_celery_worker(
            app,
            lambda job, run: {},
            lambda question, stop: None,  # type: ignore[arg-type, return-value]
            StopToken(),
            can_answer=lambda: False,
            on_answered=lambda question, answer: None,
        )
        celery.Worker(
            loglevel="ERROR", quiet=True, without_gossip=True, without_mingle=True
        ).start()


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _words() -> list[str]:
    return " ".join(path.read_text("utf-8") for path in sorted(ROOT.glob("docs/*.md"))).split()


def _texts(number: int, words: int) -> list[str]:
    found = _words()
    starts = [37 * index % (len(found) - words) for index in range(number)]
    return [" ".join(found[start : start + words]) for start in starts]


def _embedding_seconds() -> float:
    """Return the processor seconds in which the default model embeds the chunks of a task."""
    with App(load_settings({}, {"data_dir": tempfile.gettempdir()}, {})) as app:
        texts = _texts(_CHUNKS, _WORDS)
        app.embedder.embed_documents(texts[:32])
        begun = time.process_time()
        app.embedder.embed_documents(texts)
        return time.process_time() - begun


@contextmanager
def _stack(broker: str, folder: Path) -> Iterator[CeleryStack]:
    rag = {
        "embedding_model": {"options": {"streams": 1}},
        "ingest": {"workers": 1},
    }
    (folder / "chroma").mkdir()
    (folder / "stack").mkdir()
    with chroma_server(folder / "chroma") as store:
        rag["vectordb"] = {"type": "chroma", "uri": store}
        with CeleryStack(folder / "stack", broker, store, rag=rag) as stack:
            yield stack


def _upload(stack: CeleryStack, documents: int, words: int) -> None:
    for number, text in enumerate(_texts(documents, words)):
        stack.upload(f"{number}.md", f"# Document {number}\n\n{text}\n")


def _machine_seconds() -> float:
    """Return the processor seconds of everything on this machine since it was started."""
    fields = [int(each) for each in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICK  # Without being idle or waiting for disks.


def measure_workers(broker: str, documents: int) -> None:
    """Index the same documents by one and by two workers, and show what the cores left them."""
    rates, left = [], []
    for count in (1, 2):
        with tempfile.TemporaryDirectory() as place, _stack(broker, Path(place)) as stack:
            stack.worker("--queues", "ingest", "--concurrency", "4").wait_until_ready()
            workers = [stack.worker("--queues", "embed") for _ in range(count)]
            for number, worker in enumerate(workers):
                worker.wait_until_ready()
                # A core each, for the model's threads too.
                core = number % (os.cpu_count() or 1)
                subprocess.run(
                    ["taskset", "-apc", str(core), str(worker.process.pid)],
                    check=True,
                    capture_output=True,
                )
            first = "# First\n\nIt loads the model and makes the collection.\n"
            assert stack.job(stack.upload("first.md", first), 60)["state"] == "done"
            # They wait until all are there, so that only the indexing is measured.
            for worker in workers:
                worker.process.send_signal(signal.SIGSTOP)
            _upload(stack, documents, 1500)
            machine, own = _machine_seconds(), _processor_seconds_of(workers)
            begun = time.perf_counter()
            for worker in workers:
                worker.process.send_signal(signal.SIGCONT)
            wait_for(lambda: _ended(stack)["done"] > documents, 3600)
            seconds = time.perf_counter() - begun
            spent = _processor_seconds_of(workers) - own
            others = _machine_seconds() - machine - spent
        rates.append(documents / seconds)
        cores = os.cpu_count() or 1
        left.append(min(count, cores - others / seconds))
        print(
            f"{count} worker(s): {documents} documents in {seconds:.1f} s, {rates[-1]:.2f} a "
            f"second; processor time: workers {spent:.1f} s, all other processes {others:.1f} s, "
            f"which leaves the workers {left[-1]:.2f} cores",
            flush=True,
        )
    print(
        f"2 workers reach {rates[1] / rates[0]:.2f} times one, and {left[1] / left[0]:.2f} times "
        "its cores were left",
        flush=True,
    )


def _ended(stack: CeleryStack) -> Counter[str]:
    """Return the number of documents by state; tasks of their chunks are not counted."""
    with App(stack.settings) as app, reading(app.services._engine.get()) as connection:
        chosen = select(jobs.c.state, func.count()).where(jobs.c.task == "ingest_upload")
        found = dict(connection.execute(chosen.group_by(jobs.c.state)).all())
    assert not found.get(JobState.FAILED), found
    return Counter({str(state): count for state, count in found.items()})


def _processor_seconds_of(workers: Sequence[WorkerProcess]) -> float:
    return sum(_processor_seconds(worker.process.pid) for worker in workers)


def measure_question(broker: str, documents: int) -> None:
    """Ask while documents are indexed."""
    with tempfile.TemporaryDirectory() as place, _stack(broker, Path(place)) as stack:
        for queues in (("ingest", "--concurrency", "4"), ("embed",), ("answers",), ("mail",)):
            stack.worker("--queues", *queues).wait_until_ready()
        text = "# Tea\n\nGreen tea is brewed at 80 degrees Celsius.\n"
        stack.job(stack.upload("tea.md", text), 60)
        stack.ask("How hot is green tea?")
        _upload(stack, documents, 1500)
        direct, queued = [], []
        while _ended(stack)["waiting"] > documents // 10 and len(queued) < 30:
            begun = time.perf_counter()
            stack.ask("How hot is green tea?")
            direct.append(time.perf_counter() - begun)
            asked = {"input": "How hot is green tea?", "mail": False}
            begun = time.perf_counter()
            address = stack.client.post("/v1/questions", json=asked).headers["Location"]
            wait_for(lambda: stack.job(address)["state"] == "answered", pause=0.01)  # noqa: B023
            queued.append(time.perf_counter() - begun)
        wait_for(lambda: _ended(stack)["done"] > documents, 3600)
    for name, seconds in (("/completion/", direct), ("/v1/questions", queued)):
        print(
            f"{name}: {len(seconds)} questions beside {documents} uploads: median "
            f"{statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s",
            flush=True,
        )


def main() -> None:
    """Run one of the measurements on each broker."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("what", choices=["queue", "workers", "question", "work"])
    parser.add_argument("names", nargs="*", default=list(BROKERS), metavar="BROKER")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--documents", type=int, default=300)
    chosen = parser.parse_args()
    if chosen.what == "work":
        work(chosen.names[0], Path(chosen.names[1]))
        return
    for name in chosen.names:
        print(f"{chosen.what}, {name}:", flush=True)
        with tempfile.TemporaryDirectory() as folder, own_broker(name) as broker:
            if chosen.what == "queue":
                measure_queue(broker.url, chosen.tasks, Path(folder))
            elif chosen.what == "workers":
                measure_workers(broker.url, chosen.documents)
            else:
                measure_question(broker.url, chosen.documents)


if __name__ == "__main__":
    main()
