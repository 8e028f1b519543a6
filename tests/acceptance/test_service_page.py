"""The README's page on the service: its six commands end in an answer."""

import re
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_readmes_six_commands_end_in_an_answer(tmp_path):
    page = (ROOT / "README.md").read_text("utf-8")
    section = page.split("## As a service\n")[1].split("\n## ")[0]
    commands = re.findall(r"^    (\S.*)$", section, re.MULTILINE)
    assert 0 < len(commands) <= 6
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    started = f"{sys.executable} -m kvasir --set server.port={port} serve"
    commands[0] = commands[0].replace("kvasir serve", started)
    script = [commands[0], "server=$!", "trap 'kill $server; wait $server' EXIT"]
    # A reader types the second command some seconds later.
    script += [f"until curl -s localhost:{port}/health; do sleep 0.1; done"]
    script += [command.replace("localhost:8000", f"localhost:{port}") for command in commands[1:]]
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    answer = done.stdout.strip().splitlines()[-1]
    assert "A file that needs a password to open is reported as" in answer, (
        done.stdout + done.stderr
    )
    assert '"citations":[{' in answer
