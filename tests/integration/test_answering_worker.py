"""Answering workers: answers in order, retries, waiting for a model, and giving work back."""

import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from kvasir.core.errors import (
    CollectionNotFoundError,
    ComponentError,
    ModelNotFoundError,
    RequestError,
    StoreIncompleteError,
    StoreLockedError,
    UnfinishedError,
    WrongEmbedderError,
)
from kvasir.core.run import StopToken
from kvasir.core.services.questions import QuestionState
from kvasir.core.types import Answer
from kvasir.database import open_database, reading, writing
from kvasir.questions.answering import AnsweringWorker
from kvasir.questions.sql import SqlQuestionQueue
from kvasir.questions.tables import questions
from kvasir.testing.questions import new_question

SOON = 20.0
"""Seconds until a worker stops: ten times what a quiet machine is allowed."""


@pytest.fixture
def queue(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/service.db")
    yield SqlQuestionQueue(engine, max_attempts=3)
    engine.dispose()


@pytest.fixture
def stop():
    return StopToken()


def make(queue, ask, stop, **options):
    chosen = {"lease_seconds": 5.0, "first_delay": 0.01, "idle_seconds": 0.01} | options
    return AnsweringWorker(queue, ask, stop=stop, **chosen)


def raising(error):
    def ask(question, stop):
        raise error

    return ask


def test_questions_are_answered_in_their_order_and_each_is_reported(queue, stop):
    ids = [queue.ask(new_question(f"question {n}")).id for n in range(3)]
    reported = []
    worker = make(
        queue,
        lambda question, _: Answer(f"to {question.input}"),
        stop,
        on_answered=lambda question, answer: reported.append((question.id, answer.text)),
    )
    while worker.work_once():
        pass
    assert reported == [(key, f"to question {n}") for n, key in enumerate(ids)]
    assert {queue.question(key).state for key in ids} == {QuestionState.ANSWERED}


def test_a_refusal_is_polite_and_in_the_users_language(queue, stop):
    asked = queue.ask(new_question())
    make(queue, lambda *_: Answer("I cannot find it.", refused=True), stop).work_once()
    found = queue.question(asked.id)
    assert found.output.startswith("Lo siento")
    assert found.answer.refused


@pytest.mark.parametrize(
    "error", [ComponentError("model", "answering", "bad reply"), ZeroDivisionError("x")]
)
def test_an_error_is_retried_and_never_an_answer(queue, stop, error):
    asked = queue.ask(new_question())
    worker = make(queue, raising(error), stop)
    delays = []
    for _ in range(3):
        while not worker.work_once():
            time.sleep(0.005)
        found = queue.question(asked.id)
        assert (found.output, found.answer) == (None, None)
        delays.append(found.state)
    assert delays == [QuestionState.WAITING, QuestionState.WAITING, QuestionState.DEAD]
    assert found.reason and str(error) not in found.reason, "the asker may not know it"
    assert queue.claim_mail(lease_seconds=1) is None


def test_an_empty_answer_is_an_error(queue, stop):
    asked = queue.ask(new_question())
    make(queue, lambda *_: Answer("  \n"), stop).work_once()
    assert queue.question(asked.id).state is QuestionState.WAITING


def test_a_question_that_may_not_be_answered_is_dead_at_once(queue, stop):
    asked = queue.ask(new_question())
    make(queue, raising(RequestError("the user is disabled")), stop).work_once()
    found = queue.question(asked.id)
    assert (found.state, found.reason) == (QuestionState.DEAD, "the user is disabled")


def test_a_question_waits_for_a_collection_that_is_not_there_yet(queue, stop):
    asked = queue.ask(new_question())
    make(queue, raising(CollectionNotFoundError("course")), stop).work_once()
    assert queue.question(asked.id).state is QuestionState.WAITING


@pytest.mark.parametrize(
    "error",
    [
        ComponentError("ollama", "answering", "refused", kind="unreachable"),
        ComponentError("ollama", "answering", "queue full", kind="busy"),
        ModelNotFoundError("mistral is not there"),
    ],
)
def test_a_model_that_is_not_there_makes_questions_wait_and_none_fails(queue, stop, error):
    ids = [queue.ask(new_question()).id for _ in range(2)]
    worker = make(queue, raising(error), stop)
    for _ in range(5):
        worker.work_once()
    for key in ids:
        found = queue.question(key)
        assert (found.state, found.attempts, found.reason) == (QuestionState.WAITING, 0, "")
    good = make(queue, lambda *_: Answer("yes"), stop)
    while good.work_once():
        pass
    assert queue.counts()["answered"] == 2


def of_its_collection(error):
    error.of_collection = True
    return error


@pytest.mark.parametrize(
    "error",
    [
        StoreIncompleteError("broken", 12, 0),
        StoreLockedError("collection 'broken' is open in another process"),
        WrongEmbedderError("collection 'broken' was made with another model"),
        UnfinishedError("broken"),
        of_its_collection(ModelNotFoundError("the model of 'broken' is not there")),
    ],
)
def test_a_broken_collection_holds_up_its_own_questions_and_fails_none(queue, stop, error):
    broken = [queue.ask(replace(new_question(), collection="broken")).id for _ in range(2)]
    sound = queue.ask(new_question()).id
    is_mended = False

    def ask(question, _):
        if question.collection == "broken" and not is_mended:
            raise error
        return Answer("yes")

    worker = make(queue, ask, stop)
    while not queue.question(sound).output:
        worker.work_once()
    for key in broken:
        found = queue.question(key)
        assert (found.state, found.attempts) == (QuestionState.WAITING, 0)
    is_mended = True
    while queue.counts()["answered"] < 3:
        if not worker.work_once():
            time.sleep(0.005)


def test_the_lease_is_prolonged_while_an_answer_takes_long(queue, stop):
    asked = queue.ask(new_question())

    def lease_end():
        with reading(queue._engine) as connection:
            return connection.execute(select(questions.c.lease_until)).scalar_one()

    def slow(question, token):
        with writing(queue._engine) as connection:
            connection.execute(update(questions).values(lease_until=0.0))
        end = time.monotonic() + 60
        while lease_end() == 0.0 and time.monotonic() < end:
            time.sleep(0.01)
        assert queue.claim(lease_seconds=1) is None
        return Answer("late")

    # It is prolonged four times in its length.
    make(queue, slow, stop, lease_seconds=2.0).work_once()
    assert queue.question(asked.id).output == "late"


def test_a_cancelled_question_stops_its_answer(queue, stop):
    asked = queue.ask(new_question())
    started = threading.Event()

    def slow(question, token):
        started.set()
        assert token.wait(60)
        token.raise_if_set()

    worker = make(queue, slow, stop, lease_seconds=0.2)
    thread = threading.Thread(target=worker.work_once)
    thread.start()
    assert started.wait(60)
    queue.cancel(asked.id)
    thread.join(60)
    assert not thread.is_alive()
    found = queue.question(asked.id)
    assert (found.state, found.output) == (QuestionState.CANCELLED, None)


def test_a_worker_that_is_stopped_gives_its_question_back_at_once(queue, stop):
    asked = queue.ask(new_question())
    started = threading.Event()

    def slow(question, token):
        started.set()
        assert token.wait(60)
        token.raise_if_set()

    thread = threading.Thread(target=make(queue, slow, stop).run)
    thread.start()
    assert started.wait(60)
    begun = time.monotonic()
    stop.set()
    thread.join(60)
    assert time.monotonic() - begun < SOON
    found = queue.question(asked.id)
    assert (found.state, found.attempts) == (QuestionState.WAITING, 0)


def test_an_answer_is_kept_while_the_database_is_away(queue, stop, monkeypatch):
    asked = queue.ask(new_question())
    real, calls = queue.answer, []

    def away(*arguments):
        calls.append(1)
        if len(calls) < 3:
            raise ComponentError("catalog", "writing", "server closed the connection")
        return real(*arguments)

    monkeypatch.setattr(queue, "answer", away)
    make(queue, lambda *_: Answer("kept"), stop).work_once()
    assert queue.question(asked.id).output == "kept"
    assert len(calls) == 3


def test_a_worker_goes_on_when_the_queue_comes_back(queue, stop, monkeypatch):
    asked = queue.ask(new_question())
    real, calls = queue.claim, []

    def away(**options):
        calls.append(1)
        if len(calls) < 3:
            raise ComponentError("catalog", "reading", "gone")
        return real(**options)

    monkeypatch.setattr(queue, "claim", away)
    worker = make(queue, lambda *_: Answer("yes"), stop, on_answered=lambda *_: stop.set())
    thread = threading.Thread(target=worker.run)
    thread.start()
    thread.join(60)
    assert queue.question(asked.id).output == "yes"
