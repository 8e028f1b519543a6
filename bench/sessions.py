"""Measures the web client: people who chat at the same time, and the memory of pages that are left.

    python bench/sessions.py                      20 sessions for 60 s
    python bench/sessions.py --find               the most sessions that hold
    python bench/sessions.py --sessions 5 --seconds 10    a quick look

Server and web client are processes of their own, as `kvasir up` starts them. A session speaks
Streamlit's protocol over its WebSocket as a browser does, so that no browser takes the processors:
it asks a question, waits for the whole answer with its sources, reads for some seconds, and asks
again. Meanwhile another program searches over the REST API. At the end every page is left, and the
memory of the web client is looked at after `ui.left_seconds`, which is short here.
Source: Streamlit's BackMsg.proto and ForwardMsg.proto
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

import kvasir
from kvasir.app import App
from kvasir.core.services.accounts import CollectionAccess, Role, Scope, Visibility
from kvasir.settings.loading import load_settings

ROOT = Path(__file__).parent.parent
QUESTIONS = (
    "What happens to a file that needs a password?",
    "Which formats can be read?",
    "How are duplicates found?",
    "How do I delete a document?",
    "Where are the originals kept?",
)
PASSWORD = "a password of the benchmark"
THINK_SECONDS = 8.0
"""Mean time in which an answer is read; a tenth of that at least."""
LEFT_SECONDS = 3
LIMIT_MS = 300.0
"""For the 99th percentile of searches."""
SEARCH_SECONDS = 0.25
"""Between two searches."""
ANSWER_SECONDS = 120.0


class Session:
    """One page of the web client, as a browser has it."""

    def __init__(self, url: str, cookie: str) -> None:
        address = url.replace("http://", "ws://") + "/_stcore/stream"
        self._opened = ExitStack()
        self._socket = self._opened.enter_context(
            connect(
                address,
                origin=url,
                subprotocols=["streamlit"],
                additional_headers={"Cookie": f"kvasir_ui_session={cookie}"},
                max_size=None,
                ping_interval=None,  # As in a browser.
            )
        )
        self._input = ""
        self._query, self._page = "", ""
        self._asked = 0
        self._run({})
        if not self._input:
            raise AssertionError("the page has no field for a question")

    def close(self) -> None:
        """Leave the page."""
        self._opened.close()

    def ask(self, question: str) -> float:
        """Ask, and return the seconds until the answer is there with its sources."""
        begin = time.monotonic()
        self._asked += 1
        self._run({self._input: question})
        return time.monotonic() - begin

    def _run(self, typed: dict[str, str]) -> None:
        """Send what was typed; read until every answer of the page is drawn with its end."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash = self._query, self._page
        for widget, words in typed.items():
            state.widget_states.widgets.add(id=widget).chat_input_value.data = words
        self._socket.send(message.SerializeToString())
        end, complete = time.monotonic() + ANSWER_SECONDS, set[str]()
        while True:
            received = ForwardMsg()
            received.ParseFromString(self._socket.recv(timeout=end - time.monotonic()))
            kind = received.WhichOneof("type")
            if kind == "new_session":
                self._page = received.new_session.page_script_hash
                complete.clear()
            elif kind == "page_info_changed":
                self._query = received.page_info_changed.query_string
            elif kind == "delta":
                self._look(received.delta.new_element, complete)
            elif kind == "script_finished" and len(complete) == self._asked:
                return

    def _look(self, element: Any, complete: set[str]) -> None:
        kind = element.WhichOneof("type")
        if kind == "chat_input":
            self._input = element.chat_input.id
        elif kind == "button" and "Good answer" in element.button.label:
            complete.add(element.button.id)


class Chat(threading.Thread):
    """A person who asks again and again until the end."""

    def __init__(self, url: str, cookie: str, stop: threading.Event, seed: int) -> None:
        super().__init__()
        self._url, self._cookie, self._ending = url, cookie, stop
        self._random = random.Random(seed)
        self.seconds: list[float] = []
        self.error = ""

    def run(self) -> None:
        """Go on until the end."""
        try:
            with closing(Session(self._url, self._cookie)) as session:
                # People do not all come in the same second.
                self._ending.wait(self._random.uniform(0, THINK_SECONDS))
                while not self._ending.is_set():
                    self.seconds.append(session.ask(self._random.choice(QUESTIONS)))
                    pause = max(0.1, self._random.expovariate(1)) * THINK_SECONDS
                    self._ending.wait(min(pause, 4 * THINK_SECONDS))
        except Exception as error:  # noqa: BLE001 - it is counted
            self.error = f"{type(error).__name__}: {error}"


