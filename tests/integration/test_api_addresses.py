"""Web addresses over HTTP: fetched by a job, never from private networks."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from service_client import documents, make_collection, make_settings, running, sign_up, wait_for

from kvasir.ingesting import fetching

PAGE = b"<html><body><p>Green tea is brewed at 80 degrees.</p></body></html>"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        """Keep the test's output clean."""


@contextmanager
def web_server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with (
        web_server() as web,
        running(make_settings(tmp_path_factory.mktemp("web"))) as (client, app),
    ):
        ana = sign_up(client, "ana")
        yield client, app, ana, make_collection(client, ana, "course"), web


def fetch(world, url):
    """Ask for an address; return the job when it has ended."""
    client, _, ana, place, _ = world
    answer = client.post(f"{place}/documents/from-url", json={"url": url}, headers=ana)
    assert answer.status_code == 202, answer.text
    return wait_for(client, ana, answer.json())


def refused(job):
    return (job["state"], job["code"]) == ("failed", "not_fetched")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "127.1",
    ],
)
def test_this_machine_is_refused_in_every_notation(world, host):
    web = world[4]
    assert refused(fetch(world, f"http://{host}:{web.server_port}/page"))
    assert web.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00::1]/",
        "http://user:password@example.org/",
    ],
)
def test_private_networks_and_passwords_are_refused(world, url):
    job = fetch(world, url)
    assert refused(job) and "password@" not in job["message"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/", "gopher://x/", "x"])
def test_other_schemes_are_refused_at_once(world, url):
    client, _, ana, place, _ = world
    answer = client.post(f"{place}/documents/from-url", json={"url": url}, headers=ana)
    assert answer.status_code == 422


def _resolving(monkeypatch, addresses):
    """Resolve names as given; a list gives its next address at each look-up."""
    looked_up = []
    real = fetching.resolve

    def resolve(host, port):
        looked_up.append(host)
        if host not in addresses:
            return real(host, port)
        return [addresses[host].pop(0)]

    monkeypatch.setattr(fetching, "resolve", resolve)
    return looked_up


def _allow_loopback_as(monkeypatch, public):
    """Count one loopback address as public, as no other can be listened at in a test."""
    real = fetching.is_public
    monkeypatch.setattr(
        fetching, "is_public", lambda address: str(address) == public or real(address)
    )


def test_a_page_is_fetched_and_indexed(world, monkeypatch):
    client, _, ana, place, web = world
    _allow_loopback_as(monkeypatch, "127.0.0.1")
    url = f"http://127.0.0.1:{web.server_port}/page"
    assert fetch(world, url)["state"] == "done"
    assert [each["source_uri"] for each in documents(client, ana, place, source=url)] == [url]


def test_a_redirect_to_a_private_address_is_refused(world, monkeypatch):
    web = world[4]
    web.asked.clear()
    _allow_loopback_as(monkeypatch, "127.0.0.1")
    for target in (f"http://127.0.0.2:{web.server_port}/x", "http://10.0.0.1/", "file:///etc/x"):
        assert refused(fetch(world, f"http://127.0.0.1:{web.server_port}/to/{target}"))
    assert not any(path == "/x" for path in web.asked)


def test_a_name_that_resolves_to_a_private_address_later_is_refused(world, monkeypatch):
    web = world[4]
    web.asked.clear()
    _allow_loopback_as(monkeypatch, "127.0.0.1")
    # The name is public when it is looked up first, and private at the redirect to itself.
    looked_up = _resolving(monkeypatch, {"changing.test": ["127.0.0.1", "127.0.0.3", "127.0.0.3"]})
    again = f"http://changing.test:{web.server_port}/x"
    job = fetch(world, f"http://changing.test:{web.server_port}/to/{again}")
    # Either the connection is kept, to the address that was checked, or the new one is refused.
    if not refused(job):
        assert looked_up == ["changing.test"]
    assert fetch(world, again)["state"] == "failed"
