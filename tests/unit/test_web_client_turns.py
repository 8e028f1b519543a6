"""How an answer ends for the page: by its last event, or because the connection broke off."""

import json
import threading
import time

import httpx
import pytest

from kvasir.frontends.ui.connection import Api, Connection
from kvasir.frontends.ui.turns import Turn
from kvasir.remote.client import ServerClient


class Silent(httpx.SyncByteStream):
    """Sends comments only, until it is closed."""

    def __init__(self):
        self.closed = threading.Event()

    def __iter__(self):
        while not self.closed.is_set():
            yield b": still here\n\n"
            time.sleep(0.01)

    def close(self):
        self.closed.set()


def test_a_page_that_is_left_gives_its_connection_back_also_while_nothing_comes():
    stream = Silent()
    following = begun(lambda _: httpx.Response(200, stream=stream))[1]
    next(following)
    assert not stream.closed.is_set()
    following.close()
    assert stream.closed.wait(10)


def served(respond):
    """Return a turn, and the API of its server."""
    connection = Connection("http://kb.example.org")
    transport = httpx.MockTransport(respond)
    connection.client = ServerClient("http://kb.example.org", transport=transport)
    return Turn("id", "tea", "How hot?"), Api(connection, "token")


def begun(respond):
    """Return a turn at a server, and its following."""
    turn, api = served(respond)
    return turn, turn.follow(api)


def followed(respond):
    """Return a turn that was followed at a server."""
    turn, following = begun(respond)
    for _ in following:
        pass
    return turn


@pytest.mark.parametrize("code", ["component_unreachable", "component_timeout", "stopped"])
def test_an_error_that_the_server_tells_is_the_end(code):
    problem = json.dumps({"code": code, "detail": "the language model does not answer"})
    turn = followed(lambda _: httpx.Response(200, text=f"event: error\ndata: {problem}\n\n"))
    assert (turn.is_over, turn.error.code) == (True, code)


@pytest.mark.parametrize("failure", [httpx.ReadTimeout, httpx.ConnectError])
def test_a_connection_that_breaks_off_leaves_the_answer_going_on(failure):
    def respond(request):
        raise failure("lost", request=request)

    turn = followed(respond)
    assert not turn.is_over and turn.error is not None


def test_events_that_end_before_the_last_one_leave_the_answer_going_on():
    turn = followed(lambda _: httpx.Response(200, text='event: text\ndata: {"text": "Hot. "}\n\n'))
    assert not turn.is_over and turn.error is not None
    assert (turn.answer, turn.next_event) == ("Hot. ", 1)


STOPPED = 'event: text\ndata: {"text": "Hot. "}\n\nevent: error\ndata: ' + json.dumps(
    {"code": "stopped", "detail": "it was stopped"}
)


def test_a_page_that_is_drawn_again_in_another_thread_loses_neither_text_nor_the_end():
    turn, api = served(lambda _: httpx.Response(200, text=f"{STOPPED}\n\n"))
    earlier, later = turn.follow(api), turn.follow(api)
    next(earlier)
    next(later)
    for following in (earlier, later):
        for _ in following:
            pass
    assert (turn.answer, turn.is_over, turn.is_stopped) == ("Hot. ", True, True)


def test_an_answer_that_is_over_keeps_its_end():
    turn, api = served(lambda _: httpx.Response(200, text=f"{STOPPED}\n\n"))
    for _ in turn.follow(api):
        pass
    assert list(turn.follow(api)) == [] and turn.is_stopped
