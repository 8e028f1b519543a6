"""Components are made once, whoever asks."""

from __future__ import annotations

import threading
import time

from kvasir.parts import Parts, once
from kvasir.settings import Settings


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
