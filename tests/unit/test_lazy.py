"""Components are made once, whoever asks, and waiting for one blocks no other."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from kvasir.app import App
from kvasir.core.leases import Lazy
from kvasir.core.types import Prompt
from kvasir.settings.schema import Settings


def test_threads_that_ask_at_once_get_the_same_component():
    made = []

    def make() -> object:
        """Gives the other threads time to ask meanwhile."""
        made.append(1)
        time.sleep(0.05)
        return object()

    lazy = Lazy(make)
    start = threading.Barrier(8)
    found = []

    def ask() -> None:
        start.wait()
        found.append(lazy.get())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    assert len({id(thing) for thing in found}) == 1


def test_a_value_that_is_taken_is_made_again():
    lazy = Lazy(object)
    first = lazy.get()
    assert lazy.take() is first
    assert lazy.take() is None
    assert lazy.get() is not first


class SlowEmbedder:
    """Takes until it is told to go on to be made."""

    making = threading.Event()
    go_on = threading.Event()

    def __init__(self) -> None:
        self.making.set()
        assert self.go_on.wait(30)


def test_the_catalog_answers_while_another_thread_loads_the_embedder(tmp_path):
    settings = Settings(
        data_dir=tmp_path, rag={"embedding_model": {"type": f"{__name__}:SlowEmbedder"}}
    )
    with App(settings) as app:
        loading = threading.Thread(target=lambda: app.embedder)
        loading.start()
        assert SlowEmbedder.making.wait(30)
        assert app.collections() == []
        assert app.catalog.collections() == []
        SlowEmbedder.go_on.set()
        loading.join(30)
        assert not loading.is_alive()


class ConnectedGenerator:
    def __init__(self) -> None:
        self.connected = True

    def generate(self, prompt: Prompt) -> Iterator[str]:
        """Says nothing."""
        yield from ()

    def close(self) -> None:
        """Ends the connection."""
        self.connected = False


def test_closing_ends_the_connections_of_generators():
    with App(Settings(generator={"type": f"{__name__}:ConnectedGenerator"})) as app:
        chosen = app.generator
        assert chosen.connected
        conversation = app.conversation(app.collection)
        another = conversation.generator
        assert another.connected
        conversation.close()
        assert not another.connected
        assert chosen.connected
    assert not chosen.connected


def test_a_value_may_be_taken_while_others_ask_for_it():
    lazy, until = Lazy(object), time.monotonic() + 0.5

    def ask() -> None:
        while time.monotonic() < until:
            assert lazy.get() is not None

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(ask) for _ in range(3)]
            while time.monotonic() < until:
                lazy.take()
        assert [each.result() for each in asking] == [None] * 3
    finally:
        sys.setswitchinterval(interval)
