"""An HTTP server on the loopback that does what a script of the test says."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ScriptedHandler(BaseHTTPRequestHandler):
    """Answers requests; a subclass says how in ``get`` and ``post``, by ``self.server.script``."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Keeps the test's output clean."""

    def do_GET(self):
        self.get()

    def do_POST(self):
        self.post(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def send_json(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that has enough and leaves is no fault; the script may want to know."""
        if left := getattr(self.script, "client_left", None):
            left.set()


@contextmanager
def serving(handler, script):
    """Serves a script by a handler; gives the address."""
    server = _Server(("127.0.0.1", 0), handler)
    server.script = script
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
