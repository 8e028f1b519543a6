"""Components are made once, whoever asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from kvasir.core.types import Prompt
from kvasir.parts import Parts, once
from kvasir.settings.schema import Settings


class Counting(Parts):
    made = 0

    @once
    def thing(self) -> object:
        """Gives the other threads time to ask meanwhile."""
        type(self).made += 1
        time.sleep(0.05)
        return object()


def test_threads_that_ask_at_once_get_the_same_component():
    parts = Counting(Settings())
    start = threading.Barrier(8)
    found = []

    def ask() -> None:
        start.wait()
        found.append(parts.thing)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counting.made == 1
    assert len({id(thing) for thing in found}) == 1


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
    with Parts(Settings(generator={"type": f"{__name__}:ConnectedGenerator"})) as parts:
        chosen, another = parts.generator, parts.make_generator(parts.settings.generator)
        assert chosen.connected
    assert not chosen.connected
    assert not another.connected
