"""Leases, calls, writers and a closing application in several threads at once."""

from __future__ import annotations

import functools
import gc
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest

from kvasir.app import App
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.core.errors import ClosedError, CollectionNotFoundError
from kvasir.core.types import Finished, Retrieved, Source, Text
from kvasir.settings.schema import Settings
from kvasir.testing.fakes import FakeEmbedder
from kvasir.testing.model_server import model_server

pytestmark = pytest.mark.xdist_group("collection threads")

SECONDS = float(os.environ.get("KVASIR_TEST_THREADS_SECONDS", "30"))
WAIT = 120


class CountingStore(QdrantStore):
    """The default store, which counts how often it is opened and closed."""

    events: ClassVar[list[str]] = []

    @functools.wraps(QdrantStore.__init__)  # The settings' options are checked against it.
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.events.append("open")

    def close(self):
        super().close()
        self.events.append("close")


class Gate:
    """Holds calls of the embedder until the test lets them go on."""

    entered: ClassVar[threading.Event] = threading.Event()
    go_on: ClassVar[threading.Event] = threading.Event()

    @classmethod
    def wait(cls):
        cls.entered.set()
        assert cls.go_on.wait(WAIT)


class GatedEmbedder(FakeEmbedder):
    """Waits at the gate for texts that say so."""

    def embed_documents(self, texts):
        if any("gate" in text for text in texts):
            Gate.wait()
        return super().embed_documents(texts)

    def embed_queries(self, texts):
        if any(text.startswith("gate") for text in texts):
            Gate.wait()
        return super().embed_queries(texts)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(CountingStore, "events", [])
    monkeypatch.setattr(Gate, "entered", threading.Event())
    monkeypatch.setattr(Gate, "go_on", threading.Event())
    yield
    Gate.go_on.set()


def make_settings(folder, **settings):
    return Settings(
        data_dir=folder / "kvasir-data",
        rag={
            "embedding_model": {"type": f"{__name__}:GatedEmbedder"},
            "vectordb": {"type": f"{__name__}:CountingStore", "uri": str(folder / "store")},
            "ingest": {"workers": 1},
        },
        answer={"refuse": False},
        **settings,
    )


@pytest.fixture
def app(tmp_path):
    with App(make_settings(tmp_path)) as app:
        yield app


def upload(name, text):
    return Source(f"upload:{name}", "text/plain"), text.encode()


def sentence(number):
    return f"Barrel {number} holds mead that was brewed in winter {number} by dwarf {number}."


class Timeline:
    """Which documents were live when: from before they are ingested until they are deleted."""

    def __init__(self):
        self.began: dict[str, float] = {}
        self.ended: dict[str, float] = {}

    def was_live(self, uri, since, until):
        return self.began[uri] <= until and self.ended.get(uri, float("inf")) >= since


