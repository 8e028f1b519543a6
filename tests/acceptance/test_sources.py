"""What ``kvasir ingest`` takes in: addresses, within limits, and sources that changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Kvasir = Callable[..., Any]

PRIVATE = ["--set", "rag.ingest.allow_private_urls=true"]
PAGE = "<html><head><title>Mead</title></head><body><p>Mead is made of honey.</p></body></html>"


class Site(BaseHTTPRequestHandler):
    """A page about mead, and a text of more than a MiB."""

    def do_GET(self) -> None:
        kind, body = "text/html", PAGE.encode()
        if self.path == "/large.txt":
            kind, body = "text/plain", b"Much has been said of mead. " * 40_000
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


class Server(ThreadingHTTPServer):
    """Serves the site on the loopback."""

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has enough and leaves is no fault."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_is_fetched_and_answers_with_its_address(kvasir: Kvasir, site: str) -> None:
    address = f"{site}/mead"
    assert kvasir("ingest", "--json", *PRIVATE, address).json["added"] == [address]
    (document,) = kvasir("documents", "list", "--json").json
    assert (document["source_uri"], document["title"]) == (address, "Mead")
    answer = kvasir("ask", "--json", "What is mead made of?").json
    assert [citation["source_uri"] for citation in answer["citations"]] == [address]
    again = kvasir("ingest", "--json", *PRIVATE, address).json
    assert (again["unchanged"], again["chunks_embedded"]) == ([address], 0)


def test_an_address_of_the_own_network_is_refused_unless_allowed(
    kvasir: Kvasir, notes: Path, site: str
) -> None:
    run = kvasir("ingest", "--json", "notes", f"{site}/mead", code=4)
    (failed,) = run.json["failed"]
    assert (failed["source_uri"], failed["reason"]) == (f"{site}/mead", "fetch")
    assert "rag.ingest.allow_private_urls" in failed["message"]
    assert len(run.json["added"]) == 2


def test_a_page_or_file_above_the_limit_is_not_taken(
    kvasir: Kvasir, notes: Path, site: str
) -> None:
    (notes / "large.txt").write_text("Much has been said of tea. " * 40_000)
    limit = ["--set", "rag.ingest.max_file_mb=1"]
    large, small = f"{site}/large.txt", f"{site}/mead"
    report = kvasir("ingest", "--json", *PRIVATE, *limit, "notes", large, small, code=4).json
    assert len(report["added"]) == 3
    assert {(Path(each["source_uri"]).name, each["reason"]) for each in report["failed"]} == {
        ("large.txt", "fetch"),
        ("large.txt", "too_large"),
    }
    assert all("rag.ingest.max_file_mb" in each["message"] for each in report["failed"])


@pytest.mark.parametrize(
    ("conflict", "code", "became", "minutes"),
    [("replace", 0, "replaced", "four"), ("skip", 0, "skipped", "two"), ("error", 4, None, "two")],
)
def test_a_changed_file_is_replaced_skipped_or_reported_as_asked(
    kvasir: Kvasir, notes: Path, conflict: str, code: int, became: str | None, minutes: str
) -> None:
    kvasir("ingest", "notes")
    tea = notes / "tea.txt"
    tea.write_text("Green tea is steeped for four minutes at 80 degrees.\n")
    report = kvasir("ingest", "--json", "--on-conflict", conflict, "notes", code=code).json
    assert report["unchanged"] == [str(notes / "moon.md")]
    for outcome in ("replaced", "skipped"):
        assert report[outcome] == ([str(tea)] if outcome == became else [])
    conflicts = [] if became else [(str(tea), "conflict")]
    assert [(each["source_uri"], each["reason"]) for each in report["failed"]] == conflicts
    assert f"{minutes} minutes" in kvasir("documents", "show", "--text", "notes/tea.txt").out
