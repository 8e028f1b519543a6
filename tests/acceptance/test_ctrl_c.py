"""Ctrl-C in real processes: long work stops soon, says so, and leaves nothing half-done.

The parts that hang are made of Python, so that a test knows when they hang. ``models pull`` is in
``tests/integration/test_model_download.py``, ``collections copy`` in ``test_moving_collections.py``
and an ingest in full swing in ``test_command_line.py``.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager

import pytest

LIMIT = 20.0
"""Seconds: ten times what a quiet machine is allowed."""

HANGING = """
import os, sys, time
from kvasir.core.types import Conversion
from kvasir.testing.fakes import FakeEmbedder

def hang(marker="hang"):
    if os.path.exists(marker):
        print("hanging", file=sys.stderr, flush=True)
        time.sleep(100)

class Embedder(FakeEmbedder):
    def __init__(self):
        hang("hang while loading")
        super().__init__(64)

    def embed_documents(self, texts):
        hang()
        return super().embed_documents(texts)

    def embed_queries(self, texts):
        hang()
        return super().embed_queries(texts)

class Converter:
    def convert(self, source, data):
        if source.uri.endswith("tea.txt"):
            hang()
        return Conversion(data.decode(), ())
"""


@pytest.fixture
def hanging(kvasir, notes, tmp_path, monkeypatch):
    """Two ingested notes, and a model that hangs from now on."""
    (tmp_path / "hanging.py").write_text(HANGING)
    (tmp_path / "kvasir.yaml").write_text("rag: {embedding_model: {type: 'hanging:Embedder'}}\n")
    monkeypatch.syspath_prepend(tmp_path)
    kvasir("ingest", "notes")
    (tmp_path / "hang").touch()
    return tmp_path


@contextmanager
def started(folder, command):
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupt(folder, *command, presses=1):
    """Press Ctrl-C when the command hangs; return exit code, output and errors."""
    with started(folder, [sys.executable, "-m", "kvasir", *command]) as process:
        # A slow machine writes lines of progress before.
        assert "hanging\n" in iter(process.stderr.readline, "")
        pressed = time.monotonic()
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - pressed < LIMIT
    assert "Traceback" not in err
    return process.returncode, out, err


def test_an_ingest_reports_what_is_left(kvasir, hanging):
    (hanging / "notes" / "sun.txt").write_text("The Sun is a star.\n")
    code, out, err = interrupt(hanging, "ingest", "notes")
    assert code == 130
    assert "2 unchanged, 1 left to do" in out
    assert "what is finished is kept; run the same command again" in err
    (hanging / "hang").unlink()
    assert kvasir("doctor", "--json").json["clean"]
    assert len(kvasir("ingest", "--json", "notes").json["added"]) == 1


def test_an_ingest_does_not_wait_until_its_model_is_loaded(kvasir, hanging):
    (hanging / "hang while loading").touch()
    code, out, err = interrupt(hanging, "ingest", "notes")
    assert (code, out, err) == (130, "", "interrupted\n")
    for marker in (hanging / "hang", hanging / "hang while loading"):
        marker.unlink()
    assert kvasir("doctor", "--json").json["clean"]


def test_a_conversion_keeps_what_is_converted(hanging):
    command = ["convert", "notes", "--to", "converted", "--converter", "hanging:Converter"]
    code, out, _ = interrupt(hanging, *command)
    assert (code, out) == (130, "1 converted, 1 left to do\n")
    assert [path.name for path in (hanging / "converted").iterdir()] == ["moon.md.json"]


def test_a_repair_says_what_is_left_and_makes_nothing_worse(kvasir, hanging):
    store = hanging / "kvasir-data" / "store"
    store.rename(hanging / "lost")
    code, out, err = interrupt(hanging, "doctor", "--repair")
    assert code == 130
    assert "repaired: nothing" in out
    assert "chunks are left to repair; run the same command again" in err
    (hanging / "hang").unlink()
    assert kvasir("doctor", "--repair", "--json").json["clean"]


def test_a_calibration_changes_nothing(kvasir, hanging):
    for name in ("good", "off"):
        questions = "".join(f"{name} question {n}?\n" for n in range(30))
        (hanging / f"{name}.txt").write_text(questions)
    command = ["calibrate", "--json", "--questions", "good.txt", "--off-topic", "off.txt"]
    code, out, err = interrupt(hanging, *command)
    expected = {"error": "interrupted", "code": "stopped", "exit_code": 130}
    assert (code, json.loads(out)) == (130, expected)
    assert err == "interrupted\n"
    (hanging / "hang").unlink()
    assert kvasir("collections", "list", "--json").json[0]["calibration"] is None
    assert kvasir("doctor", "--json").json["clean"]


@pytest.mark.parametrize("presses", [1, 2])
def test_an_evaluation_leaves_no_temporary_collection(hanging, monkeypatch, presses):
    data = hanging / "data"
    (data / "qrels").mkdir(parents=True)
    (data / "corpus.jsonl").write_text('{"_id": "d", "title": "T", "text": "Some words."}\n')
    (data / "queries.jsonl").write_text('{"_id": "q", "text": "Which words?"}\n')
    (data / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    temporary = hanging / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    code, out, err = interrupt(hanging, "evaluate", "retrieval", "data", presses=presses)
    assert (code, out) == (130, "")
    if presses == 1:
        # A second one may come in the middle of cleaning up.
        assert err.lstrip() == "interrupted\n"
        assert list(temporary.glob("kvasir-*")) == []


def test_a_second_ctrl_c_ends_work_that_does_not_stop(tmp_path):
    program = """
        import sys, time
        from kvasir.frontends.cli import main
        from kvasir.frontends.cli.long_work import long_work

        @main.cli.command("work")
        def work():
            with long_work() as run:
                print("hanging", file=sys.stderr, flush=True)
                while True:
                    time.sleep(0.05)

        main.COMMANDS["work"] = ("", "")
        main.LazyGroup.get_command = lambda self, ctx, name: work
        main.main()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), "work"]
    with started(tmp_path, command) as process:
        assert "hanging\n" in iter(process.stderr.readline, "")
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err.lstrip()) == (130, "interrupted\n")


