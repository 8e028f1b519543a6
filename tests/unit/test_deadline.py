"""A deadline holds for everything below a call, and nothing that hangs keeps its caller."""

import threading
import time

import pytest

from kvasir.answering.answers import Answerer
from kvasir.answering.chat import Conversation
from kvasir.answering.refining import Refiner
from kvasir.answering.retrieval import Retriever
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.core.deadline import (
    check,
    deadline,
    iterate_within_deadline,
    limited,
    remaining,
    run_within_deadline,
    sleep,
    stopping,
)
from kvasir.core.errors import ComponentError, DeadlineExceededError, StoppedError
from kvasir.core.run import StopToken
from kvasir.core.types import Chunk, Retrieved, SearchRequest
from kvasir.testing.fakes import FakeEmbedder, MemoryStore

TEXT = "Two dwarfs brewed mead of the blood of Kvasir."
QUESTION = SearchRequest("Who brewed mead of the blood of Kvasir?")
SOON = 5.0
"""Seconds: the limit is half a second; a machine under load takes longer."""


@pytest.fixture
def hang():
    """Blocks until the test is over; nothing that a deadline left behind lives on."""
    over = threading.Event()
    yield lambda: over.wait(60)
    over.set()


@pytest.fixture
def soon():
    started = time.monotonic()
    yield
    assert time.monotonic() - started < SOON


class Hangs:
    """A generator that hangs after its first piece."""

    def __init__(self, hang):
        self.hang = hang

    def generate(self, prompt):
        yield "Two dwarfs "
        self.hang()
        yield "brewed it."


class Says:
    def generate(self, prompt):
        yield "Two dwarfs [1]."


class HangingEmbedder(FakeEmbedder):
    hang = staticmethod(lambda: None)

    def embed_queries(self, texts):
        self.hang()
        return super().embed_queries(texts)


class HangingReranker:
    def __init__(self, hang):
        self.hang = hang

    def rerank(self, query, hits, top_k):
        self.hang()
        return list(hits)[:top_k]


@pytest.fixture
def store():
    embedder = FakeEmbedder(64)
    store = MemoryStore(dimension=64, analyzer=Bm25Analyzer())
    metadata = {"language": "en", "source_uri": "/mead.md"}
    chunk = Chunk("c", "d", TEXT, 0, len(TEXT), metadata=metadata)
    store.upsert([chunk], embedder.embed_documents([TEXT]))
    return store


@pytest.fixture
def answerer(store):
    def answerer(generator):
        retriever = Retriever(FakeEmbedder(64), store, languages=["en"])
        return Answerer(retriever, generator, analyzer=Bm25Analyzer(), refuse=False)

    return answerer


@pytest.mark.parametrize("hanging", ["embedder", "store", "reranker"])
def test_a_search_that_hangs_comes_back(store, hang, soon, hanging, monkeypatch):
    embedder = HangingEmbedder(64)
    reranker = HangingReranker(hang) if hanging == "reranker" else None
    if hanging == "embedder":
        embedder.hang = hang
    if hanging == "store":
        monkeypatch.setattr(store, "search_hybrid", lambda *_: hang())
    retriever = Retriever(embedder, store, reranker, languages=["en"])
    with deadline(0.5), pytest.raises(DeadlineExceededError) as caught:
        retriever.retrieve(QUESTION)
    assert caught.value.code == "deadline_exceeded"


def test_an_answer_whose_generator_hangs_comes_back(answerer, hang, soon):
    with deadline(0.5), pytest.raises(DeadlineExceededError) as caught:
        answerer(Hangs(hang)).ask(QUESTION)
    assert caught.value.code == "deadline_exceeded"


def test_a_stream_keeps_the_deadline_under_which_it_was_made(answerer, hang, soon):
    with deadline(0.5):
        stream = answerer(Hangs(hang)).stream(QUESTION)
    events = []
    with pytest.raises(DeadlineExceededError):
        for event in stream:
            events.append(event)
    assert [type(event) for event in events[:1]] == [Retrieved]
    assert remaining() is None


@pytest.mark.parametrize("rag", [True, False])
def test_a_chat_whose_model_hangs_comes_back(answerer, hang, soon, rag):
    generator = Hangs(hang)
    conversation = Conversation(generator, lambda: answerer(generator))
    with deadline(0.5), pytest.raises(DeadlineExceededError):
        conversation.stream(QUESTION.query, rag=rag).answer  # noqa: B018


