"""Who gets past the web client's door: the owner at this machine, and who is signed in."""

import pytest
from account_client import NO_LIMITS
from live_server import live_server
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from kvasir.core.services.accounts import Role, Scope
from kvasir.frontends.ui import signing_in
from kvasir.frontends.ui.application import Headers as AddedHeaders
from kvasir.frontends.ui.application import SignIn
from kvasir.frontends.ui.connection import Connection, current, use

HERE = {"Host": "127.0.0.1:8501"}
STREAM = "/_stcore/stream"
UPLOAD = "/_stcore/upload_file/session/file"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with live_server(tmp_path_factory.mktemp("service")) as running:
        running.add_user("ana", *Scope, role=Role.ADMIN)
        yield running


async def behind(scope, receive, send):
    """Answer whatever comes through."""
    if scope["type"] == "websocket":
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.close()
        return
    await PlainTextResponse("a page")(scope, receive, send)


def browser(server, *, is_local=True):
    use(Connection(server.url, owner_token=lambda: server.keys["ana"], is_local=is_local))
    return TestClient(SignIn(behind), follow_redirects=False)


def opens(client, headers):
    try:
        with client.websocket_connect(STREAM, headers=headers):
            return True
    except WebSocketDisconnect:
        return False


@pytest.mark.parametrize("host", ["127.0.0.1:8501", "localhost:8501", "[::1]:8501"])
def test_the_owner_at_this_machine_need_not_sign_in(server, host):
    answer = browser(server).get("/", headers={"Host": host})
    assert (answer.status_code, answer.text) == (200, "a page")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:8501"},
        {"Host": "127.0.0.1.evil.example"},
        HERE | {"X-Forwarded-For": "203.0.113.7"},
        HERE | {"Forwarded": "for=203.0.113.7"},
        HERE | {"Via": "1.1 proxy"},
    ],
    ids=["a name made to resolve here", "a longer name", "x-forwarded-for", "forwarded", "via"],
)
def test_others_sign_in(server, headers):
    answer = browser(server).get("/knowledge", headers=headers)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fknowledge"
    assert current_token(headers) == ""


def current_token(headers):
    return current().token_without_sign_in(Headers(headers))


def test_without_a_sign_in_that_holds_nothing_is_opened_and_nothing_sent(server):
    client = browser(server, is_local=False)
    for cookie in ({}, {"Cookie": "kvasir_ui_session=x.y.z"}):
        assert not opens(client, HERE | cookie)
        assert client.put(UPLOAD, headers=HERE | cookie).status_code == 403
        assert client.get("/", headers=HERE | cookie).status_code == 303
    signed_in = HERE | {"Cookie": f"kvasir_ui_session={server.keys['ana']}"}
    assert opens(client, signed_in)
    assert client.put(UPLOAD, headers=signed_in).status_code == 200
    assert client.get("/", headers=signed_in).status_code == 200


def test_without_the_api_a_page_says_so_and_no_file_is_taken(server):
    use(Connection("http://127.0.0.1:9"))
    client = TestClient(SignIn(behind), follow_redirects=False)
    cookie = HERE | {"Cookie": "kvasir_ui_session=x.y.z"}
    assert client.get("/", headers=cookie).status_code == 200
    assert client.put(UPLOAD, headers=cookie).status_code == 403


def test_a_cookie_of_another_server_does_not_keep_the_owner_out(server):
    client = browser(server)
    old = HERE | {"Cookie": "kvasir_ui_session=x.y.z"}
    assert client.get("/", headers=old).status_code == 200
    assert client.put(UPLOAD, headers=old).status_code == 200
    assert opens(client, old)


@pytest.mark.parametrize("path", ["/sign-in", "/change-password"])
def test_a_form_that_is_too_long_is_not_read_to_its_end(server, path):
    use(Connection(server.url))
    answer = forms().post(path, content=b"x" * 100_000)
    assert answer.status_code == 413
    assert "It is larger than the server allows." in answer.text


def forms():
    return TestClient(Starlette(routes=signing_in.routes()))


def test_attempts_to_sign_in_are_counted_by_the_address_of_the_browser(tmp_path):
    limits = NO_LIMITS | {"login": "1/hour"}
    with live_server(tmp_path, accounts={"rate_limits": limits}) as limited:
        # The server of the tests believes those of this machine, as server.trusted_proxies says.
        use(Connection(limited.url))
        answers = []
        for address in ("203.0.113.7", "203.0.113.7", "203.0.113.8"):
            at = TestClient(Starlette(routes=signing_in.routes()), client=(address, 1))
            answers.append(at.post("/sign-in", data={"username": "ana", "password": "wrong"}))
    assert [each.status_code for each in answers] == [401, 429, 401]
    assert "That was too often." in answers[1].text


def test_no_page_shows_a_picture_of_another_host(server):
    browser(server)
    answer = TestClient(AddedHeaders(SignIn(behind))).get("/", headers=HERE)
    assert answer.headers["content-security-policy"] == "img-src 'self' data: blob:"


def test_everyone_signs_in_where_the_settings_say_so(server):
    assert browser(server, is_local=False).get("/", headers=HERE).status_code == 303


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:3000", "null"])
def test_a_page_of_another_origin_opens_no_connection_and_sends_no_file(server, origin):
    client = browser(server)
    assert opens(client, HERE | {"Origin": "http://127.0.0.1:8501"})
    assert not opens(client, HERE | {"Origin": origin})
    assert client.put(UPLOAD, headers=HERE | {"Origin": origin}).status_code == 403
