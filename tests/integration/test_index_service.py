"""The index as a service of ZeroMQ: what is left of a request when its caller has gone."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from service_client import TEA, make_settings
from service_peers import HEARTBEAT
from slow_generator import SlowGenerator

from kvasir.app import App
from kvasir.core.deadline import deadline, stopping
from kvasir.core.errors import DeadlineExceededError, StoppedError
from kvasir.core.run import StopToken
from kvasir.core.types import Source
from kvasir.frontends.api.index_service import IndexService
from kvasir.remote.service import RemoteService
from kvasir.remote.zeromq.broker import Broker
from kvasir.remote.zeromq.indexing import connect_to_index
from kvasir.remote.zeromq.worker import Worker

QUESTION = {"question": "How hot is green tea brewed?", "stream": False}


@pytest.fixture(scope="module")
def front_end(tmp_path_factory):
    """An index with one slot, so that a call that goes on shows in the next one."""
    settings = make_settings(
        tmp_path_factory.mktemp("index"),
        generator={"type": "slow_generator:SlowGenerator"},
        answer={"refuse": False},
    )
    with (
        Broker("inproc://index-f", "inproc://index-b", heartbeat=HEARTBEAT) as broker,
        App(settings) as app,
        IndexService(app) as index,
        Worker(broker.back_end[0], [index.service(slots=1)], heartbeat=HEARTBEAT),
    ):
        connect = partial(connect_to_index, broker.front_end[0])
        with RemoteService(connect, collection="tea") as service, service.collection() as tea:
            tea.ingest((Source("upload:tea.md", "text/markdown"), TEA.encode()))
        yield broker.front_end[0]


@pytest.fixture
def client(front_end):
    SlowGenerator.reset()
    client = connect_to_index(front_end, {})
    yield client
    SlowGenerator.allowed.set()
    client.close()


def ask(client):
    return client.send("POST", "/v1/collections/tea/answers", "answering", json=QUESTION)


def check_free(client):
    """Check that the generator was stopped and the slot serves the next call."""
    assert SlowGenerator.closed.acquire(timeout=10)
    with deadline(10):
        assert client.send("GET", "/v1/collections", "listing").status_code == 200


def test_a_whole_answer_ends_when_its_caller_leaves(client):
    stop = StopToken()

    def leave():
        assert SlowGenerator.began.acquire(timeout=20)
        stop.set()

    leaving = threading.Thread(target=leave)
    leaving.start()
    with stopping(stop), pytest.raises(StoppedError):
        ask(client)
    leaving.join()
    check_free(client)


def test_a_whole_answer_ends_with_the_deadline_of_its_caller(client):
    with deadline(2.0), pytest.raises(DeadlineExceededError):
        ask(client)
    check_free(client)