def run_threads(*tasks):
    """Run every task in a thread of its own; return what they raised."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        running = [pool.submit(task) for task in tasks]
        return [e for e in (each.exception(SECONDS + WAIT) for each in running) if e is not None]


def test_searching_ingesting_deleting_and_leasing_at_once(app, tmp_path):
    lines, number, done = Timeline(), count(), {"search": 0, "lease": 0, "delete": 0}
    texts, live = {}, []

    def ingest_one(lease):
        n = next(number)
        uri = f"upload:{n}"
        texts[uri] = "\n\n".join(sentence(each) for each in (n, n + 1_000_000))
        lines.began[uri] = time.monotonic()
        report = lease.ingest(upload(n, texts[uri]))
        assert report.added == [uri], report
        live.append(uri)

    with app.collection() as kept:
        for _ in range(20):
            ingest_one(kept)
        end = time.monotonic() + SECONDS

        def ingest():
            with app.collection() as lease:
                while time.monotonic() < end:
                    ingest_one(lease)

        def delete():
            with app.collection() as lease:
                while time.monotonic() < end:
                    if len(live) > 15:
                        uri = live.pop(0)
                        assert lease.delete(uri) == 1
                        lines.ended[uri] = time.monotonic()
                        done["delete"] += 1
                    time.sleep(0.001)

        def check_hits(hits, since, until):
            assert hits
            for hit in hits:
                uri = str(hit.chunk.metadata["source_uri"])
                assert hit.chunk.text == texts[uri][hit.chunk.start : hit.chunk.end]
                assert lines.was_live(uri, since, until), uri

        def search(worker):
            with app.collection() as lease:
                turn = worker
                while time.monotonic() < end:
                    since, turn = time.monotonic(), turn + 1
                    question = f"Who brewed the mead of barrel {turn % 40}?"
                    if turn % 3:
                        check_hits(lease.search(question, top_k=5), since, time.monotonic())
                    else:
                        answer = lease.ask(question, top_k=5)
                        check_hits(answer.hits, since, time.monotonic())
                        for citation in answer.citations:
                            text = texts[citation.source_uri]
                            assert text[citation.start : citation.end] == citation.quote
                    done["search"] += 1

        def lease():
            while time.monotonic() < end:
                with app.collection() as lease:
                    assert lease.chunk_count() > 0
                done["lease"] += 1

        tasks = [ingest, delete, lease, *[lambda n=n: search(n) for n in range(6)]]
        assert run_threads(*tasks) == []
        assert CountingStore.events == ["open"]
        assert sorted(each.source_uri for each in kept.documents()) == sorted(live)
        assert kept.inspect().clean
    assert CountingStore.events == ["open", "close"]
    app.close()
    assert CountingStore.events == ["open", "close"]
    assert all(done.values()), done
    print(f"\n{done}, {len(texts)} ingested in {SECONDS:g} s")


def test_a_lease_that_ends_closes_nothing_under_a_search(app):
    with app.collection() as writer:
        writer.ingest(upload("mead", sentence(1)))
    assert CountingStore.events == ["open", "close"]
    lease = app.collection()
    with ThreadPoolExecutor(1) as pool:
        searching = pool.submit(lease.search, "gate of barrel 1")
        assert Gate.entered.wait(WAIT)
        lease.close()
        with pytest.raises(ClosedError):
            lease.search("barrel")
        Gate.go_on.set()
        assert len(searching.result(WAIT)) == 1
    assert CountingStore.events == ["open", "close"] * 2


def test_leases_that_come_and_go_break_no_search(app):
    with app.collection() as writer:
        writer.ingest(upload("mead", sentence(1)))
    end = time.monotonic() + 2

    def come_and_go():
        while time.monotonic() < end:
            with app.collection() as lease:
                assert len(lease.search("barrel 1")) == 1

    assert run_threads(*[come_and_go] * 6) == []
    opened, closed = (CountingStore.events.count(each) for each in ("open", "close"))
    assert opened == closed > 1


def test_names_that_come_and_go_are_forgotten_and_never_open_twice(app):
    def lease_in_turn(worker):
        for turn in range(30):
            name = f"name{(worker + turn) % 5}"
            # A second store of one name would find the first one's lock.
            with app.collection(name) as lease, lease.index.leases.call():
                assert lease.index.store.count() == 0

    assert run_threads(*[functools.partial(lease_in_turn, worker) for worker in range(4)]) == []
    assert CountingStore.events.count("open") == CountingStore.events.count("close") > 0
    with app.collection("once") as lease:
        forgotten = weakref.ref(lease.index)
    del lease
    with app.collection("another"):
        gc.collect()
        assert forgotten() is None


def test_closing_ends_calls_in_flight_normally_or_with_one_error(app):
    with app.collection() as writer:
        writer.ingest(upload("mead", sentence(1)))
    lease, number, finished = app.collection(), count(), []

    def until_closed(call):
        def run():
            try:
                while True:
                    call()
            except ClosedError as error:
                finished.append(str(error))

        return run

    def close():
        time.sleep(0.5)
        app.close()

    calls = [
        lambda: lease.search("barrel 1"),
        lambda: lease.ask("Who brewed the mead of barrel 1?"),
        lambda: list(lease.stream("Who brewed the mead of barrel 1?")),
        lambda: lease.ingest(upload(next(number), sentence(next(number)))),
        lambda: lease.documents(),
        lambda: app.collections(),
    ]
    assert run_threads(close, *map(until_closed, calls)) == []
    assert set(finished) == {"the application is closed"}
    assert len(finished) == len(calls)
    assert CountingStore.events.count("open") == CountingStore.events.count("close")
    app.close()


def test_closing_waits_for_the_call_in_progress(app):
    lease = app.collection()
    lease.ingest(upload("mead", sentence(1)))
    with ThreadPoolExecutor(2) as pool:
        ingesting = pool.submit(lease.ingest, upload("gate", "the gate of the brewery"))
        assert Gate.entered.wait(WAIT)
        closing_app = pool.submit(app.close)
        with pytest.raises(TimeoutError):
            closing_app.result(0.3)
        Gate.go_on.set()
        assert ingesting.result(WAIT).added == ["upload:gate"]
        closing_app.result(WAIT)
    assert CountingStore.events == ["open", "close"]


def test_a_stream_that_nobody_reads_on_keeps_nobody_from_closing(app):
    with app.collection() as lease:
        lease.ingest(upload("mead", sentence(1)))
        stream = lease.stream("Who brewed the mead of barrel 1?")
        assert isinstance(next(stream), Retrieved)
    assert CountingStore.events == ["open"]
    app.close()
    assert CountingStore.events == ["open", "close"]
    with pytest.raises(ClosedError):
        list(stream)
    stream.close()


def test_a_stream_goes_on_after_its_lease(app):
    with app.collection() as lease:
        lease.ingest(upload("mead", sentence(1)))
        stream = lease.stream("Who brewed the mead of barrel 1?")
        events = [next(stream)]
    events.extend(stream)
    kinds = [type(event) for event in events]
    assert kinds == [Retrieved, *[Text] * (len(kinds) - 2), Finished]
    assert CountingStore.events == ["open", "close"]


# Deleting a collection


def test_deleting_waits_for_an_ingest_and_leaves_nothing(app):
    with app.collection() as lease, ThreadPoolExecutor(2) as pool:
        lease.ingest(upload("mead", sentence(1)))
        ingesting = pool.submit(lease.ingest, upload("gate", "the gate of the brewery"))
        assert Gate.entered.wait(WAIT)
        dropping = pool.submit(lease.drop)
        with pytest.raises(TimeoutError):
            dropping.result(0.3)
        Gate.go_on.set()
        assert ingesting.result(WAIT).added == ["upload:gate"]
        dropping.result(WAIT)
        for call in (lease.inspect, lease.drop, lambda: lease.search("barrel")):
            with pytest.raises(CollectionNotFoundError):
                call()
        assert app.collections() == []
        assert lease.ingest(upload("mead", sentence(2))).added == ["upload:mead"]
        assert [hit.chunk.text for hit in lease.search("barrel")] == [sentence(2)]
        assert lease.inspect().clean


def test_ingesting_searching_and_deleting_the_collection_over_and_over(app):
    end, number, seen = time.monotonic() + min(SECONDS, 5), count(), {"drop": 0, "search": 0}

    def ingest():
        while time.monotonic() < end:
            n = next(number)
            report = app_lease.ingest(upload(n, sentence(n)))
            assert report.added == [f"upload:{n}"], report
            assert not report.failed

    def search():
        while time.monotonic() < end:
            try:
                app_lease.search("barrel")
                seen["search"] += 1
            except CollectionNotFoundError:
                pass

    def drop():
        found = 0
        while time.monotonic() < end:
            time.sleep(0.01)
            if seen["search"] == found:
                continue
            found = seen["search"]
            try:
                app_lease.drop()
                seen["drop"] += 1
            except CollectionNotFoundError:
                pass

    with app.collection() as app_lease:
        assert run_threads(ingest, ingest, search, search, drop, drop) == []
        app_lease.ingest(upload("last", sentence(1)))
        assert app_lease.inspect().clean
        app_lease.drop()
    assert all(seen.values()), seen
    assert CountingStore.events.count("open") > 1


# What a process keeps


def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("number", [1_000])
def test_conversations_leak_nothing(tmp_path, number):
    question = "Who brewed the mead of barrel 1?"
    with model_server(lambda messages: ["A dwarf [1]."]) as server:
        generator = {"type": "openai", "base_url": server.base_url, "model": "small"}
        settings = make_settings(tmp_path, generator=generator)
        with App(settings) as app, app.collection() as lease:
            lease.ingest(upload("mead", sentence(1)))

            def converse():
                with (
                    closing(app.conversation(lambda: lease)) as conversation,
                    conversation.stream(question, rag=True) as stream,
                ):
                    assert stream.answer.hits

            def measure():
                gc.collect()
                return open_files(), resident(), len(app._opened._exit_callbacks)

            for _ in range(50):
                converse()
            before = measure()
            for _ in range(number):
                converse()
            after = measure()
    print(f"\n{number} conversations: open files, MiB, callbacks: {before} -> {after}")
    assert after[0] <= before[0] + 4
    assert after[1] <= before[1] + 20
    assert after[2] == before[2]


def test_a_conversation_that_cannot_be_made_closes_its_generator(tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(Connected, "closed", closed)
    settings = make_settings(
        tmp_path,
        generator={"type": f"{__name__}:Connected"},
        chat={
            "rag": {
                "context_refinement": {
                    "enabled": True,
                    "generator": {"type": f"{__name__}:Unmakeable"},
                }
            }
        },
    )
    with App(settings) as app, pytest.raises(ZeroDivisionError):
        app.conversation(app.collection)
    assert closed == ["closed"]


class Unmakeable:
    def __init__(self):
        raise ZeroDivisionError


class Connected:
    closed: ClassVar[list[str]] = []

    def generate(self, prompt):
        yield from ()

    def close(self):
        self.closed.append("closed")
