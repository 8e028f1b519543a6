"""A service waits for its generator, again and again, and says how far it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from kvasir import generator_start
from kvasir.core.errors import ComponentError, StoppedError
from kvasir.core.run import Run, StopToken
from kvasir.generator_start import GeneratorStart


class Prepares:
    """Prepares by functions, one a try."""

    def __init__(self, *tries: Callable[[Run], None]) -> None:
        self.tries = list(tries)

    def __call__(self, run: Run) -> None:
        self.tries.pop(0)(run)


def unreachable(_: Run) -> None:
    raise ComponentError("ollama", "answering", "nothing answers there", kind="unreachable")


def unforeseen(_: Run) -> None:
    raise OSError("the disk does not answer")


@pytest.mark.parametrize(
    ("failing", "state"), [(unreachable, "component_unreachable"), (unforeseen, "error")]
)
def test_a_generator_that_does_not_answer_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failing: Callable[[Run], None],
    state: str,
) -> None:
    monkeypatch.setattr(generator_start, "_FIRST_PAUSE", 0.0)
    states: list[str] = []

    def ready(_: Run) -> None:
        states.append(start.state)

    app = Prepares(failing, failing, ready)
    start = GeneratorStart(app, StopToken())
    assert start.state == "starting"
    start.run()
    assert states == [state]
    assert start.state == "ok"
    assert start.wait()
    assert sum("questions wait" in each for each in caplog.messages) == 2


def test_the_progress_is_a_state_and_a_few_lines_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []

    def pull(run: Run) -> None:
        for done in range(0, 101):
            run.download("downloading", done, 100)
            seen.append(start.state)

    start = GeneratorStart(Prepares(pull), StopToken())
    with caplog.at_level(logging.INFO):
        start.run()
    assert seen[43] == "fetching the model: 43 %"
    assert len(caplog.messages) == 11


def test_a_stop_ends_the_waiting_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = StopToken()
    begun = threading.Event()

    def pull(run: Run) -> None:
        begun.set()
        run.stop.wait(60)
        raise StoppedError

    start = GeneratorStart(Prepares(pull), stop)
    results: list[bool] = []
    threads = [
        threading.Thread(target=start.run),
        threading.Thread(target=lambda: results.append(start.wait())),
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert results == [False]
