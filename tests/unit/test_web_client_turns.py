"""How an answer ends for the page: by its last event, or because the connection broke off."""

import json

import httpx
import pytest

from kvasir.frontends.ui.connection import Api, Connection
from kvasir.frontends.ui.turns import Turn
from kvasir.remote.client import ServerClient


def followed(respond):
    """Return a turn that was followed at a server."""
    connection = Connection("http://kb.example.org")
    transport = httpx.MockTransport(respond)
    connection.client = ServerClient("http://kb.example.org", transport=transport)
    turn = Turn("id", "tea", "How hot?")
    for _ in turn.follow(Api(connection, "token")):
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
