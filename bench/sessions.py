"""How many people the web client and its server hold at once, and what they leave behind.

    python bench/sessions.py [--sessions 20] [--questions 5]

Each session is a page's WebSocket, as a browser opens it. It asks one question after the other and
waits for the sources of each answer. Meanwhile one client searches over the API. Printed are the
times from a question to its sources, the API's search latencies, and the memory of the web
client with all sessions, and some seconds after they were left.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from live_server import live_server  # noqa: E402 - from the folder above
from web_client import WebClientProcess  # noqa: E402

QUESTIONS = (
    "What happens to a file that needs a password?",
    "Which vector stores are supported?",
    "How do I upload a document?",
    "What do errors look like?",
    "How does the server stop?",
)
DOCUMENTS = ("documents.md", "service.md", "stores.md", "errors.md", "index.md")
SECONDS = 300.0
LEFT_SECONDS = 2


class Page:
    """A page of the web client without a browser."""

    def __init__(self, url: str, token: str) -> None:
        address = url.replace("http://", "ws://") + "/_stcore/stream"
        headers = {"Cookie": f"kvasir_ui_session={token}", "Origin": url}
        self._socket = connect(
            address, subprotocols=["streamlit"], additional_headers=headers, max_size=None
        )
        self._input = ""
        self._sources = 0
        self._run(BackMsg())

    def ask(self, question: str) -> float:
        """Ask; return the seconds until the sources are there."""
        began, before = time.monotonic(), self._sources
        message = BackMsg()
        state = message.rerun_script.widget_states.widgets.add()
        state.id = self._input
        state.string_trigger_value.data = question
        self._run(message, wait_for=before + 1)
        return time.monotonic() - began

    def close(self) -> None:
        """Leave the page."""
        self._socket.close()

    def _run(self, message: BackMsg, wait_for: int = 0) -> None:
        message.rerun_script.query_string = ""
        self._socket.send(message.SerializeToString())
        end = time.monotonic() + SECONDS
        open_buttons: set[str] = set()
        while time.monotonic() < end:
            received = ForwardMsg()
            received.ParseFromString(self._socket.recv(timeout=SECONDS))
            kind = received.WhichOneof("type")
            if kind == "delta" and received.delta.WhichOneof("type") == "new_element":
                element = received.delta.new_element
                if element.WhichOneof("type") == "chat_input":
                    self._input = element.chat_input.id
                elif element.WhichOneof("type") == "button" and "open-" in element.button.id:
                    open_buttons.add(element.button.id.rpartition("-")[0])
            elif kind == "script_finished":
                self._sources = max(self._sources, len(open_buttons))
                if self._input and self._sources >= wait_for:
                    return
        raise TimeoutError(f"no sources within {SECONDS:g} s")


def search(url: str, key: str, stop: threading.Event, seconds: list[float]) -> None:
    """Search until the event is set."""
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        while not stop.wait(0.1):
            began = time.monotonic()
            client.post("/v1/collections/manual/search", json={"query": "password"})
            seconds.append(time.monotonic() - began)


def measure(sessions: int, questions: int) -> dict[str, object]:
    """Return the figures of a run."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        server = opened.enter_context(live_server(folder, rag={}, collection="manual"))
        owner = server.add_user("ana")
        for name in DOCUMENTS:
            text = (ROOT / "docs" / name).read_text("utf-8")
            server.add_document("manual", f"ana/{name}", text, owner=owner)
        left = f"ui.left_seconds={LEFT_SECONDS}"
        client = opened.enter_context(WebClientProcess(server.url, "--set", left))
        token = httpx.post(
            f"{server.url}/login", data={"username": "ana", "password": "correct horse"}
        ).json()["access_token"]
        Page(client.url, token).close()
        before = client.memory()
        searches: list[float] = []
        stop = threading.Event()
        searching = threading.Thread(
            target=search, args=(server.url, server.keys["ana"], stop, searches)
        )
        searching.start()
        answers: list[float] = []
        pages = [Page(client.url, token) for _ in range(sessions)]

        def chat(page: Page) -> None:
            answers.extend(page.ask(QUESTIONS[n % len(QUESTIONS)]) for n in range(questions))

        threads = [threading.Thread(target=chat, args=(page,)) for page in pages]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        searching.join()
        during = client.memory()
        for page in pages:
            page.close()
        time.sleep(3 * LEFT_SECONDS)
        return {
            "sessions": sessions,
            "answers": len(answers),
            "answer_median_seconds": round(statistics.median(answers), 3),
            "answer_p99_seconds": round(_p99(answers), 3),
            "searches": len(searches),
            "search_median_seconds": round(statistics.median(searches), 3),
            "search_p99_seconds": round(_p99(searches), 3),
            "client_mb_before": round(before),
            "client_mb_during": round(during),
            "client_mb_left": round(client.memory()),
        }


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--questions", type=int, default=5)
    chosen = parser.parse_args()
    print(json.dumps(measure(chosen.sessions, chosen.questions), indent=2))
