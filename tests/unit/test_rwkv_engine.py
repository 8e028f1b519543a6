"""The thread that writes for all: it misses no request, and a failure ends no later one."""

import threading
from types import SimpleNamespace

import pytest
from libraries import library
from small_rwkv import byte_tokenizer, one_thread, random_model

from kvasir.core.errors import ComponentError

torch = library("torch", extra="torch")
batching = library("kvasir.rwkv.batching", "torch", extra="torch")
engines = library("kvasir.rwkv.engine", "torch", extra="torch")


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    model = random_model(7, layers=2, width=64, head_size=32, vocabulary=257)
    tokenizer = byte_tokenizer(tmp_path_factory.mktemp("vocabulary"))
    return SimpleNamespace(model=model, tokenizer=tokenizer)


@pytest.fixture
def engine(base):
    engine = engines.Engine(base)
    yield engine
    closing = threading.Thread(target=engine.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive(), "closing hangs"


def written(engine, prompt=(1, 2, 3)):
    """Returns the text of a request; fails if none comes."""
    found = []
    request = batching.Request(list(prompt), 3)
    thread = threading.Thread(
        target=lambda: found.extend(engine.write_together([request])), daemon=True
    )
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "the request hangs"
    return found[0].text


class LateCondition(threading.Condition):
    """A condition whose timed waits end when something has changed, and are too late to see it."""

    def __init__(self):
        super().__init__()
        self.waits = threading.Event()

    def wait(self, timeout=None):
        if timeout is None:
            return super().wait()
        self.waits.set()
        super().wait(30)
        return False


def test_a_request_that_joins_when_the_idle_time_is_over_is_written(engine):
    engine._changed = LateCondition()
    first = written(engine)
    assert engine._changed.waits.wait(30)
    assert written(engine) == first


def test_a_thread_that_could_not_start_ends_no_later_request(engine, monkeypatch):
    def fail(work):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr("kvasir.rwkv.engine.start_daemon", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            engine.write_together([batching.Request([1], 3)])
    assert written(engine)


def test_a_failure_that_leaves_no_memory_for_anything_ends_no_later_request(engine, monkeypatch):
    """After a step failed, taking its requests out must not compute anything."""

    def fail(*_):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        read, reads = engine._batch._model.read, []

        def fail_late(*arguments):
            reads.append(arguments)
            return read(*arguments) if len(reads) < 4 else fail()

        patched.setattr(engine._batch._model, "read", fail_late)
        patched.setattr("kvasir.rwkv.state.State.take", fail)
        requests = [batching.Request([1, 2], 9), batching.Request([3, 4], 9)]
        with pytest.raises(ComponentError, match="out of memory"):
            engine.write_together(requests)
    assert written(engine)
