"""Celery on Redis and on RabbitMQ, with real processes: what is uploaded is indexed once.

Each test has brokers of its own, which it may stop. The table of jobs says what happened.
"""

import asyncio
import json
import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
from bench_modules import bench_module
from celery import Celery
from celery_stack import CeleryStack, wait_for
from chroma_server import chroma_server
from free_ports import free_port
from held_parts import POISON, Hold
from kombu import Connection
from libraries import library
from own_brokers import BROKERS, delete_queues, own_broker, shared_broker
from qdrant_server import qdrant_server
from smtp_server import SmtpServer
from web_site import Page, serving_searxng, serving_site

from kvasir.app import App
from kvasir.celery_jobs import options_of
from kvasir.core.types import Source
from kvasir.jobs.celery_app import make_celery

events = library("flower.events", extra="dev")
ioloop = library("tornado.ioloop")

celery_queue = bench_module("celery_queue")
HELD = {
    "embedding_model": {"type": "held_parts:HeldEmbedder"},
    "ingest": {"workers": 1, "allow_private_urls": True},
}
TEA = "# Tea {0}\n\nThe tea of garden {0} is brewed at {1} degrees Celsius.\n"


def at(store):
    return {"vectordb": {"type": "chroma", "uri": store}}


def tea(number):
    return TEA.format(number, 60 + number % 40)