class Searches(threading.Thread):
    """Another program, which searches over the REST API at a constant rate."""

    def __init__(self, url: str, key: str, stop: threading.Event) -> None:
        super().__init__()
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False)
        self._ending = stop
        self.milliseconds: list[float] = []
        self.error = ""

    def run(self) -> None:
        """Go on until the end."""
        due = time.monotonic()
        try:
            while not self._ending.wait(max(0.0, due - time.monotonic())):
                body = {"query": random.choice(QUESTIONS)}
                self._http.post("/v1/collections/manual/search", json=body).raise_for_status()
                # From when it was due: a server that stops would be hidden otherwise.
                self.milliseconds.append((time.monotonic() - due) * 1000)
                due += SEARCH_SECONDS
        except httpx.HTTPError as error:
            self.error = f"a search: {type(error).__name__}: {error}"
        finally:
            self._http.close()


@contextmanager
def program(*arguments: str, ready: str, folder: Path) -> Iterator[tuple[int, str]]:
    """Run a command of Kvasir; yield its process and the address that it names."""
    running = subprocess.Popen(
        [sys.executable, "-m", "kvasir", *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    try:
        for line in running.stderr:
            if found := re.search(ready, line):
                break
        else:
            raise AssertionError("it did not start")
        threading.Thread(target=running.stderr.read, daemon=True).start()
        yield running.pid, found[1]
    finally:
        running.terminate()
        running.wait(60)


def prepare(folder: Path) -> tuple[Path, str]:
    """Index the manual for a user; return the settings file and the user's API key."""
    settings = {
        "data_dir": str(folder / "kvasir-data"),
        "server": {"port": 0},
        "ui": {"port": 0, "left_seconds": LEFT_SECONDS, "sign_in": "always"},
        "accounts": {"rate_limits": {"login": "1000/minute"}},
        "questions": {"workers": 0},
    }
    file = folder / "kvasir.yaml"
    file.write_text(yaml.safe_dump(settings), "utf-8")
    with App(load_settings(file)) as app:
        accounts = app.services.accounts
        user = accounts.register("a@example.org", "ana", PASSWORD, role=Role.ADMIN)
        with app.collection("manual") as collection:
            collection.ingest(*kvasir.files(ROOT / "docs"))
        access = CollectionAccess("manual", user.id, Visibility.PRIVATE)
        accounts.set_access(access)
        _, key = accounts.create_api_key(user.id, "the benchmark", {Scope.READ})
    return file, key


def percentile(values: list[float], share: float) -> float:
    """Return a percentile of values, 0 if there are none."""
    found = sorted(values)
    return found[min(len(found) - 1, int(share * len(found)))] if found else 0.0


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(
    count: int, seconds: float, api: str, ui: tuple[int, str], key: str
) -> dict[str, object]:
    """Have some sessions chat for a while; return the figures."""
    pid, url = ui
    with httpx.Client(base_url=url, trust_env=False) as http:
        form = {"username": "ana", "password": PASSWORD}
        cookie = http.post("/sign-in", data=form, headers={"Origin": url}).cookies[
            "kvasir_ui_session"
        ]
    before, stop = memory_mb(pid), threading.Event()
    chats = [Chat(url, cookie, stop, number) for number in range(count)]
    searches = Searches(api, key, stop)
    for each in (*chats, searches):
        each.start()
    stop.wait(seconds)
    most = memory_mb(pid)
    stop.set()
    for each in (*chats, searches):
        each.join()
    time.sleep(2 * LEFT_SECONDS + 1)
    answers = [each for chat in chats for each in chat.seconds]
    errors = [each.error for each in (*chats, searches) if each.error]
    return {
        "sessions": count,
        "answers": len(answers),
        "errors": errors[:3],
        "answer_p50_s": round(percentile(answers, 0.5), 2),
        "answer_p95_s": round(percentile(answers, 0.95), 2),
        "searches": len(searches.milliseconds),
        "search_p50_ms": round(percentile(searches.milliseconds, 0.5), 1),
        "search_p99_ms": round(percentile(searches.milliseconds, 0.99), 1),
        "memory_before_mb": round(before),
        "memory_with_sessions_mb": round(most),
        "memory_after_left_mb": round(memory_mb(pid)),
        "holds": not errors and percentile(searches.milliseconds, 0.99) < LIMIT_MS,
    }


def main() -> None:
    """Measure, and print one line of JSON for each number of sessions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--find", action="store_true")
    chosen = parser.parse_args()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        file, key = prepare(folder)
        config = ["--config", str(file)]
        _, api = opened.enter_context(
            program(*config, "serve", ready=r"(http://[\w.:]+)", folder=folder)
        )
        command = [*config, "ui", "--server", api]
        ready = r"The web client is at (http://\S+)"
        ui = opened.enter_context(program(*command, ready=ready, folder=folder))
        print(json.dumps({"processor": _processor(), "cores": os.cpu_count()}))
        measure(1, 3.0, api, ui, key)  # The first page imports and loads.
        low, high = 0, chosen.sessions
        while True:
            tried = high if low == 0 else (low + high) // 2
            found = measure(tried, chosen.seconds, api, ui, key)
            print(json.dumps(found), flush=True)
            if not chosen.find or tried <= 1:
                break
            if found["holds"]:
                low = tried
                if tried == high:
                    break
            else:
                high = tried if low else max(1, tried // 2)
            if low and high - low <= 1:
                break


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text("utf-8")) if info.exists() else []
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
