"""``kvasir up``: everything by one command, and ended by one Ctrl-C."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from cli_process import CliProcess

from kvasir.frontends.process import listen

pytestmark = pytest.mark.xdist_group("web client")

ROOT = Path(__file__).parents[2]
FAKE = "rag.embedding_model.type=kvasir.testing.fakes:FakeEmbedder"


class Up(CliProcess):
    """``kvasir up`` in a process of its own."""

    def __init__(self, folder, *settings):
        options = [part for each in (FAKE, *settings) for part in ("--set", each)]
        arguments = "up", "--data-dir", "kvasir-data", *options
        super().__init__(*arguments, folder=folder, has_group=True)

    def children(self):
        """Return the command and the id of each child."""
        found = {}
        for pid in self._child_ids():
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            found[next(each for each in ("serve", "ui") if each.encode() in arguments)] = pid
        return found

    def _child_ids(self):
        own = self.process.pid
        return [int(each) for each in Path(f"/proc/{own}/task/{own}/children").read_text().split()]


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_it_starts_everything_starts_again_what_dies_and_ends_all_at_ctrl_c(tmp_path):
    up = Up(tmp_path, "server.port=0", "ui.port=0")
    try:
        shown = up.wait_for(r"Open (http://127\.0\.0\.1:\d+) in a browser")[1]
        api = up.wait_for(r"Kvasir serves at (http://127\.0\.0\.1:\d+)")[1]
        assert httpx.get(f"{shown}/_stcore/health").text == "ok"
        # Nobody has to sign in: it is the user's own machine.
        assert httpx.get(shown).status_code == 200
        before = up.children()
        assert before.keys() == {"serve", "ui"}
        seen = len(up.lines)
        os.kill(before["serve"], signal.SIGKILL)
        up.wait_for(r"the server has ended \(SIGKILL\); it is started again in 1 s", seen)
        up.wait_for("Kvasir serves at", seen)
        assert httpx.get(f"{api}/health").status_code == 200
        after = up.children()
        assert after["ui"] == before["ui"] and after["serve"] != before["serve"]
    finally:
        up.signal(signal.SIGINT)
        code = up.end()
    assert code == 0, "".join(up.lines)
    printed = [line.strip() for line in up.lines if line.strip()]
    opened = next(index for index, line in enumerate(printed) if line.startswith("Open http"))
    assert [line for line in printed[:opened] if shown in line] == []
    assert "the server has ended" in printed[opened + 1]
    assert not any("kvasir.access" in line for line in printed), "".join(up.lines)
    assert "Stopping the server and the web client." in printed
    assert not any(is_there(pid) for pid in after.values())
    assert not any("Traceback" in line for line in up.lines), "".join(up.lines)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_the_owner_of_a_server_for_other_machines_need_not_sign_in_also_in_a_client_that_died(
    tmp_path,
):
    up = Up(tmp_path, "server.port=0", "ui.port=0", "server.host=0.0.0.0")
    try:
        shown = up.wait_for(r"Open (http://127\.0\.0\.1:\d+) in a browser")[1]
        assert httpx.get(shown).status_code == 200
        before = up.children()
        os.kill(before["ui"], signal.SIGKILL)
        up.wait_for(r"the web client has ended \(SIGKILL\); it is started again in 1 s")
        wait_until_it_answers(f"{shown}/_stcore/health")
        assert httpx.get(shown).status_code == 200
        after = up.children()
        assert after["serve"] == before["serve"] and after["ui"] != before["ui"]
    finally:
        up.press_ctrl_c()
        code = up.end()
    assert code == 0, "".join(up.lines)
    assert not any(is_there(pid) for pid in after.values())
    assert not any("Traceback" in line for line in up.lines), "".join(up.lines)


def wait_until_it_answers(address):
    end = time.monotonic() + 120
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(address).is_success:
                return
        assert time.monotonic() < end, f"nothing answers at {address}"
        time.sleep(0.1)


def test_a_port_that_is_taken_is_one_sentence(tmp_path):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        up = Up(tmp_path, "server.port=0", f"ui.port={port}")
        assert up.end() == 3
    taken_port = f"error: port {port} of 127.0.0.1 is taken by another program"
    expected = f"{taken_port}: choose another with --set ui.port=N"
    assert "".join(up.lines).split() == expected.split()


@pytest.fixture
def planned(tmp_path):
    """Return a function that says what ``make`` would run in a fresh clone."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()

    def plan(target):
        command = ("make", "--dry-run", "--no-print-directory", target)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    return plan


def test_make_up_serves_the_library_of_the_command_line_which_make_clean_keeps(planned):
    assert planned("up")[-1] == ".venv/bin/kvasir up"
    deleted = next(line for line in planned("clean") if line.startswith("rm -rf"))
    assert not any("share" in each or "data" in each for each in deleted.split())


def test_make_up_says_that_it_installs_before_it_does(planned):
    lines = planned("up")
    first = next(index for index, line in enumerate(lines) if "pip install" in line)
    assert any("some minutes" in line for line in lines[:first])
    assert not any("--quiet" in line for line in lines)