def test_a_refinement_that_hangs_is_no_failure_to_work_around(answerer, hang, soon):
    conversation = Conversation(Says(), lambda: answerer(Says()), refiner=Refiner(Hangs(hang)))
    with deadline(0.5), pytest.raises(DeadlineExceededError):
        conversation.stream(QUESTION.query, rag=True).answer  # noqa: B018


def test_steps_see_the_nearest_deadline_and_clients_their_share_of_it():
    assert remaining() is None
    assert limited(7.0) == 7.0
    check("searching")
    with deadline(None):
        assert remaining() is None
    with deadline(10.0):
        assert 9.0 < remaining() <= 10.0
        assert limited(7.0) == 7.0
        assert 9.0 < limited(30.0) <= 10.0
        with deadline(20.0):
            assert remaining() <= 10.0
        with deadline(0.0):
            assert remaining() == 0.0
            for call in (lambda: check("searching"), lambda: limited(1.0)):
                with pytest.raises(DeadlineExceededError):
                    call()
            with pytest.raises(DeadlineExceededError, match="searching"):
                run_within_deadline(lambda: 1, "searching")
    assert remaining() is None


def test_a_call_in_a_thread_sees_the_deadline_and_its_errors_come_back():
    with deadline(10.0):
        assert run_within_deadline(remaining, "searching") <= 10.0
        with pytest.raises(ComponentError, match="store"):
            run_within_deadline(lambda: _raise(ComponentError("store", "searching", "x")), "a")
        with pytest.raises(TimeoutError, match="own"):
            run_within_deadline(lambda: _raise(TimeoutError("own")), "a")
        assert run_within_deadline(threading.current_thread, "a") is not threading.main_thread()
    assert run_within_deadline(threading.current_thread, "a") is threading.current_thread()


def test_an_iterator_is_read_as_it_is_asked_for_and_closed_in_the_end():
    for limit in (None, 10.0):
        seen = []

        def numbers(seen=seen):
            try:
                for number in range(5):
                    seen.append(number)
                    yield number
            finally:
                seen.append("closed")

        with deadline(limit):
            some = iterate_within_deadline(numbers(), "counting")
            assert [next(some), next(some)] == [0, 1]
            assert seen == [0, 1]
            some.close()
            assert seen == [0, 1, "closed"]
            assert list(iterate_within_deadline(numbers(), "counting")) == [0, 1, 2, 3, 4]


def test_a_token_ends_the_wait_for_a_step_at_once_and_the_iterator_is_closed_after_it():
    stop, allowed, closed = StopToken(), threading.Event(), threading.Event()

    def slow():
        try:
            allowed.wait(60)
            yield 1
        finally:
            closed.set()

    started = time.monotonic()
    threading.Timer(0.05, stop.set).start()
    with stopping(stop), pytest.raises(StoppedError):
        list(iterate_within_deadline(slow(), "counting"))
    assert time.monotonic() - started < SOON
    assert not closed.is_set()
    allowed.set()
    assert closed.wait(60)


def test_an_iterator_that_ends_because_of_the_stop_has_not_come_to_its_end():
    stop, ended = StopToken(), threading.Event()

    def until_stopped():
        yield "a first piece"
        assert stop.wait(60)
        ended.set()

    # It sees the token before the one who waits for it is told.
    with stopping(stop), stop.calling(lambda: time.sleep(0.2 * ended.wait(60))):
        pieces = iterate_within_deadline(until_stopped(), "writing")
        assert next(pieces) == "a first piece"
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(StoppedError):
            next(pieces)


def test_a_token_ends_a_pause_and_refuses_the_next_step():
    stop = StopToken()
    with stopping(stop):
        sleep(0.0)
        threading.Timer(0.05, stop.set).start()
        started = time.monotonic()
        with pytest.raises(StoppedError):
            sleep(60)
        assert time.monotonic() - started < SOON
        with pytest.raises(StoppedError):
            check("searching")
    check("searching")


def test_an_operators_error_with_one_code():
    error = DeadlineExceededError("searching")
    assert isinstance(error, ComponentError)
    assert "searching" in str(error)


def _raise(error):
    raise error
