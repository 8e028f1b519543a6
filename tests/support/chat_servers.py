"""Small language-model servers on the loopback: real HTTP, scripted answers."""

import json
import threading
import time
from dataclasses import dataclass, field
from functools import partial

import scripted_http
from scripted_http import ScriptedHandler

ANSWER = [
    "The mead of poetry ",
    "is made of honey",
    " and the blood of Kvasir ",
    "[",
    "1",
    "]",
    ".",
]


@dataclass
class Script:
    """What the server does, and what it was asked."""

    pieces: list[str] = field(default_factory=lambda: list(ANSWER))
    statuses: list[int] = field(default_factory=list)
    """Statuses of the first requests for an answer; 200 afterwards."""
    error: str = "busy"
    break_after: int | None = None
    """Breaks the connection after so many pieces."""
    end_mark: bool = True
    raw_lines: list[str] | None = None
    delay: float = 0.0
    media_type: str = "text/event-stream"
    line_end: str = "\n"
    finish_reason: str = "stop"
    location: str = ""
    """Where a request for an answer is redirected to."""
    unsupported: dict[str, str] = field(default_factory=dict)
    """Messages of status 400 for requests that have a parameter."""
    missing: bool = False
    context_length: int = 4096
    properties: dict | None = None
    """Answered to a question for the model's properties."""
    pull_gate: threading.Event | None = None
    """Pulling waits for it after its first half."""
    pulling: threading.Event = field(default_factory=threading.Event)
    requests: list[tuple[str, dict, dict]] = field(default_factory=list)
    client_left: threading.Event = field(default_factory=threading.Event)
    """Set when a client closed the connection before the end of an answer."""

    def asked(self, path):
        return [(body, headers) for p, body, headers in self.requests if p == path]


class _Handler(ScriptedHandler):
    def post(self, body):
        script = self.server.script
        headers = {name.title(): value for name, value in self.headers.items()}
        script.requests.append((self.path, body, headers))
        if self.path == "/api/show":
            return self._show(script)
        if self.path == "/api/pull":
            return self._pull(script)
        if script.delay:
            time.sleep(script.delay)
        if script.statuses and (status := script.statuses.pop(0)) != 200:
            return self.send_json(status, {"error": {"message": script.error}})
        if found := next((n for n in script.unsupported if n in body), None):
            return self.send_json(400, {"error": {"message": script.unsupported[found]}})
        if script.location:
            self.send_response(307)
            self.send_header("Location", script.location)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self._start(script.media_type)
        lines = script.raw_lines if script.raw_lines is not None else self._answer(script)
        for number, line in enumerate(lines):
            if script.break_after == number:
                self.close_connection = True
                return None
            self._chunk(line)
        return self._end()

    def _answer(self, script):
        if self.path == "/api/chat":
            for piece in script.pieces:
                yield json.dumps(
                    {"message": {"role": "assistant", "content": piece}, "done": False}
                )
            if script.end_mark:
                yield json.dumps(
                    {"message": {"content": ""}, "done": True, "done_reason": script.finish_reason}
                )
            return
        yield ": keep-alive"
        for piece in script.pieces:
            yield "data: " + json.dumps({"choices": [{"delta": {"content": piece}}]})
        if script.end_mark:
            end = {"delta": {}, "finish_reason": script.finish_reason}
            yield "data: " + json.dumps({"choices": [end]})
            yield "data: [DONE]"

    def _show(self, script):
        if script.missing:
            return self.send_json(404, {"error": "model 'small' not found"})
        usual = {"model_info": {"tiny.context_length": script.context_length}}
        return self.send_json(200, usual if script.properties is None else script.properties)

    def _pull(self, script):
        self._start("application/x-ndjson")
        self._chunk(json.dumps({"status": "pulling manifest"}))
        self._chunk(json.dumps({"status": "downloading", "completed": 50, "total": 100}))
        script.pulling.set()
        if script.pull_gate is not None:
            script.pull_gate.wait(60)
        script.missing = False
        self._chunk(json.dumps({"status": "success"}))
        self._end()

    def _start(self, media_type):
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, line):
        data = (line + self.server.script.line_end).encode()
        # Two chunks, cut anywhere: a line need not come in one piece.
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.flush()

    def _end(self):
        self.wfile.write(b"0\r\n\r\n")


serving = partial(scripted_http.serving, _Handler)
"""Serves a script; gives the address."""
