"""A judge on the loopback: an OpenAI-compatible server that judges by plain rules."""

import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Script:
    """What the server does besides, and what it was asked."""

    status: int = 200
    broken: int = 0
    """How many first replies are not JSON; -1 for all."""
    faults: dict[str, int] = field(default_factory=dict)
    """Words of a question -> the status it gets; 0 for a reply that comes too late."""
    delay: float = 2.0
    requests: list[tuple[dict, dict]] = field(default_factory=list)


def reply(prompt):
    """Judges: a statement holds when all its longer words stand in the context."""
    given, _ = json.JSONDecoder().raw_decode(prompt.rpartition("input: ")[2])
    context = given.get("context", "")

    def held(statement):
        return int(all(word in context for word in re.findall(r"\w{4,}", statement)))

    if "statements" in given:
        return {
            "statements": [
                {"statement": s, "reason": "word by word", "verdict": held(s)}
                for s in given["statements"]
            ]
        }
    if "response" in given:
        return {"question": f"What of {given['response']}?", "noncommittal": 0}
    if "context" in given:
        verdict = held(given["answer"])
        return {
            "reason": "word by word",
            "verdict": verdict,
            "classifications": [
                {"statement": given["answer"], "reason": "word by word", "attributed": verdict}
            ],
        }
    return {"statements": [s.strip() for s in given["answer"].split(".") if s.strip()]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Keeps the test's output clean."""

    def do_GET(self):
        known = self.path == "/v1/models" and self.server.script.status == 200
        self._json(200 if known else self.server.script.status, {"data": []})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        script = self.server.script
        script.requests.append((body, dict(self.headers)))
        if script.status != 200:
            return self._json(script.status, {"error": {"message": "no such thing"}})
        prompt = next(m["content"] for m in body["messages"] if m["role"] == "user")
        for words, status in script.faults.items():
            if words in prompt.rpartition("input: ")[2]:
                if status:
                    return self._json(status, {"error": {"message": "this prompt is too long"}})
                time.sleep(script.delay)
        content = json.dumps(reply(prompt))
        if script.broken:
            script.broken -= 1
            content = "As a language model I would rather not."
        message = {"role": "assistant", "content": content}
        return self._json(
            200,
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            },
        )

    def _json(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that has enough and leaves is no fault."""


@contextmanager
def serving(script):
    """Serves a script; gives the address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.script = script
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
