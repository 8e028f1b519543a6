"""A language-model server on the loopback: real HTTP, OpenAI's protocol, scripted replies.

The script runs in the server's thread, so it may wait for the test.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[[Sequence[Mapping[str, str]]], Iterable[str]]
"""Takes the messages of a request, yields the pieces of the reply."""


class ModelServer(ThreadingHTTPServer):
    """A running server.

    Attributes:
        base_url: Its address.
        script: Makes the replies; may be replaced at any time.
        requests: The bodies of all requests so far.
        broken_off: Set when a client left before the end of a reply.
    """

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base_url = f"http://127.0.0.1:{self.server_port}"
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.broken_off = threading.Event()

    @property
    def last_messages(self) -> list[dict[str, str]]:
        """The messages of the last request."""
        return list(self.requests[-1]["messages"])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that leave early."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""

    def do_POST(self) -> None:
        """Stream a reply as server-sent events."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in self.server.script(body["messages"]):
                self._event(json.dumps({"choices": [{"delta": {"content": piece}}]}))
            self._event("[DONE]")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True
            self.server.broken_off.set()

    def _event(self, data: str) -> None:
        line = f"data: {data}\n\n".encode()
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()


@contextmanager
def model_server(script: Script) -> Iterator[ModelServer]:
    """Serve a script until the block ends."""
    server = ModelServer(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
