"""Commands and files of a page of the manual, as a reader copies them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from free_ports import free_port

_COMMAND = re.compile(r"^    (\S(?:.*\\\n)*.*)$", re.MULTILINE)
_PRINTED_PORT = "8000"


def section_of(page: Path, heading: str) -> str:
    """Return the text below a heading, up to the next one of its kind."""
    return page.read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]


def commands_of(section: str) -> list[str]:
    """Return the indented commands of a section, each with the lines that continue it."""
    return _COMMAND.findall(section)


def file_of(section: str, kind: str) -> str:
    """Return the content of the first fenced block of a kind, such as ``json``."""
    return section.split(f"```{kind}\n")[1].split("\n```")[0]


def run_as_reader(
    folder: Path,
    commands: Sequence[str],
    environment: dict[str, str],
    *,
    pasted: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run commands in a shell, with the server that one of them starts at a free port.

    Args:
        folder: The working directory.
        commands: They may start the server with ``kvasir serve &``.
        environment: Their variables.
        pasted: All at once, so that the first command after ``kvasir serve &`` may be too early.
    """
    port = str(free_port())
    script = ["set -e", f'kvasir() {{ "{sys.executable}" -m kvasir "$@"; }}']
    for command in commands:
        script.append(command.replace(f":{_PRINTED_PORT}", f":{port}"))
        if command == "kvasir serve &":
            script[-1] = f"{sys.executable} -m kvasir --set server.port={port} serve &"
            script += ["server=$!", "trap 'kill $server; wait $server' EXIT"]
            if not pasted:
                # A reader types the next command some seconds later.
                is_up = f"curl -s 127.0.0.1:{port}/health > /dev/null"
                script.append(f"until {is_up}; do kill -0 $server; sleep 0.1; done")
    return subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
