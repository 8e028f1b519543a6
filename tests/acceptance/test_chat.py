"""``kvasir chat`` as a person uses it: a process in a pseudo-terminal, keys in, a screen out."""

from __future__ import annotations

import codecs
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest
from free_ports import free_port
from pty_process import PtyProcess

from kvasir.testing.model_server import ModelServer, model_server

CTRL_C, CTRL_D, ENTER, ESC_ENTER, UP = "\x03", "\x04", "\r", "\x1b\r", "\x1b[A"
PATIENCE = 60.0
"""Seconds after which what never comes is given up; nothing ever waits this long."""


class Terminal:
    """A terminal with a program in it; answers the program's questions as a real one does."""

    def __init__(self, folder: Path, arguments: Sequence[str], width: int = 100) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KVASIR__")}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "TERM"):
            environment.pop(name, None)
        self.process = PtyProcess(
            [sys.executable, "-m", "kvasir", "chat", *arguments],
            cwd=str(folder),
            env=environment | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
            dimensions=(24, width),
            timeout=PATIENCE,
        )
        self._screen = pyte.HistoryScreen(width, 24, history=2000, ratio=0.5)
        self._screen.write_process_input = self.process.send
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.raw = ""

    @property
    def lines(self) -> list[str]:
        """What can be read on the screen and above it."""
        above = [_row(row, self._screen.columns) for row in self._screen.history.top]
        return [line.rstrip() for line in [*above, *self._screen.display]]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Reads what the program draws until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what} never came:\n{self.text}"
            self._read(what)

    def wait_for(self, pattern: str) -> None:
        """Waits for a pattern in the lines, or in the text as it flows from line to line."""

        def is_there() -> bool:
            flow = re.sub(r"\s+", " ", self.text)
            return bool(re.search(pattern, self.text) or re.search(pattern, flow))

        self.wait(is_there, repr(pattern))

    def wait_for_prompt(self, status: str) -> None:
        """Waits for an empty prompt with this status at its right."""
        pattern = re.compile(r"^>>> +" + re.escape(status) + "$")

        def is_ready() -> bool:
            written = [line for line in self.lines if line]
            return bool(written) and pattern.match(written[-1]) is not None

        self.wait(is_ready, f"a prompt with {status}")

    def type(self, text: str, end: str = ENTER) -> None:
        self.process.send(text + end)

    def recall(self, text: str) -> None:
        """Goes up in the history to a line, and sends it; the history is read while one types."""
        deadline = time.monotonic() + PATIENCE
        while not [line for line in self.lines if line][-1].startswith(f">>> {text}"):
            assert time.monotonic() < deadline, f"{text} was never recalled:\n{self.text}"
            self.process.send(UP)
            self._read(text)
        self.type("")

    def resize(self, width: int, height: int = 24) -> None:
        self._screen.resize(height, width)
        self.process.setwinsize(height, width)

    def wait_for_end(self) -> int:
        """Returns the exit code."""
        self.wait(lambda: self.process.flag_eof, "the end")
        self.process.close()
        assert "Traceback" not in self.raw, self.raw
        return int(self.process.exitstatus)

    def close(self) -> None:
        self.process.close(force=True)

    def _read(self, what: str) -> None:
        try:
            data = self.process.read_nonblocking(65536, timeout=1)
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            assert what == "the end", f"the chat ended before {what}:\n{self.text}"
            return
        text = self._decoder.decode(data)
        self.raw += text
        self._stream.feed(text)


def _row(row: Mapping[int, Any], columns: int) -> str:
    return "".join(row[column].data for column in range(columns))


