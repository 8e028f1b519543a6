"""A judge on the loopback: an OpenAI-compatible server that judges by plain rules."""

import json
import re
import time
from dataclasses import dataclass, field
from functools import partial

import scripted_http
from scripted_http import ScriptedHandler


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


class _Handler(ScriptedHandler):
    def get(self):
        known = self.path == "/v1/models" and self.server.script.status == 200
        self.send_json(200 if known else self.server.script.status, {"data": []})

    def post(self, body):
        script = self.server.script
        script.requests.append((body, dict(self.headers)))
        if script.status != 200:
            return self.send_json(script.status, {"error": {"message": "no such thing"}})
        prompt = next(m["content"] for m in body["messages"] if m["role"] == "user")
        for words, status in script.faults.items():
            if words in prompt.rpartition("input: ")[2]:
                if status:
                    return self.send_json(status, {"error": {"message": "this prompt is too long"}})
                time.sleep(script.delay)
        content = json.dumps(reply(prompt))
        if script.broken:
            script.broken -= 1
            content = "As a language model I would rather not."
        message = {"role": "assistant", "content": content}
        return self.send_json(
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


serving = partial(scripted_http.serving, _Handler)
"""Serves a script; gives the address."""
