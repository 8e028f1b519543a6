import gzip
import http.server
import ipaddress
import shutil
import ssl
import subprocess
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvasir.core.errors import FetchError
from kvasir.ingesting import fetching
from kvasir.ingesting.fetching import fetch, is_public

_PAGE = b"<html><p>Hello</p></html>"


def _raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


_BODIES = {
    "page": _PAGE,
    "gzip": gzip.compress(_PAGE),
    "members": gzip.compress(_PAGE[:9]) + gzip.compress(b"") + gzip.compress(_PAGE[9:]),
    "zlib": zlib.compress(_PAGE),
    "deflate": _raw_deflate(_PAGE),
    "cut": gzip.compress(_PAGE)[:-9],
    "bomb": gzip.compress(b"x" * (8 << 20)),
    "empty-members": gzip.compress(b"") * 60_000,
    "twice": gzip.compress(gzip.compress(_PAGE)),
}


class _Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/to-a-label":
            self.send_response(302)
            self.send_header("Location", "http://xn--/")
            self.end_headers()
            return
        if self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to?"))
            self.end_headers()
            return
        if self.path.startswith("/coded?"):
            coding, _, name = self.path.removeprefix("/coded?").partition("&")
            self.send_response(200)
            self.send_header("Content-Encoding", coding)
            self.end_headers()
            self.wfile.write(_BODIES[name])
            return
        if self.path == "/rude":
            self.send_response(404, "\x1b[31mRED\x07")
            self.end_headers()
            return
        if self.path == "/missing":
            self.send_error(404)
            return
        body = b"x" * 5000 if self.path == "/large" else b"<html><p>Hello</p></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        if self.path.startswith("/dated"):
            dated = "Fri, 15 Mar 2024 08:30:00 GMT" if self.path == "/dated" else "yesterday"
            self.send_header("Last-Modified", dated)
        if self.path == "/slow":
            self.end_headers()
            while not self.server.stopping.wait(0.1):  # type: ignore[attr-defined]
                self.wfile.write(b"x")
            return
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    server.stopping = threading.Event()  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stopping.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_is_fetched_with_its_media_type(site: str) -> None:
    source, data = fetch(f"{site}/page#part", allow_private=True)
    assert (source.uri, source.media_type) == (f"{site}/page", "text/html")
    assert data == b"<html><p>Hello</p></html>"


@pytest.mark.parametrize(
    ("path", "modified"), [("dated", 1710491400.0), ("dated-wrong", None), ("page", None)]
)
def test_a_page_has_the_time_that_its_server_says(
    site: str, path: str, modified: float | None
) -> None:
    assert fetch(f"{site}/{path}", allow_private=True)[0].modified == modified


def test_redirects_are_followed_and_the_source_keeps_the_address_asked_for(site: str) -> None:
    source, data = fetch(f"{site}/to?/page", allow_private=True)
    assert source.uri == f"{site}/to?/page"
    assert b"Hello" in data


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://224.0.0.1/",
        "http://[64:ff9b::7f00:1]/",
    ],
)
def test_addresses_of_the_own_network_are_refused(url: str) -> None:
    with pytest.raises(FetchError, match=r"not a public address.*rag\.ingest\.allow_private_urls"):
        fetch(url, timeout=5)


def test_a_refusal_does_not_say_where_a_name_of_the_own_network_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "resolve", lambda host, port: ["10.1.2.3"])
    with pytest.raises(FetchError, match=r"db\.internal is not a public address") as refused:
        fetch("http://db.internal/", timeout=5)
    assert "10.1.2.3" not in str(refused.value)