@pytest.fixture(scope="module", params=BROKERS)
def broker(request):
    with shared_broker(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with chroma_server(tmp_path_factory.mktemp("chroma")) as address:
        yield address


@pytest.fixture
def hold(tmp_path):
    return Hold(tmp_path / "hold")


@pytest.fixture
def make_stack(tmp_path, broker, store, request):
    """Give what makes a stack whose queues and collection are the test's own."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**8}"

    def make(*, jobs=None, rag=None, **sections):
        base = {"vectordb": {"type": "chroma", "uri": store}, "ingest": {"workers": 1}}
        base["embedding_model"] = {"type": "kvasir.testing.fakes:FakeEmbedder"}
        chosen = {"queue_prefix": name} | (jobs or {})
        return CeleryStack(
            tmp_path,
            broker.url,
            store,
            jobs=chosen,
            rag=base | (rag or {}),
            collection=name,
            **sections,
        )

    yield make
    delete_queues(broker.url, name)


def check_index(stack, uris):
    """Check that each source is indexed once, and that catalog and store agree."""
    with App(stack.settings) as app, app.collection() as collection:
        records = [record for record in collection.documents() if record.chunk_count]
        found = sorted(record.source_uri for record in records)
        assert found == sorted(uris)
        assert collection.inspect().clean
        assert collection.index.store.count() == len(uris)


def test_two_workers_index_what_is_uploaded_and_the_server_answers(make_stack, broker):
    """Flower's reader of events sees every task."""
    with make_stack() as stack, flower_events(stack) as seen:
        workers = [stack.worker("--queues", "ingest,embed") for _ in range(2)]
        for worker in workers:
            worker.wait_until_ready()
        jobs = [stack.upload(f"tea{n}.md", tea(n)) for n in range(30)]
        assert stack.wait_until_ended(30)["done"] == 30
        assert "brewed at 67 degrees" in stack.ask("How hot is the tea of garden 7?")
        assert all(stack.job(address)["attempts"] == 1 for address in jobs)
        ids = {address.rpartition("/")[2] for address in jobs}
        wait_for(lambda: {job for job, state in seen().items() if state == "SUCCESS"} >= ids, 60)
        assert [worker.end() for worker in workers] == [0, 0]
        counts = [worker.log.count("succeeded in") for worker in workers]
        assert sum(counts) == 30
        assert min(counts) > 0, "one worker did everything"
        check_index(stack, {f"upload:ana/tea{n}.md" for n in range(30)})


def test_300_documents_go_through_two_workers_into_a_qdrant_server(make_stack, tmp_path):
    """The official client over REST; ``bench/worker_stack.py`` does it with the real model."""
    (tmp_path / "qdrant").mkdir()
    with qdrant_server(tmp_path / "qdrant") as (address, _):
        chosen = {"vectordb": {"type": "qdrant-server", "uri": address}}
        with make_stack(rag=chosen) as stack:
            workers = [stack.worker() for _ in range(2)]
            jobs = [stack.upload(f"tea{n}.md", tea(n)) for n in range(300)]
            assert stack.wait_until_ended(300, 600)["done"] == 300
            for number in (0, 7, 150, 299):
                answer = stack.ask(f"How hot is the tea of garden {number}?")
                assert f"tea of garden {number} is brewed at {60 + number % 40} degrees" in answer
            assert {stack.job(address)["attempts"] for address in jobs} == {1}
            assert [worker.end() for worker in workers] == [0, 0]
            check_index(stack, {f"upload:ana/tea{n}.md" for n in range(300)})


@contextmanager
def flower_events(stack):
    """Read events as Flower does; gives what returns the states of all tasks that it saw."""
    loop = ioloop.IOLoop(make_current=False)
    celery = make_celery(options_of(stack.settings))
    running = threading.Thread(target=loop.start, daemon=True)
    reader = events.Events(celery, loop, enable_events=False, max_tasks_in_memory=10_000)
    reader.start()
    running.start()
    try:
        yield lambda: {task: each.state for task, each in dict(reader.state.tasks).items()}
    finally:
        loop.add_callback(loop.stop)
        running.join(60)
        loop.close(all_fds=True)


def test_one_process_a_queue_indexes_documents_in_tasks_of_256_chunks(make_stack):
    text = "\n\n".join(f"# Garden {n}\n\n{tea(n)} {'It grows there. ' * 20}" for n in range(600))
    with make_stack() as stack:
        workers = {
            queues: stack.worker("--queues", queues) for queues in ("ingest", "embed", "answers")
        }
        assert stack.job(stack.upload("gardens.md", text), 60)["state"] == "done"
        jobs = [job for job in stack.jobs() if job["task"] == "embed_chunks"]
        sizes = [job["arguments"]["count"] for job in jobs]
        assert len(sizes) > 2 and max(sizes) == 256
        assert {job["state"] for job in jobs} == {"done"}
        assert "brewed at 67 degrees" in stack.ask("How hot is the tea of garden 7?")
        assert [worker.end() for worker in workers.values()] == [0, 0, 0]
        counts = {queues: worker.log.count("succeeded in") for queues, worker in workers.items()}
        assert counts == {"ingest": 1, "embed": len(jobs), "answers": 0}
        with App(stack.settings) as app, app.collection() as collection:
            assert collection.inspect().clean
            assert collection.index.store.count() == sum(sizes)
            # Texts and vectors were deleted; the original is kept.
            assert len(list(app.services.spool.digests())) == 1


def test_chunks_with_a_route_are_embedded_by_the_worker_of_its_queue_alone(make_stack):
    """The queue of a graphics card; a fake embeds there, too."""
    with make_stack(jobs={"routes": {"embed_chunks": "gpu"}}) as stack:
        workers = {
            queues: stack.worker("--queues", queues) for queues in ("ingest", "embed", "gpu")
        }
        assert stack.job(stack.upload("tea.md", tea(1)), 60)["state"] == "done"
        assert [worker.end() for worker in workers.values()] == [0, 0, 0]
        counts = {queues: worker.log.count("succeeded in") for queues, worker in workers.items()}
        assert counts == {"ingest": 1, "embed": 0, "gpu": 1}


def test_questions_are_answered_while_one_worker_a_queue_indexes_300_documents(make_stack):
    """Within ten times the second that ``bench/celery_queue.py question`` measures."""
    with make_stack() as stack:
        for queues in (("ingest", "--concurrency", "4"), ("embed",), ("answers",)):
            stack.worker("--queues", *queues).wait_until_ready()
        assert stack.job(stack.upload("tea.md", tea(1)), 60)["state"] == "done"
        for number in range(300):
            stack.upload(f"more{number}.md", tea(1000 + number))
        spent = []
        while len(spent) < 10 and stack.states()["waiting"]:
            begun = time.monotonic()
            assert "61 degrees" in stack.ask("How hot is the tea of garden 1?")
            spent.append(time.monotonic() - begun)
            begun = time.monotonic()
            asked = {"input": "How hot is the tea of garden 1?", "mail": False}
            address = stack.client.post("/v1/questions", json=asked).headers["Location"]
            wait_for(lambda: stack.job(address)["state"] == "answered")  # noqa: B023
            spent.append(time.monotonic() - begun)
        print("seconds of a question:", [round(each, 2) for each in spent])
        assert len(spent) > 3, "the documents were indexed too soon"
        assert max(spent) < 10
        wait_for(lambda: not stack.states()["waiting"] and not stack.states()["running"], 600, 0.5)
        assert stack.states()["failed"] == 0


class HeldSmtpServer(SmtpServer):
    """Lets a client wait before its mail is taken."""

    def __init__(self):
        super().__init__()
        self.holds, self.arrived = True, 0

    async def handle_RCPT(self, *given):  # noqa: N802
        self.arrived += 1
        while self.holds:
            await asyncio.sleep(0.02)
        return await super().handle_RCPT(*given)


class Work:
    """Adds work of one kind; knows what it shall have indexed, and when it is done."""

    def __init__(self, stack, kind, site, engine=None):
        self._stack, self._kind, self._site, self._engine = stack, kind, site, engine
        self._added = []
        self.uris = set()

    def add(self, number):
        add = {"address": self._fetch, "batch": self._batch, "web": self._search}
        if self._kind == "folder":
            return self._put(number)
        add |= dict.fromkeys(("upload", "embed"), self._upload)
        self._added.append(add.get(self._kind, self._ask)(number))
        return None

    def _upload(self, number):
        self.uris.add(f"upload:ana/tea{number}.md")
        return self._stack.upload(f"tea{number}.md", tea(number))

    def _fetch(self, number):
        return self._post("/from-url", json={"url": self._page(number)})

    def _page(self, number):
        path = f"/tea{number}.md"
        self._site.pages[path] = Page(tea(number).encode(), "text/markdown")
        url = f"http://127.0.0.1:{self._site.port}{path}"
        self.uris.add(url)
        return url

    def _search(self, number):
        """Every search finds all pages that were added before it is done."""
        self._page(number)
        pages = sum(uri.startswith("http") for uri in self.uris)
        self._engine.finds(*sorted(uri for uri in self.uris if uri.startswith("http")))
        return self._post("/from-web", json={"query": "tea", "max_results": pages})

    def _put(self, number):
        """The server finds what is new in its folder."""
        path = self._stack.settings.folder / f"tea{number}.md"
        path.write_text(tea(number))
        self.uris.add(str(path))

    def _batch(self, number):
        uris = [f"upload:ana/batch{number}-{part}.md" for part in range(2)]
        self.uris.update(uris)
        sources = [{"uri": uri, "file": uri, "media_type": "text/markdown"} for uri in uris]
        files = [
            ("files", (uri, tea(100 * number + int(uri[-4])), "text/markdown")) for uri in uris
        ]
        batch = {"batch": json.dumps({"sources": sources})}
        return self._post("/batch", data=batch, files=files)

    def _post(self, route, **given):
        collection = self._stack.server.settings["collection"]
        path = f"/v1/collections/{collection}/documents{route}"
        reply = self._stack.client.post(path, **given)
        assert reply.status_code == 202, reply.text
        return reply.headers["Location"]

    def _ask(self, number):
        asked = {"input": f"How hot is tea {number}?", "mail": self._kind == "mail"}
        reply = self._stack.client.post("/v1/questions", json=asked)
        assert reply.status_code == 202, reply.text
        return reply.headers["Location"]

    def is_done(self):
        if self._kind == "folder":
            jobs = self._stack.jobs()
            assert not [job for job in jobs if job["state"] == "failed"], jobs
            return jobs and all(job["state"] == "done" for job in jobs) and self._has_folder()
        return all(map(self._has_ended, self._added))

    def _has_folder(self):
        collection = self._stack.server.settings["collection"]
        found = self._stack.client.get(f"/v1/collections/{collection}/documents").json()
        return {each["state"]["uri"] for each in found} >= self.uris

    def _has_ended(self, address):
        found = self._stack.job(address)
        assert found["state"] not in ("failed", "dead"), found
        if self._kind == "mail":
            return found["status"] == "sent"
        return found["state"] in ("done", "answered")


KINDS = ("upload", "address", "batch", "web", "folder", "embed", "answer", "mail")


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_is_killed_in_the_middle_of_a_task_loses_nothing(
    make_stack, broker, hold, kind, tmp_path
):
    """Three times for each kind on Redis: more than twenty kills in all."""
    kills = int(os.environ.get("KVASIR_TEST_KILLS", 3 if broker.url.startswith("redis") else 1))
    folder = tmp_path / "course"
    folder.mkdir()
    with HeldSmtpServer() as smtp, serving_site() as site, serving_searxng() as engine:
        mail = {"host": "127.0.0.1", "port": smtp.port, "security": "none", "sender": "k@e.org"}
        watched = {"folder": str(folder), "folder_seconds": 0.5} if kind == "folder" else {}
        chosen = {
            "rag": HELD | {"web_search": {"type": "searxng", "base_url": engine.url}},
            "server": watched,
            "generator": {"type": "held_parts:HeldGenerator"},
            "mail": mail | {"lease_seconds": 2},
            # A question that every worker ended with is given up after five by default.
            "questions": {"lease_seconds": 2, "max_attempts": kills + 5},
        }
        with make_stack(**chosen) as stack:
            work = Work(stack, kind, site, engine)
            with App(stack.settings) as app, app.collection() as collection:
                source = Source("upload:ana/tea0.md", "text/markdown")
                assert collection.ingest((source, tea(0).encode())).added == [source.uri]
            work.uris.add(source.uri)
            queues, others = (), []
            if kind == "embed":
                others = [stack.worker("--queues", "ingest", "--concurrency", "4")]
                queues = ("--queues", "embed")
            for number in range(1, kills + 1):
                if kind != "mail":
                    hold.on()
                work.add(number)
                arrived = smtp.arrived
                worker = stack.worker(*queues, **hold.environment)
                if kind == "mail":
                    wait_for(lambda: smtp.arrived > arrived)  # noqa: B023
                else:
                    wait_for(lambda: hold.arrived(worker.process.pid))  # noqa: B023
                worker.kill()
                # The folder has one job: it waits longer after each kill, and then is given up.
                if number == kills or (kind == "folder" and number % 3 == 0):
                    hold.off()
                    smtp.holds = False
                    last = stack.worker(*queues, **hold.environment)
                    wait_for(work.is_done, 300, 0.2)
                    assert last.end() == 0
            assert [worker.end() for worker in others] == [0] * len(others)
            if kind == "mail":
                assert list(smtp.by_id.values()) == [1] * kills
            check_index(stack, work.uris)


@pytest.mark.parametrize("kind", BROKERS)
def test_a_broker_that_is_restarted_loses_no_job(tmp_path, store, hold, kind):
    """Redis forgets its queues then; RabbitMQ keeps them."""
    with (
        own_broker(kind) as broker,
        CeleryStack(tmp_path, broker.url, store, rag=HELD | at(store), collection=kind) as stack,
    ):
        hold.on()
        worker = stack.worker(**hold.environment)
        work = Work(stack, "upload", None)
        for number in range(10):
            work.add(number)
        wait_for(lambda: hold.arrived(worker.process.pid))
        broker.stop()
        hold.off()
        for number in range(10, 20):
            work.add(number)
        broker.start()
        wait_for(work.is_done, 300, 0.2)
        assert worker.end() == 0
        check_index(stack, work.uris)


def test_a_result_backend_that_is_gone_stops_no_task(make_stack):
    with ExitStack() as opened:
        backend = opened.enter_context(own_broker("redis"))
        with make_stack(jobs={"result_backend": backend.url}) as stack:
            worker = stack.worker()
            work = Work(stack, "upload", None)
            work.add(0)
            wait_for(work.is_done)
            job_id = stack.jobs()[0]["id"]
            celery = Celery(backend=backend.url, set_as_current=False)
            wait_for(lambda: celery.AsyncResult(job_id).state == "SUCCESS")
            celery.close()
            backend.stop()
            for number in range(1, 6):
                work.add(number)
            wait_for(work.is_done)
            assert worker.end() == 0
            assert "result backend does not answer" in worker.log
            check_index(stack, work.uris)


def test_jobs_wait_for_a_store_that_is_gone_for_30_seconds(tmp_path):
    """On both brokers at the same time."""
    port = free_port()
    (tmp_path / "chroma").mkdir()
    with ExitStack() as opened, ExitStack() as stored:
        store = stored.enter_context(chroma_server(tmp_path / "chroma", port))
        stacks, works, workers = [], [], []
        for kind in BROKERS:
            (tmp_path / kind).mkdir()
            broker = opened.enter_context(shared_broker(kind))
            # Queues of its own; they go when its processes have ended.
            name = f"gone-{kind}-{os.getpid()}"
            opened.callback(delete_queues, broker.url, name)
            own = {"jobs": {"queue_prefix": name}, "collection": name}
            stack = CeleryStack(tmp_path / kind, broker.url, store, **own)
            stacks.append(opened.enter_context(stack))
            works.append(Work(stack, "upload", None))
            workers.append(stack.worker())
            works[-1].add(0)
        for work in works:
            wait_for(work.is_done)
        stored.close()
        gone = time.monotonic()
        for stack, work in zip(stacks, works, strict=True):
            for number in range(1, 4):
                work.add(number)
            waiting = wait_for(lambda: [j for j in stack.jobs() if j["message"]])  # noqa: B023
            assert "chroma" in waiting[0]["message"]
        time.sleep(max(0.0, gone + 30 - time.monotonic()))
        assert [stack.states()["failed"] for stack in stacks] == [0, 0]
        with chroma_server(tmp_path / "chroma", port):
            for stack, work, worker in zip(stacks, works, workers, strict=True):
                wait_for(work.is_done, 300, 0.2)
                assert worker.end() == 0
                check_index(stack, work.uris)


def dead_letters(stack, broker):
    """Return what is in the queue of dead letters."""
    name = f"{stack.server.settings['jobs']['queue_prefix']}.dead"
    with Connection(broker.url) as connection, connection.channel() as channel:
        found = []
        while (message := channel.basic_get(name, no_ack=True)) is not None:
            found.append(json.loads(message.body))
        return found


def test_a_document_that_cannot_be_read_fails_at_once_and_leaves_a_dead_letter(make_stack, broker):
    with make_stack() as stack:
        worker = stack.worker()
        good, bad = stack.upload("tea.md", tea(1)), stack.upload("tea.pdf", b"%PDF-1.4 nothing")
        assert stack.job(good, 60)["state"] == "done"
        failed = stack.job(bad, 60)
        assert (failed["state"], failed["attempts"], failed["code"]) == (
            "failed",
            1,
            "unreadable_source",
        )
        wait_for(lambda: "raised" in worker.log or "failed" in worker.log)
        assert worker.end() == 0
        letters = dead_letters(stack, broker)
        assert [(each["job"], each["reason"]) for each in letters] == [
            (failed["id"], failed["message"])
        ]
        check_index(stack, {"upload:ana/tea.md"})


def test_a_text_that_ends_every_worker_that_embeds_fails_its_document(make_stack, broker):
    with make_stack(rag=HELD, jobs={"max_attempts": 2}) as stack:
        others = stack.worker("--queues", "ingest", "--concurrency", "4")
        poison = stack.upload("poison.md", f"This is {POISON}.")
        for _ in range(2):
            assert stack.worker("--queues", "embed").process.wait(120) == -signal.SIGKILL
        work = Work(stack, "upload", None)
        work.add(1)
        last = stack.worker("--queues", "embed")
        failed = stack.job(poison, 60)
        assert (failed["state"], failed["attempts"], failed["message"]) == (
            "failed",
            1,
            "its chunks could not be embedded: the worker ended in the middle of it, 2 times",
        )
        wait_for(work.is_done)
        assert [worker.end() for worker in (last, others)] == [0, 0]
        buried = {each["job"]: each["task"] for each in dead_letters(stack, broker)}
        assert buried.pop(failed["id"]) == "ingest_upload"
        assert list(buried.values()) == ["embed_chunks"]
        check_index(stack, work.uris)


def test_a_document_that_ends_every_worker_fails_and_the_others_are_indexed(make_stack, broker):
    with make_stack(rag=HELD, jobs={"max_attempts": 2}) as stack:
        poison = stack.upload("poison.md", f"This is {POISON}.")
        work = Work(stack, "upload", None)
        for number in range(3):
            work.add(number)
        for _ in range(2):
            assert stack.worker().process.wait(120) == -signal.SIGKILL
        worker = stack.worker()
        failed = stack.job(poison, 60)
        assert (failed["state"], failed["message"]) == (
            "failed",
            "the worker ended in the middle of it, 2 times",
        )
        wait_for(work.is_done)
        assert worker.end() == 0
        assert [each["job"] for each in dead_letters(stack, broker)] == [failed["id"]]
        check_index(stack, work.uris)


def test_a_worker_holds_one_task_and_questions_wait_for_no_upload(make_stack, broker, hold):
    """While the ingest never ends, its tasks stay in the broker, and questions are answered."""
    with make_stack(rag=HELD) as stack:
        slow = stack.worker("--queues", "ingest,embed", **hold.environment)
        stack.worker("--queues", "answers")
        assert stack.job(stack.upload("tea.md", tea(1)), 60)["state"] == "done"
        hold.on()
        for number in range(50):
            stack.upload(f"more{number}.md", tea(number))
        wait_for(lambda: hold.arrived(slow.process.pid))
        prefix = stack.server.settings["jobs"]["queue_prefix"]

        def depth():
            with Connection(broker.url) as connection, connection.channel() as channel:
                return channel.queue_declare(f"{prefix}.ingest", passive=True).message_count

        # An id may have been sent twice, by two processes.
        wait_for(lambda: depth() >= 49)
        reply = stack.client.post("/v1/questions", json={"input": "How hot is it?", "mail": False})
        address = reply.headers["Location"]
        wait_for(lambda: stack.job(address)["state"] == "answered")
        assert "61 degrees" in stack.ask("How hot is the tea of garden 1?")
        assert stack.states() == {"done": 1, "running": 1, "waiting": 49}
        assert depth() >= 49


def test_small_tasks_go_through_a_worker_that_hoards_none(broker, tmp_path):
    """``bench/celery_queue.py queue`` does it with 20,000."""
    try:
        found = celery_queue.run_tasks(broker.url, 200, tmp_path)
    finally:
        delete_queues(broker.url, tmp_path.name)
    assert (found.done, found.attempts) == (200, 1)
    assert found.held <= 1