LOST = """
import functools, hashlib, operator, select, sys
from kvasir.frontends.cli.long_work import wakeup

deaf = functools.partial(hashlib.pbkdf2_hmac, "sha256", b"", b"", 2_000_000)
ready = functools.partial(print, "ready", flush=True)
with wakeup() as (heard, _):
    wait = functools.partial(select.select, [sys.stdin, heard], [], [])
    # Between these calls the interpreter does not look for signals, as inside of input().
    list(map(operator.call, [ready, deaf, sys.stdin.readline if sys.argv[1:] else wait]))
"""


@pytest.mark.parametrize("lost", [True, False])
def test_ctrl_c_just_before_waiting_for_an_answer_is_not_lost(tmp_path, lost):
    """Reading a line loses it, which shows that the test is in the gap; waiting does not."""
    command = [sys.executable, "-c", LOST, *(["lose it"] if lost else [])]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        if lost:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(3)
            process.stdin.write("an answer\n")
            process.stdin.flush()
        process.wait(60)
        assert "KeyboardInterrupt" in process.stderr.read()


@pytest.mark.parametrize("module", ["click", "pydantic"])
def test_it_ends_a_command_that_still_imports_its_modules(tmp_path, module):
    # The first is imported by the command line, the second one by the command.
    slow = "import sys, time\nprint('hanging', file=sys.stderr, flush=True)\ntime.sleep(100)\n"
    (tmp_path / f"{module}.py").write_text(slow)
    code, out, err = interrupt(tmp_path, "search", "tea")
    assert (code, out, err) == (130, "", "interrupted\n")


AT_THE_END = """
import signal
from kvasir.core.run import StopToken
from kvasir.frontends.cli import long_work

outer, inner, pressing = StopToken(), StopToken(), []
set_wakeup_fd = signal.set_wakeup_fd

def press_before(descriptor, **options):
    if pressing:
        signal.raise_signal(pressing.pop())
    return set_wakeup_fd(descriptor, **options)

signal.set_wakeup_fd = press_before
with long_work.set_by_interrupt(outer):
    with long_work.set_by_interrupt(inner):
        pressing.append(signal.SIGINT)  # When the inner one takes no signals any more.
    assert outer.wait(60)
assert not inner.is_set()
print("done")
"""


def test_a_ctrl_c_at_the_end_of_an_inner_piece_of_work_stops_the_outer_one():
    """In a process of its own: it presses Ctrl-C on itself."""
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
