"""The part of the contract of collections that is about pages of the web."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kvasir.core.run import Progress, Run, StopToken
from kvasir.core.types import document_id


class WebContract:
    """A search of the web, by ``FakeWebSearch``; pages of this machine are fetched."""

    def test_a_search_of_the_web_reports_every_page(self, empty: Any) -> None:
        with _serving({"/tea": b"Green tea is steeped for two minutes."}) as site:
            query = f"tea {site}/tea {site}/gone"
            report = empty.ingest_web(query, metadata={"topic": "tea"})
        assert (report.engine, report.added) == ("fake", [f"{site}/tea"])
        assert [page.outcome for page in report.pages] == ["added", "failed"]
        assert [(each.source_uri, each.reason) for each in report.failed] == [
            (f"{site}/gone", "fetch")
        ]
        assert not report.interrupted
        assert empty.document(document_id(f"{site}/tea")).given == {"topic": "tea"}
        assert empty.text(f"{site}/tea") == "Green tea is steeped for two minutes."

    def test_a_stopped_search_of_the_web_reports_that_it_was_interrupted(self, empty: Any) -> None:
        stop = StopToken()

        def stop_at_pages(event: Progress) -> None:
            if event.stage == "pages":
                threading.Thread(target=stop.set).start()

        with _serving({}) as site:
            report = empty.ingest_web(f"tea {site}/waits", run=Run(stop, stop_at_pages))
        assert report.interrupted
        assert (report.query, report.added) == (f"tea {site}/waits", [])


@contextmanager
def _serving(pages: dict[str, bytes]) -> Iterator[str]:
    """Serve plain text by path on loopback; ``/waits`` is not answered before the end."""
    ending = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/waits":
                ending.wait(30)
            self.send_response(200 if self.path in pages else 404)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(pages.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        ending.set()
        server.shutdown()
        thread.join()
        server.server_close()