def test_every_redirect_is_checked_again(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host = site.removeprefix("http://").partition(":")[0]
    allowed = ipaddress.ip_address(host)
    # The first address counts as public, so that the second is what is refused.
    monkeypatch.setattr(
        fetching, "is_public", lambda address: address == allowed or is_public(address)
    )
    with pytest.raises(FetchError, match="not a public address"):
        fetch(f"{site}/to?http://169.254.169.254/", timeout=5)
    with pytest.raises(FetchError, match="http"):
        fetch(f"{site}/to?file:///etc/passwd", timeout=5)


def test_a_name_is_resolved_once_and_the_checked_address_is_used(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    monkeypatch.setattr(fetching, "resolve", lambda host, port: answers.pop(0))
    _, data = fetch(site.replace("127.0.0.1", "rebinding.example"), allow_private=True)
    assert b"Hello" in data
    assert len(answers) == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/a", "x", "http://"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(FetchError, match="only http"):
        fetch(url)


def test_a_body_over_the_limit_is_refused(site: str) -> None:
    with pytest.raises(FetchError, match="larger than"):
        fetch(f"{site}/large", allow_private=True, max_bytes=1000)


def test_a_server_that_never_finishes_is_given_up(site: str) -> None:
    with pytest.raises(FetchError, match="within"):
        fetch(f"{site}/slow", allow_private=True, timeout=0.5)


def test_an_error_status_and_endless_redirects_are_reported(site: str) -> None:
    with pytest.raises(FetchError, match="404"):
        fetch(f"{site}/missing", allow_private=True)
    with pytest.raises(FetchError, match="redirects"):
        fetch(f"{site}/to?" + "/to?" * 9 + "/page", allow_private=True)


def test_messages_leave_the_address_to_who_reports_them(site: str) -> None:
    asked = [f"{site}/missing", f"{site}/large", f"{site}/to?" + "/to?" * 9, "http://", "ftp://a/b"]
    for url in [*asked, "http://127.0.0.1:9/x", "http://[::1/"]:
        with pytest.raises(FetchError) as error:
            fetch(url, allow_private=True, max_bytes=1000)
        assert not str(error.value).startswith(url)


def test_public_addresses_are_told_from_special_ones() -> None:
    for public in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"):
        assert is_public(ipaddress.ip_address(public)), public
    for special in ("100.64.0.1", "198.18.0.1", "240.0.0.1", "::", "::7f00:1", "2002:7f00:1::"):
        assert not is_public(ipaddress.ip_address(special)), special


def test_certificates_are_checked_against_the_name_in_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=good.example"]
    command += ["-addext", "subjectAltName=DNS:good.example"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(fetching, "resolve", lambda host, port: ["127.0.0.1"])
    trusted = ssl.create_default_context(cafile=str(certificate))
    try:
        port = server.server_port
        _, data = fetch(f"https://good.example:{port}/", allow_private=True, verify=trusted)
        assert b"Hello" in data
        with pytest.raises(FetchError, match="certificate"):
            fetch(f"https://bad.example:{port}/", allow_private=True, verify=trusted)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("host", ["xn--", "xn--0"])
def test_a_malformed_a_label_is_refused(host: str) -> None:
    with pytest.raises(FetchError, match="not an address"):
        fetch(f"http://{host}/")


def test_a_redirect_to_a_malformed_a_label_is_refused(site: str) -> None:
    with pytest.raises(FetchError, match="no address"):
        fetch(f"{site}/to-a-label", allow_private=True)


@pytest.mark.parametrize(
    ("coding", "name"),
    [
        ("identity", "page"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip", "members"),
        ("deflate", "zlib"),
        ("deflate", "deflate"),
    ],
)
def test_a_packed_body_is_unpacked(site: str, coding: str, name: str) -> None:
    source, data = fetch(f"{site}/coded?{coding}&{name}", allow_private=True)
    assert (data, source.media_type) == (_PAGE, "text/html")


@pytest.mark.parametrize("coding", ["gzip,gzip", "br", "gzip,br", "zstd", "deflate,identity"])
def test_a_body_with_another_coding_or_several_is_refused(site: str, coding: str) -> None:
    with pytest.raises(FetchError, match=r"not asked for.*ingest the file"):
        fetch(f"{site}/coded?{coding}&twice", allow_private=True)


@pytest.mark.parametrize(("name", "complaint"), [("cut", "too early"), ("page", "unpacked")])
def test_a_damaged_packed_body_is_refused(site: str, name: str, complaint: str) -> None:
    with pytest.raises(FetchError, match=complaint):
        fetch(f"{site}/coded?gzip&{name}", allow_private=True)


@pytest.mark.parametrize("name", ["bomb", "empty-members"])
def test_a_packed_body_over_the_limit_is_refused_before_it_is_unpacked(
    site: str, name: str
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FetchError, match="larger than"):
            fetch(f"{site}/coded?gzip&{name}", allow_private=True, max_bytes=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()


def test_the_words_of_a_server_are_not_repeated(site: str) -> None:
    with pytest.raises(FetchError, match=r"answered 404 Not Found;") as refused:
        fetch(f"{site}/rude", allow_private=True)
    assert "RED" not in repr(refused.value)