@pytest.fixture
def open_chat(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Opens chats in a folder of the test's own; ends them all."""
    opened: list[Terminal] = []

    def start(*arguments: str, folder: Path = tmp_path, width: int = 100) -> Terminal:
        opened.append(Terminal(folder, arguments, width))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def parrot(messages: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Says what the last message says."""
    yield "You said: "
    yield messages[-1]["content"]


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server(parrot) as server:
        yield server


def with_model(model: ModelServer, *arguments: str) -> list[str]:
    return [*arguments, "--generator", "openai", "--base-url", model.base_url, "-m", "parrot-7b"]


def test_every_slash_command(
    open_chat: Callable[..., Terminal], model: ModelServer, tmp_path: Path
) -> None:
    chat = open_chat(*with_model(model))
    chat.wait_for_prompt("[S][default]")
    assert "Welcome to Kvasir chat with parrot-7b" in chat.text

    chat.type("/h")
    chat.wait_for(r"end multiline input")
    assert re.search(r"─ system ─", chat.text)
    for command in [
        "/q",
        "/h",
        "/a",
        "/c",
        "/lc",
        "/m",
        "/M",
        "/n",
        "/N",
        "/d",
        "/p",
        "/md",
        "/r",
        "/s",
        "/l",
        "/L",
    ]:
        assert re.search(rf"• {command}\b", chat.text), command

    chat.type("first *question*")
    chat.wait_for(r"│ You said: first \*question\*")
    chat.wait_for(r"elapsed \d+\.\d seconds")
    chat.wait_for_prompt("[S][default]")
    chat.type("second question")
    chat.wait_for("You said: second question")
    chat.wait_for_prompt("[S][default]")
    assert [m["content"] for m in model.last_messages[1:]] == [
        "first *question*",
        "You said: first *question*",
        "second question",
    ]

    seen = chat.text.count("│ You said: first *question*")
    chat.type("/d 2")
    chat.wait(lambda: chat.text.count("│ You said: first *question*") > seen, "/d 2")
    chat.wait_for_prompt("[S][default]")
    chat.type("/p 2")
    chat.wait_for(r"(?m)^You said: first \*question\*$")
    chat.type("/md 2")
    chat.wait_for(r"│ You said: first question")
    chat.wait_for_prompt("[S][default]")
    for wrong in ("/d three", "/p 0", "/md 3"):
        chat.type(wrong)
        chat.wait_for(f"Invalid index: {wrong.split()[1]} ")
        chat.wait_for_prompt("[S][default]")
    assert re.search(r"\x1b\[1;31mInvalid index", chat.raw)

    chat.type("/s my first session.json")
    chat.wait_for("session saved to 'my first session.json'")
    chat.wait_for_prompt("[S][default]")
    saved = json.loads((tmp_path / "my first session.json").read_text())
    assert [turn["role"] for turn in saved] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
    ]

    chat.type("/n")
    chat.wait_for("New session.")
    chat.type("/d")
    chat.wait_for("there is no response yet")
    chat.wait_for_prompt("[S][default]")
    chat.type("/s my first session.json")
    chat.wait_for(r"Replace it\? \[y/N\]")
    chat.type("n")
    chat.wait_for("the session was not saved")
    chat.wait_for_prompt("[S][default]")
    assert json.loads((tmp_path / "my first session.json").read_text()) == saved

    chat.type("/l my first session.json")
    chat.wait_for("session of 4 messages loaded")
    chat.wait_for_prompt("[S][my first session.json]")
    chat.type("/n")
    chat.wait_for_prompt("[S][default]")
    chat.type("/L my first session.json")
    chat.wait_for("/n returns to it")
    chat.wait_for_prompt("[S][my first session.json]")
    chat.type("/n")
    chat.type("third")
    chat.wait_for("You said: third")
    assert [m["content"] for m in model.last_messages[1:]][-2:] == [
        "You said: second question",
        "third",
    ]
    chat.type("/N")
    chat.wait_for("what was loaded is forgotten")
    chat.wait_for_prompt("[S][default]")

    (tmp_path / "broken.json").write_text("[{")
    chat.type("/l broken.json")
    chat.wait_for("'broken.json' holds no session: it is not valid JSON")
    chat.type("/l nowhere.json")
    chat.wait_for("there is no file 'nowhere.json'")
    chat.wait_for_prompt("[S][default]")

    chat.type("/lc")
    chat.wait_for("expert in command-line interfaces")
    chat.type("/c poet")
    chat.wait_for("there is no context 'poet'; contexts: default, cli_helper")
    chat.type("/c cli_helper")
    chat.wait_for_prompt("[S][cli_helper]")
    chat.type("list files")
    chat.wait_for("You said: list files")
    assert model.last_messages[0]["role"] == "system"
    assert "command-line" in model.last_messages[0]["content"]

    chat.type("/a other-3b")
    chat.wait_for("Welcome to Kvasir chat with other-3b")
    chat.wait_for_prompt("[S][cli_helper]")
    chat.type("who?")
    chat.wait_for("You said: who")
    assert model.requests[-1]["model"] == "other-3b"
    assert len(model.last_messages) == 2

    chat.type("/r")
    chat.wait_for("RAG is on")
    chat.wait_for_prompt("[RAG][S][cli_helper]")
    chat.type("/r")
    chat.wait_for("RAG is off")
    chat.wait_for_prompt("[S][cli_helper]")

    chat.type("/etc/passwd, what is it?")
    chat.wait_for("You said: /etc/passwd, what is it")
    chat.type("exit codes of tar?")
    chat.wait_for("You said: exit codes of tar")
    chat.wait_for_prompt("[S][cli_helper]")
    chat.type("/Q")
    assert chat.wait_for_end() == 0


def test_multiline_for_one_message_and_for_all(
    open_chat: Callable[..., Terminal], model: ModelServer
) -> None:
    chat = open_chat(*with_model(model))
    chat.wait_for_prompt("[S][default]")
    chat.type("/m")
    chat.wait_for_prompt("[M][default]")
    chat.type("one")
    chat.wait_for(r"\.\.\. *$|\.\.\. *\n")
    chat.type("two", ESC_ENTER)
    chat.wait_for(r"You said: one *│\n│ two")
    assert model.last_messages[-1]["content"] == "one\ntwo"
    chat.wait_for_prompt("[S][default]")
    chat.type("/M")
    chat.wait_for_prompt("[M][default]")
    chat.type("three\rfour", ESC_ENTER)
    chat.wait_for(r"You said: three")
    chat.wait_for_prompt("[M][default]")
    assert model.last_messages[-1]["content"] == "three\nfour"
    chat.type("/M", ESC_ENTER)
    chat.wait_for_prompt("[S][default]")
    chat.type("quit")
    assert chat.wait_for_end() == 0


def test_ctrl_c_and_ctrl_d_and_history(
    open_chat: Callable[..., Terminal], model: ModelServer
) -> None:
    goes_on = threading.Event()

    def slow(messages: Sequence[Mapping[str, str]]) -> Iterator[str]:
        yield "The beginning"
        while not goes_on.wait(0.05):
            yield "."
        yield " and the end"

    chat = open_chat(*with_model(model))
    chat.wait_for_prompt("[S][default]")
    chat.type("half a mess", "")
    chat.wait_for("half a mess")
    chat.type(CTRL_C, "")
    chat.wait_for_prompt("[S][default]")

    model.script = slow
    chat.type("a long story")
    chat.wait_for(r"│ The beginning\.\.")
    chat.wait_for(r"elapsed [1-9]\d*\.\d seconds")
    chat.type(CTRL_C, "")
    chat.wait_for("neither the question nor the reply is kept")
    chat.wait_for_prompt("[S][default]")
    assert re.search(r"│ The beginning\.\.", chat.text)
    assert "broken off" in chat.text
    assert model.broken_off.wait(PATIENCE)

    goes_on.set()
    chat.recall("a long story")
    chat.wait_for("and the end")
    chat.wait_for_prompt("[S][default]")
    assert [m["content"] for m in model.last_messages[1:]] == ["a long story"]
    chat.type("/d 2")
    chat.wait_for("Invalid index: 2 ")
    chat.type("unfinished", "")
    chat.type(CTRL_C, "")
    chat.wait_for_prompt("[S][default]")
    chat.type(CTRL_D, "")
    assert chat.wait_for_end() == 0

    model.script = parrot
    again = open_chat(*with_model(model))
    again.wait_for_prompt("[S][default]")
    again.recall("a long story")
    again.wait_for("You said: a long story")


def test_what_is_typed_during_a_reply_waits_unseen_for_the_next_prompt(
    open_chat: Callable[..., Terminal], model: ModelServer
) -> None:
    goes_on = threading.Event()

    def waits(messages: Sequence[Mapping[str, str]]) -> Iterator[str]:
        yield "Wait for it"
        goes_on.wait(PATIENCE)
        yield ", and here it is"

    model.script = waits
    chat = open_chat(*with_model(model), "tell me")
    chat.wait_for("│ Wait for it")
    model.script = parrot
    chat.type("typed ahead")
    chat.wait_for(r"elapsed [1-9]\d*\.\d seconds")
    assert "typed ahead" not in chat.text
    goes_on.set()
    chat.wait_for("and here it is")
    chat.wait_for("You said: typed ahead")
    chat.wait_for_prompt("[S][default]")
    assert chat.text.count("typed ahead") == 2
    chat.type(CTRL_D, "")
    assert chat.wait_for_end() == 0


def test_a_dead_server_costs_one_sentence(
    open_chat: Callable[..., Terminal], tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    options = ["--set", "generator.options={backoff: 0.01}", "--set", "data_dir=kvasir-data"]
    chat = open_chat("--generator", "openai", "--base-url", url, "-m", "gone", *options)
    chat.wait_for_prompt("[S][default]")
    chat.type("anybody there?")
    chat.wait_for("nothing answers there")
    chat.wait_for_prompt("[S][default]")
    chat.type("/r")
    chat.wait_for_prompt("[RAG][S][default]")
    chat.type("and in the documents?")
    chat.wait_for("nothing was ingested yet")
    chat.wait_for_prompt("[RAG][S][default]")
    chat.type("/q")
    assert chat.wait_for_end() == 0
    (log,) = (tmp_path / "kvasir-data" / "chat-logs").iterdir()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["role"] for line in lines] == ["system", "user", "assistant", "user", "assistant"]
    assert "nothing answers" in lines[2]["broken_off"]


def test_a_window_made_smaller_and_larger(
    open_chat: Callable[..., Terminal], model: ModelServer
) -> None:
    goes_on = threading.Event()

    def words(messages: Sequence[Mapping[str, str]]) -> Iterator[str]:
        yield "before " * 30
        goes_on.wait(PATIENCE)
        yield "after " * 30

    model.script = words
    chat = open_chat(*with_model(model))
    chat.wait_for_prompt("[S][default]")
    chat.resize(60)
    chat.wait_for_prompt("[S][default]")
    # The status stands at the right edge: it tells which width the prompt was drawn for.
    chat.wait(lambda: any(len(x) >= 58 and x.endswith("[S][default]") for x in chat.lines), "60")
    chat.type("talk")
    chat.wait_for("before before")
    chat.resize(120, 30)
    goes_on.set()
    chat.wait_for("after after")
    chat.wait_for_prompt("[S][default]")
    panel = [line for line in chat.lines if line.startswith("╭") and "parrot-7b" in line]
    assert len(panel[-1]) == 120
    chat.type(CTRL_D, "")
    assert chat.wait_for_end() == 0


@pytest.fixture
def corpus(ingested: Any) -> Path:
    """A folder in which two notes are ingested."""
    return Path(ingested("documents", "list", "--json").json[0]["source_uri"]).parents[1]


def test_rag_answers_with_sources_and_keeps_what_was_typed(
    open_chat: Callable[..., Terminal], model: ModelServer, corpus: Path, tmp_path: Path
) -> None:
    def scholar(messages: Sequence[Mapping[str, str]]) -> Iterator[str]:
        yield "The Moon orbits the Earth at a distance of 384,400 kilometres [1]. "
        yield "It is made of cheese [7]."

    model.script = scholar
    chat = open_chat(*with_model(model, "--rag", "--retriever-top-k", "1"), folder=corpus)
    chat.wait_for_prompt("[RAG][S][default]")
    chat.type("How far away is the Moon?")
    chat.wait_for(r"\[1\] notes/moon\.md")
    chat.wait_for_prompt("[RAG][S][default]")
    assert '"The Moon orbits the Earth at a distance' in chat.text
    assert "[7]" not in chat.text
    assert "removed: 1" in chat.text
    asked = model.last_messages[-1]["content"]
    assert asked.count("<source ") == 1
    assert "Question: How far away is the Moon?" in asked
    chat.type("And its surface?")
    chat.wait(lambda: len(model.requests) == 2, "the second question")
    chat.wait_for_prompt("[RAG][S][default]")
    assert next(m["content"] for m in model.last_messages if m["role"] == "user") == (
        "How far away is the Moon?"
    )
    chat.type("/p 2")
    chat.wait_for(r"(?m)^The Moon orbits the Earth")
    target = tmp_path / "moon.json"
    chat.type(f"/s {target}")
    chat.wait_for("session saved")
    assert [t["content"] for t in json.loads(target.read_text()) if t["role"] == "user"] == [
        "How far away is the Moon?",
        "And its surface?",
    ]


def test_without_a_language_model_the_documents_answer(
    open_chat: Callable[..., Terminal], corpus: Path
) -> None:
    chat = open_chat(folder=corpus)
    chat.wait_for_prompt("[RAG][S][default]")
    assert "No language model is set" not in chat.text
    chat.type("How far away is the Moon?")
    chat.wait_for(r"384,400 kilometres\. \[1\]")
    chat.wait_for(r"\[1\] .*moon\.md")
    chat.wait_for_prompt("[RAG][S][default]")
    chat.type("Who composed the opera Carmen?")
    chat.wait_for("I cannot find the answer in the documents")
    chat.type("/a llama")
    chat.wait_for("there is no language-model server to ask for 'llama'")
    chat.type("/q")
    assert chat.wait_for_end() == 0


@pytest.mark.parametrize("how", ["option", "file"])
def test_without_rag_and_without_a_model_nothing_is_searched(
    open_chat: Callable[..., Terminal], corpus: Path, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "chat.yaml"
    path.write_text("chat:\n  rag:\n    enabled: false\n")
    chat = open_chat(*(["--no-rag"] if how == "option" else ["--config", str(path)]), folder=corpus)
    chat.wait_for_prompt("[S][default]")
    chat.wait_for("No language model is set: without RAG a chat needs a language model")
    chat.type("How far away is the Moon?")
    chat.wait(lambda: chat.text.count("without RAG a chat needs") == 2, "the same sentence")
    chat.type("/r")
    chat.wait_for("RAG is on: replies come from your documents")
    chat.wait_for_prompt("[RAG][S][default]")
    chat.type("/r")
    chat.wait_for("RAG is off; without RAG a chat needs a language model")
    chat.wait_for_prompt("[S][default]")
    assert "384,400" not in chat.text
    chat.type("/q")
    assert chat.wait_for_end() == 0


GARAGE = {
    "garage.md": "# Garage\n\nA tyre change for the model Aro costs 90 euros.\n\n"
    "A windscreen for the model Aro costs 410 euros.\n\n"
    "A tyre change for the model Bix costs 120 euros.\n\n"
    "A windscreen for the model Bix costs 520 euros.\n",
    "bike.md": "# Bike\n\nMy bike is a Brompton M6L.\n\n"
    "I bought the Brompton on 3 May 2021 in Hamburg.\n\nThe bike stands in the cellar.\n\n"
    "The chain of the bike is oiled every month.\n\nThe Brompton weighs 12 kilograms.\n\n"
    "The bike has a red bell.\n",
    "power.md": "# Electricity\n\n| Month | kWh | Cost |\n|---|---|---|\n"
    "| June | 200 | 56.10 |\n| July | 233 | 65.24 |\n",
    "moon.md": "The Moon orbits the Earth at a distance of 384,400 kilometres.\n",
}
TWELVE_TURNS = (
    ("Hello!", "Hello! What would you like to know"),
    ("How much does a tyre change for the model Bix cost?", "120 euros"),
    ("And the windscreen?", "windscreen for the model Bix costs 520 euros"),
    ("Thanks!", "You are welcome"),
    ("Which bike do I own?", "Brompton M6L"),
    ("When did I buy it?", "bought the Brompton on 3 May 2021"),
    ("Tell me more", "[1]"),
    ("What was the cost of electricity in June?", "56.10"),
    ("and in July?", "65.24"),
    ("How far away is the Moon?", "384,400"),
    ("Who composed the opera Carmen?", "I cannot find the answer in the documents"),
    ("Goodbye", "Goodbye!"),
)
"""Questions and what must stand in the answers: three are elliptical, and one asks for more."""


@pytest.fixture(scope="module")
def garage(tmp_path_factory: pytest.TempPathFactory, run_in: Callable[[Path], Any]) -> Path:
    """A folder in which four documents are ingested."""
    folder = tmp_path_factory.mktemp("garage")
    (folder / "notes").mkdir()
    for name, text in GARAGE.items():
        (folder / "notes" / name).write_text(text)
    run_in(folder)("ingest", "notes")
    return folder


def check_twelve_turns(answers: Sequence[str]) -> None:
    for (question, expected), answer in zip(TWELVE_TURNS, answers, strict=True):
        assert expected in answer, (question, answer)
    assert "56.10" not in answers[8]
    sentences = [line for line in GARAGE["bike.md"].splitlines() if line.endswith(".")]
    first, second, more = ([s for s in sentences if s in answers[n]] for n in (4, 5, 6))
    assert more
    assert not set(more) & {*first, *second}
    for number in (0, 3, 11):
        assert "[1]" not in answers[number]


def test_twelve_turns_without_a_language_model_piped(
    garage: Path, run_in: Callable[[Path], Any]
) -> None:
    typed = "".join(f"{question}\n" for question, _ in TWELVE_TURNS)
    done = run_in(garage)("chat", typed=f"{typed}/q\nnever asked\n")
    # A value that was looked up stands under its row, after an empty line of its own.
    out = re.sub(r"\n\n(?=\w+: [\d.]+ \[)", "\n", done.out)
    check_twelve_turns(out.split("\n\n"))
    assert not done.err


def test_twelve_turns_without_a_language_model_typed(
    open_chat: Callable[..., Terminal], garage: Path
) -> None:
    chat = open_chat(folder=garage)
    answers = []
    for question, expected in TWELVE_TURNS:
        chat.wait_for_prompt("[RAG][S][default]")
        before = len(chat.text)
        chat.type(question)
        chat.wait_for(f"(?s)>>> {re.escape(question)}.*elapsed")
        chat.wait_for_prompt("[RAG][S][default]")
        answers.append(" ".join(chat.text.rpartition(f">>> {question}")[2].split()))
        assert len(chat.text) > before, expected
    check_twelve_turns(answers)
    chat.type("/q")
    assert chat.wait_for_end() == 0


def test_piped_lines_report_errors_and_end_with_the_last_exit_code(
    garage: Path, run_in: Callable[[Path], Any]
) -> None:
    chat = run_in(garage)
    piped = chat("chat", typed="?\n\nWho composed the opera Carmen?\n", code=5)
    assert "the question has no letter or digit" in piped.err
    assert "I cannot find the answer" in piped.out
    failed = chat("chat", typed="How far away is the Moon?\n?\n", code=2)
    assert "384,400" in failed.out
    without = chat("chat", "--no-rag", typed="How far away is the Moon?\n", code=3)
    assert without.err.count("without RAG a chat needs a language model") == 1
    one = chat("chat", "-qq", typed="How far away\nis the Moon?\n")
    assert one.out.count("384,400") >= 1


def test_a_second_chat_answers_through_the_first_one_and_alone_after_it(
    open_chat: Callable[..., Terminal], corpus: Path
) -> None:
    first = open_chat("--rag", folder=corpus)
    first.wait_for_prompt("[RAG][S][default]")
    first.type("How far away is the Moon?")
    first.wait_for("384,400")
    first.wait_for_prompt("[RAG][S][default]")
    second = open_chat("--rag", folder=corpus)
    second.wait_for_prompt("[RAG][S][default]")
    second.type("How long is green tea steeped?")
    second.wait_for("two minutes")
    second.wait_for_prompt("[RAG][S][default]")
    first.type("/q")
    second.type("How far away is the Moon?")
    second.wait_for("384,400")


@contextmanager
def settings_file(folder: Path, text: str) -> Iterator[Path]:
    path = folder / "chat.yaml"
    path.write_text(text)
    yield path


def test_a_quick_question_answers_and_ends(ingested: Any) -> None:
    quick = ingested("chat", "--rag", "-qq", "How far away is the Moon?")
    assert "384,400" in quick.out
    assert "moon.md" in quick.out
    assert "Welcome" not in quick.out
    ingested("chat", "--rag", "-qq", "Who composed the opera Carmen?", code=5)


def test_the_keys_of_a_settings_file_turn_rag_on_without_a_flag(
    open_chat: Callable[..., Terminal], corpus: Path, tmp_path: Path
) -> None:
    with settings_file(tmp_path, "chat:\n  multiline: true\n  rag:\n    enabled: true\n") as path:
        chat = open_chat("--config", str(path), folder=corpus)
        chat.wait_for_prompt("[RAG][M][default]")
        chat.process.kill(signal.SIGTERM)


@pytest.mark.xdist_group("llama")
def test_ctrl_c_stops_a_model_in_the_process(
    open_chat: Callable[..., Terminal], small_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    endless = {"max_tokens": 1900, "context_window": 2048, "threads": 1}
    options = json.dumps(endless | {"grammar": "root ::= [a-z ] root"})
    chosen = ["--generator", "llama", "-m", small_model, "--set", f"generator.options={options}"]
    chat = open_chat(*chosen)
    chat.wait_for_prompt("[S][default]")
    chat.type("Tell me about the sea.")
    chat.wait_for(r"│ [a-z]+ [a-z]+")
    started = time.monotonic()
    chat.type(CTRL_C, "")
    chat.wait_for("neither the question nor the reply is kept")
    chat.wait_for_prompt("[S][default]")
    seconds = time.monotonic() - started
    with capsys.disabled():
        print(f"\n[Ctrl-C gave a new prompt after {seconds:.2f} s]")
    assert seconds < 10.0  # on a loaded machine
    chat.type(CTRL_D, "")
    assert chat.wait_for_end() == 0
